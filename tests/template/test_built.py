"""What must not be shipped is refused, and equal artifacts are seen to be equal."""

import os
import struct
from pathlib import Path

import pytest

from scripts.built import BUDGETS, FUNCTION_BUDGET, weigh

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
    assert weigh(layer).faults == ()
    assert weigh(layer).files == 2


def test_code_for_another_processor_is_refused(layer: Path) -> None:
    (layer / "python/slow.so").write_bytes(shared_object(INTEL))
    assert weigh(layer).faults == ("python/slow.so is not built for arm64",)


def test_what_the_runtime_brings_is_refused(layer: Path) -> None:
    (layer / "python/botocore").mkdir()
    (layer / "python/botocore/__init__.py").touch()
    assert weigh(layer).faults == ("botocore is in it; the runtime has it",)


def test_budget_is_kept(layer: Path) -> None:
    with (layer / "python/large").open("wb") as file:
        file.truncate(BUDGETS["DependenciesLayer"])
    (fault,) = weigh(layer).faults
    assert "over the budget of 17,000,000" in fault


def test_function_has_a_small_budget_and_a_nested_template_a_large_one(tmp_path: Path) -> None:
    for name, file in (("PollBuildsFunction", "app.py"), ("Monitoring", "template.yaml")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_bytes(bytes(FUNCTION_BUDGET + 1))
    assert len(weigh(tmp_path / "PollBuildsFunction").faults) == 1
    assert weigh(tmp_path / "Monitoring").faults == ()


def test_empty_artifact_is_refused(tmp_path: Path) -> None:
    assert weigh(tmp_path).faults == ("it is empty",)


def test_digest_sees_names_contents_and_rights_and_no_times(layer: Path) -> None:
    before, module = weigh(layer).digest, layer / "python/module.py"
    os.utime(module, (0, 0))
    assert weigh(layer).digest == before
    module.chmod(0o755)
    executable = weigh(layer).digest
    module.chmod(0o644)
    module.write_text("X = 2\n", encoding="utf-8")
    changed = weigh(layer).digest
    module.rename(layer / "python/other.py")
    assert len({before, executable, changed, weigh(layer).digest}) == 4
