"""Measure the output of `sam build` and refuse what Lambda cannot run; uses the standard library only.

``python -m scripts.built`` prints one line per function, layer and nested template, and fails above a size limit.
"""

import hashlib
import struct
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

BUILD = Path(".aws-sam/build")

# Unzipped bytes, bytecode included: a tenth above what the build has. A function contains only its entry point. Sources
# of the two built-in providers do not load http_json and its definitions, which are a quarter of the courier's layer.
SIZE_LIMITS = {"DependenciesLayer": 17_000_000, "CourierLayer": 2_000_000}
FUNCTION_LIMIT = 16_000
# The largest template that CloudFormation accepts for a nested stack.
TEMPLATE_LIMIT = 1_000_000

# Packages of the runtime, 27 MB, which Lambda keeps up to date.
_PROVIDED = ("boto3", "botocore", "s3transfer")

# ELF's e_machine ("System V ABI", AArch64 supplement).
_AARCH64 = 183


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """One built function, layer or nested template.

    ``size_limit``
        The maximum of unzipped bytes.
    ``unzipped_bytes``, ``zipped_bytes``
        The size that counts against Lambda's quota, and about the size of the upload.
    ``bytecode``
        Number of ``.pyc`` files.
    ``digest``
        SHA-256 over names, permissions and contents: equal for equal artifacts.
    ``faults``
        Why the artifact must not be shipped.
    """

    name: str
    files: int
    size_limit: int
    unzipped_bytes: int
    zipped_bytes: int
    bytecode: int
    digest: str
    faults: tuple[str, ...]


def measure(folder: Path) -> Artifact:
    """Measure one built folder."""
    digest = hashlib.sha256()
    files = unzipped = zipped = bytecode = 0
    faults = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        content = path.read_bytes()
        # SAM keeps only the executable bit of the permissions.
        digest.update(f"{name}\0{path.stat().st_mode & 0o111:o}\0{len(content)}\0".encode())
        digest.update(content)
        files += 1
        unzipped += len(content)
        zipped += len(zlib.compress(content, 6))
        bytecode += path.suffix == ".pyc"
        if path.suffix == ".so" and not _runs_on_arm64(content):
            faults.append(f"{name} is not built for arm64")
    provided = [name for name in _PROVIDED if (folder / "python" / name).exists() or (folder / name).exists()]
    faults += [f"it contains {name}, which the runtime provides" for name in provided]
    nested = (folder / "template.yaml").exists()
    size_limit = TEMPLATE_LIMIT if nested else SIZE_LIMITS.get(folder.name, FUNCTION_LIMIT)
    if unzipped > size_limit:
        faults.append(f"{unzipped:,} bytes are above the limit of {size_limit:,}")
    if not files:
        faults.append("it is empty")
    return Artifact(
        name=folder.name,
        files=files,
        size_limit=size_limit,
        unzipped_bytes=unzipped,
        zipped_bytes=zipped,
        bytecode=bytecode,
        digest=digest.hexdigest(),
        faults=tuple(faults),
    )


def measure_all(build: Path = BUILD) -> list[Artifact]:
    """Measure all artifacts of a build."""
    return [measure(folder) for folder in sorted(build.iterdir()) if folder.is_dir()]


def _runs_on_arm64(content: bytes) -> bool:
    if content[:4] != b"\x7fELF" or len(content) < 20:  # noqa: PLR2004 - the header up to e_machine
        return False
    (machine,) = struct.unpack_from("<H", content, 18)
    return bool(machine == _AARCH64)


def main() -> int:
    """Print the sizes and return the exit code, which is 1 if an artifact must not be shipped."""
    artifacts = measure_all()
    print(f"{'':26}{'files':>6}{'unzipped':>14}{'limit':>13}{'zipped':>13}  digest")
    for artifact in artifacts:
        print(
            f"{artifact.name:26}{artifact.files:6}{artifact.unzipped_bytes:14,}{artifact.size_limit:13,}"
            f"{artifact.zipped_bytes:13,}  {artifact.digest[:12]}"
        )
    if not any(artifact.bytecode for artifact in artifacts):
        print("Notice: no Python 3.13 was found (PYTHON313=...): layers without bytecode, slower cold starts")
    faults = [f"{artifact.name}: {fault}" for artifact in artifacts for fault in artifact.faults]
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
