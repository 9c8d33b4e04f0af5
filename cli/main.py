"""The `courier` command."""

from __future__ import annotations

import io
import os
import signal
import sys
from typing import Annotated

import typer
from rich.console import Console

from cli.commands import LazyCommands, list_on
from cli.exits import EXIT_BAD_USAGE, EXIT_INTERRUPTED
from courier import __version__
from courier.errors import SettingsError

# What shells give a command that SIGPIPE ended.
EXIT_BROKEN_PIPE = 141

app = typer.Typer(
    name="courier",
    cls=LazyCommands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Waits for report builds, brings the finished report home to S3, and says how each build ended.",
)
list_on(app)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"courier {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command; a mistake of the user becomes one line and exit code 2."""
    # Ended by somebody's timeout, a run keeps its results as it does after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        # Providers' words have characters that not every terminal knows.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(prog_name="courier", standalone_mode=False)
    except SettingsError as exc:
        _complain(f"courier: {exc}")
        code = EXIT_BAD_USAGE
    except typer.TyperException as exc:
        code = _explain_usage(exc)
    except typer.Abort:
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; the interpreter must not fail once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_BROKEN_PIPE
    sys.exit(code)


def _explain_usage(exc: typer.TyperException) -> int:
    """Say what is wrong with the command line; a command without arguments has shown its help already."""
    context = getattr(exc, "ctx", None)
    command = context.command_path if context is not None else "courier"
    if type(exc).__name__ != "NoArgsIsHelpError":
        _complain(f"{command}: {' '.join(exc.format_message().split()).removesuffix('.')}; see {command} --help")
    return EXIT_BAD_USAGE


def _complain(line: str) -> None:
    Console(stderr=True, soft_wrap=True).print(line, style="red", markup=False, highlight=False)


if __name__ == "__main__":
    main()
