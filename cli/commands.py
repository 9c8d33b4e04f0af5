"""Which commands there are, and where: a command's module is imported when that command is called, and no sooner.

The whole courier with its embedded AWS takes two seconds to import; a version, a list of commands or a
mistyped word need none of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

import typer
from typer.core import TyperGroup
from typer.main import get_group

if TYPE_CHECKING:
    from typer._click import Command, Context


class Place(NamedTuple):
    """Where a command stands, and the summary that the list of commands shows."""

    module: str
    attribute: str
    summary: str


COMMANDS: Final[Mapping[str, Place]] = MappingProxyType(
    {
        "run": Place("cli.run", "run", "Run the whole courier here, without an AWS account."),
        "copy": Place(
            "cli.copy", "copy_command", "Copy a file from a URL into S3: complete and proven, or nothing at all."
        ),
        "simulate": Place(
            "cli.simulate",
            "simulate",
            "Simulate waiting for builds, beside a fixed beat and a loop of Wait, Task and Choice.",
        ),
        "status": Place(
            "cli.status",
            "status",
            "Show the sources and their health, the builds in flight, and the last ten outcomes. Times are UTC.",
        ),
        "limits": Place(
            "cli.status",
            "limits",
            "Show what a source's account may use, in GB, and what to do when builds or queries fail.",
        ),
        "config": Place("cli.config", "config_app", "Bring sources and secrets into a deployed stack."),
    }
)


class LazyCommands(TyperGroup):
    """Lists the commands by their summaries, and imports the one that is called."""

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        """Find the command that the arguments begin with."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, load(name) if name else None, rest


def list_on(app: typer.Typer) -> None:
    """Put every command into an app's list."""
    for name, place in COMMANDS.items():
        app.command(name, help=place.summary)(_listed)


def load(name: str) -> Command:
    """Import a command."""
    place = COMMANDS[name]
    command = getattr(import_module(place.module), place.attribute)
    # Built the way the app itself would build it.
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=name)
    else:
        app.command(name)(command)
    return get_group(app).commands[name]


def _listed() -> None:
    """Stand in the list for a command that is not imported yet."""
