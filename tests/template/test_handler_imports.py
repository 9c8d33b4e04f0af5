"""No handler imports at the top what its first invocation may not need, because every cold start would pay for it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUNCTIONS = sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py"))

# boto3 is imported with the first client; rich and typer belong to the command line.
HEAVY = {"boto3", "rich", "typer", "moto", "local", "cli", "requests"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_handler_imports_nothing_heavy_at_the_top(function: str) -> None:
    names = imported_by(function)
    assert "courier" in names
    assert not names & HEAVY


@pytest.mark.parametrize("function", FUNCTIONS)
def test_handler_tunes_its_process(function: str) -> None:
    assert "courier.aws.lambda_runtime" in imported_by(function, whole=True)


def test_record_outcome_imports_neither_providers_nor_the_settings_of_sources() -> None:
    imported = imported_by("record_outcome", whole=True)
    assert not {name for name in imported if name.startswith(("courier.providers", "courier.config.settings"))}


def imported_by(function: str, *, whole: bool = False) -> set[str]:
    """Import one handler in a new process and return the top-level packages, or every module."""
    program = "import sys, json, app; print(json.dumps(sorted(sys.modules)))"
    path = os.pathsep.join(str(ROOT / folder) for folder in (f"functions/{function}", "layers/courier"))
    result = subprocess.run(  # noqa: S603 - our own handlers
        [sys.executable, "-c", program],
        cwd=ROOT / "functions" / function,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    modules = json.loads(result.stdout)
    return set(modules) if whole else {module.split(".")[0] for module in modules}
