"""Artifacts that Lambda cannot run are refused, and equal artifacts have equal digests."""

import os
import struct
from pathlib import Path

import pytest

from scripts.built import FUNCTION_LIMIT, SIZE_LIMITS, measure

INTEL, ARM = 62, 183


def shared_object(machine: int) -> bytes:
    return b"\x7fELF" + bytes(14) + struct.pack("<H", machine) + bytes(8)


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    folder = tmp_path / "DependenciesLayer"
    (folder / "python").mkdir(parents=True)
    (folder / "python/module.py").write_text("X = 1\n", encoding="utf-8")
    (folder / "python/fast.so").write_bytes(shared_object(ARM))
    return folder


def test_sound_layer_has_no_faults(layer: Path) -> None:
    assert measure(layer).faults == ()
    assert measure(layer).files == 2


def test_code_for_another_processor_is_refused(layer: Path) -> None:
    (layer / "python/slow.so").write_bytes(shared_object(INTEL))
    assert measure(layer).faults == ("python/slow.so is not built for arm64",)


def test_a_package_of_the_runtime_is_refused(layer: Path) -> None:
    (layer / "python/botocore").mkdir()
    (layer / "python/botocore/__init__.py").touch()
    assert measure(layer).faults == ("it contains botocore, which the runtime provides",)


def test_an_artifact_above_its_size_limit_is_refused(layer: Path) -> None:
    with (layer / "python/large").open("wb") as file:
        file.truncate(SIZE_LIMITS["DependenciesLayer"])
    (fault,) = measure(layer).faults
    assert "above the limit of 17,000,000" in fault


def test_a_function_has_a_small_limit_and_a_nested_template_a_large_one(tmp_path: Path) -> None:
    for name, file in (("PollBuildsFunction", "app.py"), ("Monitoring", "template.yaml")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_bytes(bytes(FUNCTION_LIMIT + 1))
    assert len(measure(tmp_path / "PollBuildsFunction").faults) == 1
    assert measure(tmp_path / "Monitoring").faults == ()


def test_empty_artifact_is_refused(tmp_path: Path) -> None:
    assert measure(tmp_path).faults == ("it is empty",)


def test_the_digest_covers_names_contents_and_permissions_and_no_times(layer: Path) -> None:
    before, module = measure(layer).digest, layer / "python/module.py"
    os.utime(module, (0, 0))
    assert measure(layer).digest == before
    module.chmod(0o755)
    executable = measure(layer).digest
    module.chmod(0o644)
    module.write_text("X = 2\n", encoding="utf-8")
    changed = measure(layer).digest
    module.rename(layer / "python/other.py")
    assert len({before, executable, changed, measure(layer).digest}) == 4
