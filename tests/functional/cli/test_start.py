"""A command imports what it needs, and not the two seconds of the embedded AWS beside it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cli.commands import COMMANDS, load

# Prints which of its arguments' modules a command has imported.
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
    """Call the command in a process of its own; gives the top-level packages that it imported."""
    result = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", _PROGRAM, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    _, _, names = result.stderr.rpartition("imported:")
    return set(names.split())


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("stauts",)])
def test_what_calls_no_command_imports_none(arguments: tuple[str, ...]) -> None:
    names = imported_by(*arguments)
    assert {"cli", "typer"} <= names
    assert not names & {"moto", "duckdb", "boto3", "local", "requests"}


@pytest.mark.parametrize("command", ["status", "limits"])
def test_looking_at_a_deployed_stack_imports_no_embedded_aws(command: str) -> None:
    names = imported_by(command, "--help")
    assert "boto3" in names
    assert not names & {"moto", "duckdb", "local"}


def test_config_imports_no_embedded_aws() -> None:
    assert not imported_by("config", "push", "--help") & {"moto", "duckdb"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_of_each_command_what_its_own_help_says(name: str) -> None:
    command = load(name)
    assert command.name == name
    assert command.help is not None
    first, _, _ = command.help.partition("\n\n")
    assert " ".join(first.split()) == COMMANDS[name].summary
