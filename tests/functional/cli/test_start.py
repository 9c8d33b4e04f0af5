"""A command imports what it works with, and not the two seconds of the embedded AWS as well."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = (
    "run",
    "copy",
    "simulate",
    "status",
    "builds",
    "show",
    "latest",
    "get",
    "limits",
    "page",
    "move-bucket",
    "doctor",
    "uninstall",
    "config",
    "request",
    "adopt",
    "stop",
    "retry",
    "resend",
    "pause",
    "resume",
    "probe",
    "verify",
    "open",
    "logs",
    "stats",
    "cost",
)
# Runs a command, then prints the packages that it imported.
_PROGRAM = """
import sys
from cli.main import main
sys.argv = ["courier", *sys.argv[1:]]
try:
    main()
except SystemExit:
    pass
print("imported:", *sorted({name.split(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def imported_by(*arguments: str) -> set[str]:
    """Run the command in its own process, and return the top-level packages that it imported."""
    result = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", _PROGRAM, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    _, _, names = result.stderr.rpartition("imported:")
    return set(names.split())


@pytest.mark.parametrize(
    "arguments",
    [("--version",), ("--help",), ("stauts",), *((name, "--help") for name in COMMANDS)],
    ids=" ".join,
)
def test_versions_help_and_mistyped_commands_import_nothing_heavy(arguments: tuple[str, ...]) -> None:
    names = imported_by(*arguments)
    assert {"cli", "typer"} <= names
    assert not names & {"moto", "duckdb", "boto3", "botocore", "local", "requests"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("limits", "insights"),
        ("builds",),
        ("show", "b"),
        ("latest",),
        ("get", "b"),
        ("doctor",),
        ("uninstall",),
        ("page",),
    ],
    ids=" ".join,
)
def test_commands_on_a_deployed_stack_import_no_embedded_aws(arguments: tuple[str, ...]) -> None:
    names = imported_by(*arguments, "--endpoint-url", "nowhere")
    assert "boto3" in names
    assert not names & {"moto", "duckdb", "local"}


def test_config_push_imports_no_embedded_aws(tmp_path: Path) -> None:
    sources = tmp_path / "sources.yaml"
    sources.write_text("sources: [{}]", encoding="utf-8")
    names = imported_by("config", "push", str(sources), "--endpoint-url", "nowhere")
    assert "boto3" in names
    assert not names & {"moto", "duckdb"}
