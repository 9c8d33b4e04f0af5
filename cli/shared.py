"""What the commands share: exit codes, the options that select an AWS account, and how a line is printed.

It imports nothing heavy, and neither do the modules of the commands: a command imports what it works with when it is
called. The embedded AWS alone takes two seconds, which a version, a list of commands or a typing error need not wait
for.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final

import typer
from rich.console import Console

EXIT_FAILED: Final = 1
EXIT_BAD_USAGE: Final = 2
# What shells report for a command that Ctrl-C ended: 128 and the signal's number.
EXIT_INTERRUPTED: Final = 130
# And for one that SIGPIPE ended, because the reader of its output was gone, as with ``courier status | head``.
EXIT_BROKEN_PIPE: Final = 141

OUTCOME_COLOURS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "delivered": "green",
        "succeeded": "green",
        "empty": "yellow",
        "canceled": "yellow",
        "failed": "red",
        "timed_out": "red",
        "lost": "red",
        "undeliverable": "red",
    }
)

# Why a source is unhealthy, by the name of its error.
UNHEALTHY_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "SettingsError": "its settings or its secret are wrong",
        "SourceUnauthorizedError": "the provider rejects its API key",
        "SourceExhaustedError": "its account is out of credits",
    }
)

# No choice: `cli.stack.open_stack` takes the stack of the last `make deploy`, which --help must not read.
DEFAULT_STACK: Final = ""
StackName = Annotated[
    str,
    typer.Option(
        "--stack",
        metavar="NAME",
        envvar="COURIER_STACK",
        show_default="the stack of make deploy, otherwise build-courier",
        help="Name of the CloudFormation stack.",
    ),
]
Profile = Annotated[str | None, typer.Option(metavar="NAME", help="Profile of your AWS configuration.")]
Region = Annotated[
    str | None,
    typer.Option(
        metavar="REGION",
        envvar="COURIER_REGION",
        show_default="the one of make deploy, otherwise of your AWS configuration",
        help="AWS region.",
    ),
]
EndpointUrl = Annotated[
    str | None,
    typer.Option(
        "--endpoint-url",
        metavar="URL",
        envvar="COURIER_ENDPOINT",
        help="Endpoint to use instead of AWS, such as that of `courier run`.",
    ),
]

# How far back a build is searched for by the beginning of its id.
SEARCHED: Final = "90d"
BuildArgument = Annotated[
    str, typer.Argument(metavar="BUILD", help="Any unique beginning of a build's id, or SOURCE/SCOPE/ID.")
]
SearchedSince = Annotated[
    str, typer.Option("--since", metavar="WHEN", help="How far back to search for the id: `400d`, `12h`, or a date.")
]

BuildArguments = Annotated[
    list[str] | None,
    typer.Argument(metavar="BUILD", help="Unique beginnings of builds' ids, or SOURCE/SCOPE/ID."),
]
Note = Annotated[str | None, typer.Option("--note", metavar="TEXT", help="Why; the record of the build keeps it.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Make all checks, also at the provider, and change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask, where several builds are meant.")]


def say(console: Console, line: str, style: str | None = None) -> None:
    """Print one line without folding it, so that paths can be copied, and without reading markup in it."""
    console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)
