"""The `courier` command."""

from __future__ import annotations

import io
import os
import signal
import sys
from typing import Annotated

import typer
from rich.console import Console

from cli.build_acts import adopt, resend, retry, stop
from cli.builds import builds, latest
from cli.config import config_app
from cli.copy import copy_command
from cli.doctor import doctor
from cli.get import get
from cli.help import use_placeholders
from cli.logs import logs, open_report
from cli.move_bucket import move_bucket
from cli.page.command import page
from cli.request import request
from cli.run import run
from cli.shared import EXIT_BAD_USAGE, EXIT_BROKEN_PIPE, EXIT_INTERRUPTED, say
from cli.show import show
from cli.simulate import simulate
from cli.source_acts import pause, probe, resume
from cli.statistics_commands import cost, stats
from cli.status import limits, status
from cli.uninstall import uninstall
from cli.verify import verify
from courier import __version__
from courier.errors import SettingsError

# What the extra `local` of pyproject.toml brings, by the names of the modules that are imported.
_LOCAL_MODULES = {"antlr4", "cryptography", "jsonata", "moto", "reportlab", "samtranslator", "trustme", "werkzeug"}
app = typer.Typer(
    name="courier",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
    help="Polls report builds, delivers finished reports to S3, and records how each build ended.",
)
app.command("run")(run)
app.command("copy")(copy_command)
app.command("simulate")(simulate)
app.command("status")(status)
app.command("builds")(builds)
app.command("show")(show)
app.command("latest")(latest)
app.command("get")(get)
app.command("open")(open_report)
app.command("logs")(logs)
app.command("stats")(stats)
app.command("cost")(cost)
app.command("page")(page)
app.command("request")(request)
app.command("adopt")(adopt)
app.command("stop")(stop)
app.command("retry")(retry)
app.command("resend")(resend)
app.command("pause")(pause)
app.command("resume")(resume)
app.command("probe")(probe)
app.command("verify")(verify)
app.command("limits")(limits)
app.command("doctor")(doctor)
app.command("move-bucket")(move_bucket)
app.command("uninstall")(uninstall)
app.add_typer(config_app, name="config")
use_placeholders(app)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"courier {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command; a mistake of the user becomes one line and exit code 2."""
    # A run that `timeout` ends keeps its results, as it does after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        # Names and messages of providers have characters that not every terminal can show.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run_command()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except (BrokenPipeError, SystemExit) as exc:
        # rich makes a SystemExit of it.
        if isinstance(exc, SystemExit) and not isinstance(exc.__context__, BrokenPipeError):
            raise
        _discard_outputs()
        code = EXIT_BROKEN_PIPE
    sys.exit(code)


def _run_command() -> int:
    try:
        return int(app(prog_name="courier", standalone_mode=False) or 0)
    except SettingsError as exc:
        _print_error(f"courier: {exc}")
        return EXIT_BAD_USAGE
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in _LOCAL_MODULES:
            raise
        _print_error("courier: this needs the embedded AWS: pipx install 'build-courier[local]', or the same with pip")
        return EXIT_BAD_USAGE
    except typer.TyperException as exc:
        return _explain_usage(exc)
    except typer.Abort:
        return EXIT_INTERRUPTED


def _discard_outputs() -> None:
    """Point both outputs to nowhere: their reader is gone, and the interpreter flushes them when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


def _explain_usage(exc: typer.TyperException) -> int:
    """Print what is wrong with the command line; a command without arguments has already shown its help."""
    context = getattr(exc, "ctx", None)
    command = context.command_path if context is not None else "courier"
    if type(exc).__name__ != "NoArgsIsHelpError":
        _print_error(f"{command}: {' '.join(exc.format_message().split()).removesuffix('.')}; see {command} --help")
    return EXIT_BAD_USAGE


def _print_error(line: str) -> None:
    say(Console(stderr=True), line, style="red")


if __name__ == "__main__":
    main()
