"""The build of the first version, from the history of this repository: what an update in place begins with."""

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from scripts.deployment.deployed_courier import DeploymentError
from scripts.deployment.paths import NATIVE_LAYER, ROOT, SAM

# The first version as it was built and tried before two stacks fitted into one region.
COMMIT = "9941d331faec525173ca7bd33361e7dfd2f81149"
FOLDER = ROOT / ".aws-sam/frozen"

_PATHS = ("template.yaml", "monitoring.yaml", "samplconfig.toml", "statemachine", "functions", "layers")
_PINS = Path("layers/dependencies/requirements.txt")
_NATIVE = FOLDER / "native"


def build() -> Path:
    """Build the first version, unless that is done, and return its folder.

    Raises
    ------
    DeploymentError
        This clone lacks the commit, or the build fails.
    """
    ready = FOLDER / f"{COMMIT}.ready"
    if ready.exists():
        return FOLDER
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", COMMIT, *_PATHS], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        raise DeploymentError(
            f"the commit {COMMIT[:7]} of the first version is not in this clone: git fetch --unshallow\n"
            f"{archive.stderr.decode()}"
        )
    subprocess.run(["tar", "-x"], cwd=FOLDER, input=archive.stdout, check=True)
    _run([SAM, "build", "--config-file", "samplconfig.toml"])
    if _pins(ROOT) != _pins(FOLDER):
        machine = f"MACHINE={platform.machine()}"
        _run(["make", "-C", _PINS.parent, "build-DependenciesLayer", f"ARTIFACTS_DIR={_NATIVE}", machine])
    ready.touch()
    return FOLDER


def native_layers() -> list[Path]:
    """Return the layers of third-party packages that are built for this machine."""
    return [path for path in (NATIVE_LAYER, _NATIVE) if path.exists()]


def _run(command: list[str | Path]) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    environment |= {
        "SAM_CLI_TELEMETRY": "0",
        "PYTHON": str(SAM.with_name("python")),
        "PYTHON313": str(_python313()),
    }
    done = subprocess.run(
        command, cwd=FOLDER, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise DeploymentError(f"the first version cannot be built:\n{(done.stdout + done.stderr)[-3000:]}")


def _python313() -> str:
    found = subprocess.run([ROOT / "scripts/find-python3.13"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "python3.13"


def _pins(folder: Path) -> list[str]:
    return re.findall(r"^\S+==\S+", (folder / _PINS).read_text(encoding="utf-8"), re.MULTILINE)


if __name__ == "__main__":
    try:
        build()
    except DeploymentError as exc:
        sys.exit(f"error: {exc}")
