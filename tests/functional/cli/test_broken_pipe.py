"""A command whose reader is gone ends quietly with 141, as other tools do: `courier run | head`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
EXIT_BROKEN_PIPE = 141


def run_without_reader(arguments: Sequence[object], *, errors_too: bool = False) -> tuple[int, str]:
    """Run the command with a standard output that has no reader; return exit code and standard error."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "cli", *map(str, arguments)],
            cwd=REPOSITORY,
            stdout=writer,
            stderr=writer if errors_too else subprocess.PIPE,
            check=False,
            timeout=120,
        )
    finally:
        os.close(writer)
    return ended.returncode, (ended.stderr or b"").decode()


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["run", "--help"], ["config", "push", "--help"]])
def test_a_command_without_a_reader_ends_quietly(arguments: Sequence[str]) -> None:
    assert run_without_reader(arguments) == (EXIT_BROKEN_PIPE, "")


def test_an_error_without_a_reader_ends_the_same_way() -> None:
    assert run_without_reader(["run", "--tick", "soon"], errors_too=True) == (EXIT_BROKEN_PIPE, "")


def test_a_run_without_a_reader_stores_its_results(tmp_path: Path) -> None:
    assert run_without_reader(["run", "--tick", 0.25, "--chaos", 1, "--out", tmp_path / "out"]) == (
        EXIT_BROKEN_PIPE,
        "",
    )
    assert (tmp_path / "out" / "executions.json").exists()
