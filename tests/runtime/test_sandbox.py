"""A sandbox runs a function as Lambda does; `make verify-runtime` creates its environment and runs these tests."""

import json
from pathlib import Path

import pytest

from scripts.lambda_runtime.sandbox import FunctionCode, InvocationOutcome, Sandbox

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-runtime/bin/python"
BUILD = ROOT / ".aws-sam/build"


@pytest.fixture
def code(tmp_path: Path) -> FunctionCode:
    """The folder of a function that the test writes."""
    return FunctionCode(folder=tmp_path)


def run(code: FunctionCode, source: str, *, layers: tuple[Path, ...] = (), seconds: float = 30.0) -> InvocationOutcome:
    (code.folder / "app.py").write_text(source, encoding="utf-8")
    code = FunctionCode(folder=code.folder, layers=layers)
    with Sandbox(PYTHON, code, variables={"WORD": "yes"}) as sandbox:
        return sandbox.invoke(json.dumps({"n": 1}), timeout_seconds=seconds, request_id="request-1")


def error_of(outcome: InvocationOutcome) -> str:
    assert outcome.error_type is not None, outcome
    return f"{outcome.error_type}: {json.loads(outcome.payload)['errorMessage']}"


def test_event_context_and_variables_reach_the_function_on_python_3_13(code: FunctionCode) -> None:
    source = (
        "import os, sys\n"
        "def handler(event, context):\n"
        "    return [event, context.aws_request_id, os.environ['WORD'], sys.version_info[:2]]\n"
    )
    assert json.loads(run(code, source).payload) == [{"n": 1}, "request-1", "yes", [3, 13]]


def test_an_exception_keeps_its_name(code: FunctionCode) -> None:
    source = "class OddError(Exception): pass\ndef handler(event, context): raise OddError('no')\n"
    assert error_of(run(code, source)) == "OddError: no"


def test_nothing_of_this_checkout_is_on_its_path(code: FunctionCode) -> None:
    source = "import courier\ndef handler(event, context): return 1\n"
    assert "No module named 'courier'" in error_of(run(code, source))


def test_a_package_that_no_layer_has_is_missing(code: FunctionCode) -> None:
    source = "import rich\ndef handler(event, context): return 1\n"
    assert "No module named 'rich'" in error_of(run(code, source, layers=(BUILD / "CourierLayer",)))


def test_a_layer_for_another_processor_cannot_be_imported(code: FunctionCode, tmp_path: Path) -> None:
    native = ROOT / ".aws-sam/runtime/DependenciesLayer/python/pydantic_core"
    foreign = tmp_path / "layer"
    (foreign / "python/pydantic_core").mkdir(parents=True)
    for path in native.glob("*.py"):
        (foreign / "python/pydantic_core" / path.name).write_bytes(path.read_bytes())
    (foreign / "python/pydantic_core/_pydantic_core.cpython-313-powerpc64-linux-gnu.so").write_bytes(b"")
    source = "import pydantic_core\ndef handler(event, context): return 1\n"
    assert "Runtime.ImportModuleError" in error_of(run(code, source, layers=(foreign,)))


def test_a_crash_is_reported_with_the_last_output(code: FunctionCode) -> None:
    source = "import os\ndef handler(event, context):\n    print('last output', flush=True)\n    os._exit(3)\n"
    assert "last output" in error_of(run(code, source))


def test_a_function_that_takes_too_long_is_ended(code: FunctionCode) -> None:
    source = "import threading\ndef handler(event, context): threading.Event().wait(60)\n"
    assert error_of(run(code, source, seconds=2.0)).startswith("Sandbox.Timedout: Task timed out after 2.00 seconds")


def test_a_warm_sandbox_serves_again_and_counts_one_cold_start(code: FunctionCode) -> None:
    (code.folder / "app.py").write_text(
        "calls = []\ndef handler(event, context):\n    calls.append(1)\n    return len(calls)\n", encoding="utf-8"
    )
    with Sandbox(PYTHON, code, variables={}) as sandbox:
        assert [sandbox.invoke("{}", timeout_seconds=30).payload for _ in range(3)] == ["1", "2", "3"]
        assert sandbox.cold_start is not None
        assert 0 < sandbox.cold_start.init_seconds < sandbox.cold_start.total_seconds
