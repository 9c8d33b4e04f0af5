"""``courier status`` and ``courier limits``: the state of a deployed stack and of its sources."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.shared import DEFAULT_STACK, OUTCOME_COLOURS, EndpointUrl, Profile, Region, StackName, say
from courier.errors import SettingsError

if TYPE_CHECKING:
    from cli.stack import EndedRecord, Stack
    from courier.config.settings import SourceSettings
    from courier.ledger import SourceState
    from courier.sources.catalog import Sources

LAST_OUTCOMES = 10
MOST_IN_FLIGHT = 1_000
# Why a source is unhealthy, by the name of the error (courier.sources.health).
_REASONS = {
    "SettingsError": "its settings or its secret are wrong",
    "SourceUnauthorizedError": "the provider rejects its API key",
    "SourceExhaustedError": "its account is out of credits",
}


def status(
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Show the sources and their health, the builds in flight, and the last ten outcomes. Times are UTC.

    It calls AWS only, never a provider: five calls, three or four more per source, and one per outcome.

    **Example**

        courier status --stack build-courier
    """
    from cli.stack import open_stack, read_last_records

    console = Console(highlight=False)
    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target:
        sources = target.container.sources.load()
        if sources.usable or sources.broken:
            _print_sources(console, target, sources)
        else:
            say(console, f"Stack {stack} has no sources yet: courier config push sources.yaml")
        records = read_last_records(target, most=LAST_OUTCOMES)
        if records:
            say(console, f"\nLast {len(records)} outcomes" if len(records) > 1 else "\nLast outcome", style="bold")
            for record in records:
                _print_outcome(console, record)
        elif sources.usable:
            say(console, "\nNo outcomes yet")


def limits(
    source: Annotated[str, typer.Argument(help="Name of the source.")],
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Show the limits of a source's account, in GB, and what to do when builds or queries fail.

    **Example**

        courier limits insights
    """
    from cli.stack import open_stack

    console = Console(highlight=False)
    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target:
        settings = target.container.sources.load().get(source)
        if "account_id" not in type(settings).model_fields:
            raise SettingsError(f"{source}: {settings.provider} has no limits to show")
        account = getattr(settings, "account_id", None)
        if account is None:
            raise SettingsError(
                f"{source}: set account_id in sources.yaml and push it, because limits belong to an account"
            )
        provider = target.container.provider(settings)
        found = provider.account_limits()
        if found is None:
            raise SettingsError(f"{source}: the provider reports no limits for account {account}")
        say(console, f"Limits of {source}, account {account}", style="bold")
        for name, size, advice in (
            ("build size", found.build_size_gb, provider.failure_advice(found)),
            ("query size", found.query_size_gb, provider.query_advice()),
        ):
            say(console, f"{name}  {'not reported' if size is None else f'{size:g} GB'}")
            _print_paragraph(console, advice or "")


def _print_sources(console: Console, stack: Stack, sources: Sources) -> None:
    table = Table(
        title="Sources", title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    table.add_column("source", overflow="fold")
    table.add_column("provider", no_wrap=True)
    table.add_column("in flight", justify="right", no_wrap=True)
    table.add_column("oldest", no_wrap=True)
    table.add_column("health", overflow="fold")
    now = stack.container.clock()
    notes: list[str] = []
    for name, settings in sorted(sources.usable.items()):
        waiting = stack.container.builds.in_flight(name, limit=MOST_IN_FLIGHT)
        oldest = min((build.first_seen_at for build in waiting), default=None)
        count = f"{len(waiting)}{'+' if len(waiting) == MOST_IN_FLIGHT else ''}"
        state = stack.container.source_ledger.state(name)
        table.add_row(Text(name), settings.provider, count, _age(now, oldest), _health(state, now))
        notes += _scope_notes(stack, settings, state, now)
    for name, reason in sorted(sources.broken.items()):
        table.add_row(Text(name), "", "", "", Text(f"misconfigured: {reason}", style="red"))
    _print_table(console, table)
    for note in notes:
        _print_paragraph(console, note)


def _scope_notes(stack: Stack, settings: SourceSettings, state: SourceState, now: datetime) -> list[str]:
    """Return what a source's line has no room for: scopes that cannot be listed, and those not listed yet."""
    notes = []
    if state.failing_scopes:
        failing = stack.container.source_ledger.failing_scopes(settings.name)
        notes += [
            f"{settings.name}/{scope} cannot be listed for {_age(now, details.since)}: {details.message}"
            for scope, details in sorted(failing.items())
        ]
    if state.unlisted_scopes and state.round_started_at is not None:
        notes.append(
            f"{settings.name}: {state.unlisted_scopes} of {state.scopes} scopes are still to be listed in a round that "
            f"has taken {_age(now, state.round_started_at)}; requests_per_minute is {settings.requests_per_minute}"
        )
    return notes


def _health(state: SourceState, now: datetime) -> Text:
    if state.unhealthy_error:
        reason = _REASONS.get(state.unhealthy_error) or state.last_error or state.unhealthy_error
        return Text(f"unhealthy for {_age(now, state.unhealthy_since)}: {reason}", style="red")
    failures = f"{state.failures} failure{'' if state.failures == 1 else 's'} in a row"
    failures += f": {state.last_error}" if state.last_error else ""
    if state.backoff_until and state.backoff_until > now:
        return Text(f"backing off for {_age(state.backoff_until, now)}, {failures}", style="yellow")
    if state.failures:
        return Text(failures, style="yellow")
    return Text("healthy", style="green")


def _print_outcome(console: Console, record: EndedRecord) -> None:
    """Print one outcome: a line for a pipe, a few short ones for a person."""
    moment = record.ended_at.astimezone(UTC)
    message = " ".join(record.problem.message.split()) if record.problem else ""
    outcome = Text(f"{record.outcome:<13}", style=OUTCOME_COLOURS.get(record.outcome, ""))
    if not console.is_terminal:
        line = f"{moment:%Y-%m-%dT%H:%M:%SZ}  {outcome.plain}  {record.build}  {message}"
        say(console, line.rstrip())
        return
    # A complete reference to a build is wider than 80 columns.
    console.print(Text.assemble(f"{moment:%Y-%m-%d %H:%M}  ", outcome, f"  {record.build.source}"), soft_wrap=True)
    say(console, f"    {record.build.scope}/{record.build.build_id}")
    if message:
        _print_paragraph(console, message)


def _print_paragraph(console: Console, text: str) -> None:
    indent = "    "
    width = console.width if console.is_terminal else len(indent + text) + 1
    for line in textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent):
        say(console, line)


def _print_table(console: Console, table: Table) -> None:
    """Print a table that fits the terminal; in a pipe each row is one line."""
    if console.is_terminal:
        console.print(table)
        return
    wide = Console(width=100_000, highlight=False, color_system=None)
    with wide.capture() as captured:
        wide.print(table)
    for line in captured.get().splitlines():
        say(console, line.rstrip())


def _age(later: datetime, earlier: datetime | None) -> str:
    """Return the time between two moments, in its two largest units."""
    if earlier is None:
        return ""
    seconds = int(max(timedelta(), later - earlier).total_seconds())
    for (size, unit), (smaller, its_unit) in (
        ((86_400, "d"), (3_600, "h")),
        ((3_600, "h"), (60, "min")),
    ):
        if seconds >= size:
            rest = seconds % size // smaller
            return f"{seconds // size} {unit}" + (f" {rest} {its_unit}" if rest else "")
    return f"{seconds // 60} min" if seconds >= 60 else f"{seconds} s"  # noqa: PLR2004 - a minute
