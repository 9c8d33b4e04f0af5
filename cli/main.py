"""The `courier` command."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

from cli.config import config_app
from cli.copy import copy_command
from cli.run import run
from cli.simulate import simulate
from cli.status import limits, status
from courier import __version__
from courier.errors import SettingsError

EXIT_BAD_USAGE = 2

app = typer.Typer(
    name="courier",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Waits for report builds, brings the finished report home to S3, and says how each build ended.",
)
app.command("run")(run)
app.command("copy")(copy_command)
app.command("simulate")(simulate)
app.command("status")(status)
app.command("limits")(limits)
app.add_typer(config_app, name="config")


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"courier {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command; a mistake of the user becomes one line and exit code 2."""
    try:
        app()
    except SettingsError as exc:
        Console(stderr=True, soft_wrap=True).print(f"courier: {exc}", style="red", markup=False, highlight=False)
        sys.exit(EXIT_BAD_USAGE)


if __name__ == "__main__":
    main()
