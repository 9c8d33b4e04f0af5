"""``courier status`` and ``courier limits``: the state of a deployed stack and of its sources."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.shared import DEFAULT_STACK, OUTCOME_COLOURS, UNHEALTHY_REASONS, EndpointUrl, Profile, Region, StackName, say
from cli.tables import age, describe_pause, print_paragraph, print_table
from courier.errors import SettingsError

if TYPE_CHECKING:
    from cli.records import EndedRecord
    from cli.stack import Stack
    from courier.config.settings import SourceSettings
    from courier.ledger import DueBuild, SourceState
    from courier.sources.catalog import Sources

LAST_OUTCOMES = 10
# Builds in flight that are named, the oldest ones.
NAMED_IN_FLIGHT = 5
MOST_IN_FLIGHT = 1_000


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
    from cli.records import read_last_records
    from cli.stack import open_stack

    console = Console(highlight=False)
    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target:
        sources = target.container.sources.load()
        if sources.usable or sources.broken:
            _print_sources(console, target, sources)
        else:
            say(console, f"Stack {target.name} has no sources yet: courier config push sources.yaml")
        records = list(read_last_records(target, most=LAST_OUTCOMES).records.values())
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
            print_paragraph(console, advice or "")


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
    in_flight: list[DueBuild] = []
    for name, settings in sorted(sources.usable.items()):
        waiting = stack.container.builds.in_flight(name, limit=MOST_IN_FLIGHT)
        in_flight += waiting
        oldest = min((build.first_seen_at for build in waiting), default=None)
        count = f"{len(waiting)}{'+' if len(waiting) == MOST_IN_FLIGHT else ''}"
        state = stack.container.source_ledger.state(name)
        table.add_row(Text(name), settings.provider, count, age(now, oldest), _health(state, now))
        notes += _scope_notes(stack, settings, state, now)
    for name, reason in sorted(sources.broken.items()):
        table.add_row(Text(name), "", "", "", Text(f"misconfigured: {reason}", style="red"))
    print_table(console, table)
    for note in notes:
        print_paragraph(console, note)
    _print_in_flight(console, in_flight, now)


def _print_in_flight(console: Console, builds: Sequence[DueBuild], now: datetime) -> None:
    """Name the builds in flight, the oldest ones where there are many."""
    if not builds:
        return
    say(console, "\nIn flight", style="bold")
    for build in sorted(builds, key=lambda build: build.first_seen_at)[:NAMED_IN_FLIGHT]:
        ref, state = build.ref, f"{build.status:<13}  {age(now, build.first_seen_at):<11}"
        if console.is_terminal:
            # A complete reference to a build is wider than 80 columns.
            say(console, f"{state}  {ref.source}")
            say(console, f"    {ref.scope}/{ref.build_id}")
        else:
            say(console, f"{state}  {ref}")
    if len(builds) > NAMED_IN_FLIGHT:
        say(console, f"and {len(builds) - NAMED_IN_FLIGHT} more: courier builds --in-flight")


def _scope_notes(stack: Stack, settings: SourceSettings, state: SourceState, now: datetime) -> list[str]:
    """Return what a source's line has no room for: scopes that cannot be listed, and those not listed yet."""
    notes = []
    if state.failing_scopes:
        failing = stack.container.source_ledger.failing_scopes(settings.name)
        notes += [
            f"{settings.name}/{scope} cannot be listed for {age(now, details.since)}: {details.message}"
            for scope, details in sorted(failing.items())
        ]
    if state.unlisted_scopes and state.round_started_at is not None:
        notes.append(
            f"{settings.name}: {state.unlisted_scopes} of {state.scopes} scopes are still to be listed in a round that "
            f"has taken {age(now, state.round_started_at)}; requests_per_minute is {settings.requests_per_minute}"
        )
    return notes


def _health(state: SourceState, now: datetime) -> Text:
    from courier.ledger.pauses import pause_at

    if pause := pause_at(state.pauses, now):
        return Text(describe_pause(pause), style="yellow")
    if state.unhealthy_error:
        reason = UNHEALTHY_REASONS.get(state.unhealthy_error) or state.last_error or state.unhealthy_error
        return Text(f"unhealthy for {age(now, state.unhealthy_since)}: {reason}", style="red")
    failures = f"{state.failures} failure{'' if state.failures == 1 else 's'} in a row"
    failures += f": {state.last_error}" if state.last_error else ""
    if state.backoff_until and state.backoff_until > now:
        return Text(f"backing off for {age(state.backoff_until, now)}, {failures}", style="yellow")
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
        print_paragraph(console, message)
