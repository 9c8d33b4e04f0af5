"""Lambda runs the versions that the tests run with."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LAYER = ROOT / "layers/dependencies/requirements.txt"


def pins(lock: Path) -> dict[str, str]:
    """Return name and version of each requirement."""
    return dict(re.findall(r"^([a-z0-9._-]+)==([^\s;\\]+)", lock.read_text(encoding="utf-8"), re.MULTILINE))


def hashes(lock: Path, name: str) -> set[str]:
    (block,) = re.findall(
        rf"^{re.escape(name)}==.*\n((?: +--hash.*\n)+)", lock.read_text(encoding="utf-8"), re.MULTILINE
    )
    return set(re.findall(r"sha256:[0-9a-f]{64}", block))


def test_layer_has_the_versions_and_files_that_the_tests_run_with() -> None:
    layer, tested = pins(LAYER), pins(ROOT / "requirements/dev.lock")
    assert layer.keys() >= {"aws-lambda-powertools", "pydantic", "requests"}
    assert layer == {name: tested.get(name) for name in layer}
    for name in layer:
        assert hashes(LAYER, name) <= hashes(ROOT / "requirements/dev.lock", name), name


def test_layer_does_not_contain_packages_of_the_runtime() -> None:
    assert not pins(LAYER).keys() & {"boto3", "botocore", "s3transfer", "python-dateutil"}


def test_runtime_has_the_boto3_that_the_tests_run_with() -> None:
    runtime, tested = pins(ROOT / "requirements/runtime.lock"), pins(ROOT / "requirements/dev.lock")
    assert {name: runtime[name] for name in ("boto3", "botocore")} == {
        name: tested[name] for name in ("boto3", "botocore")
    }


def test_every_lock_is_exact_and_hashed() -> None:
    for lock in [LAYER, *(ROOT / "requirements").glob("*.lock")]:
        text = lock.read_text(encoding="utf-8")
        assert "://" not in text, f"{lock.name} names an index"
        assert len(re.findall(r"^[a-z0-9]", text, re.MULTILINE)) == len(re.findall(r"==\S+.*\\\n +--hash", text)), (
            lock.name
        )
