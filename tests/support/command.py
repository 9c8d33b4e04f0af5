"""The `courier` command, run in this process: arguments in, exit code and both outputs back."""

from __future__ import annotations

import io
import os
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from unittest.mock import patch

from cli.main import main


@dataclass(frozen=True)
class CommandResult:
    """Exit code and outputs of a command."""

    exit_code: int
    out: str
    err: str

    @property
    def error_line(self) -> str:
        """The only line on standard error, without its line break.

        Raises
        ------
        ValueError
            There is not exactly one line.
        """
        (line,) = self.err.splitlines()
        return line


class _Terminal(io.StringIO):
    """An output that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def courier(*arguments: object, columns: int | None = None) -> CommandResult:
    """Run the command; with ``columns``, its standard output is a terminal of that width."""
    out, err = io.StringIO() if columns is None else _Terminal(), io.StringIO()
    terminal = {"TERM": "dumb"} if columns is None else {"TERM": "xterm", "COLUMNS": str(columns), "LINES": "40"}
    on_terminate = signal.getsignal(signal.SIGTERM)
    code: object = None
    try:
        with (
            patch.dict(os.environ, terminal),
            patch.object(sys, "argv", ["courier", *map(str, arguments)]),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            main()
    except SystemExit as exc:
        code = exc.code
    finally:
        signal.signal(signal.SIGTERM, on_terminate)
    return CommandResult(code if isinstance(code, int) else 0, out.getvalue(), err.getvalue())
