"""``courier status`` and ``courier limits``: how a deployed stack and its sources are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.stack import DEFAULT_STACK, EndpointUrl, Profile, Region, Stack, StackName, find_stack
from courier import aws
from courier.errors import SettingsError
from courier.keys import segment
from courier.ledger import SourceState
from courier.records import Record
from courier.sources import Sources

LAST_OUTCOMES = 10
# Records are found by their day; a stack that had no outcome for so long says so.
LOOK_BACK_DAYS = 30
MOST_IN_FLIGHT = 1_000


def status(
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Show the sources and their health, the builds in flight, and the last ten outcomes.

    **Example**

        courier status --stack build-courier
    """
    console = Console()
    target = find_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url)
    sources = target.parts.sources.load()
    if not sources.usable and not sources.broken:
        console.print(f"Stack {stack} has no sources yet: courier config push sources.yaml", highlight=False)
        return
    console.print(_sources_table(target, sources))
    console.print(_outcomes_table(_last_records(target, list(sources.usable))))


def limits(
    source: Annotated[str, typer.Argument(help="Name of the source.")],
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Show what a source's account may use, in GB, and what to do when builds or queries fail.

    **Example**

        courier limits insights
    """
    console = Console()
    target = find_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url)
    settings = target.parts.sources.load().get(source)
    provider = target.parts.provider(settings)
    found = provider.account_limits()
    if found is None:
        raise SettingsError(f"{source}: no limits to show: {provider.name} has none, or the source has no account_id")
    table = Table(title=f"Limits of {source}", title_justify="left")
    for heading in ("limit", "GB", "when it is exceeded"):
        table.add_column(heading, justify="right" if heading == "GB" else "left", overflow="fold")
    table.add_row("build size", _gigabytes(found.build_size_gb), provider.failure_advice(found) or "")
    table.add_row("query size", _gigabytes(found.query_size_gb), provider.query_advice() or "")
    console.print(table)


def _sources_table(stack: Stack, sources: Sources) -> Table:
    table = Table(title="Sources", title_justify="left")
    for heading in ("source", "provider", "health", "in flight", "longest waiting since"):
        table.add_column(heading, justify="right" if heading == "in flight" else "left", overflow="fold")
    for name, settings in sorted(sources.usable.items()):
        waiting = stack.parts.builds.in_flight(name, limit=MOST_IN_FLIGHT)
        oldest = min((build.first_seen_at for build in waiting), default=None)
        count = f"{len(waiting)}{'+' if len(waiting) == MOST_IN_FLIGHT else ''}"
        health = _health(stack.parts.source_ledger.state(name), stack.parts.clock())
        table.add_row(name, settings.provider, health, count, _moment(oldest))
    for name, reason in sorted(sources.broken.items()):
        table.add_row(name, "?", Text(f"misconfigured: {reason}", style="red"), "", "")
    return table


def _health(state: SourceState, now: datetime) -> Text:
    if state.illness:
        return Text(f"ill since {_moment(state.ill_since)}: {state.illness}", style="red")
    if state.first_sight_at is None and not state.failures:
        return Text("not seen yet")
    if state.rest_until and state.rest_until > now:
        return Text(f"rests until {_moment(state.rest_until)} after {state.failures} failures", style="yellow")
    return Text("well", style="green")


def _outcomes_table(records: list[Record]) -> Table:
    table = Table(title=f"Last {LAST_OUTCOMES} outcomes", title_justify="left")
    for heading in ("ended", "outcome", "build", "problem"):
        table.add_column(heading, overflow="fold")
    for record in records:
        problem = record.problem.message if record.problem else ""
        table.add_row(_moment(record.ended_at), record.outcome, Text(str(record.build)), Text(problem))
    return table


def _last_records(stack: Stack, sources: list[str]) -> list[Record]:
    """Read the newest records, day by day backwards until there are enough."""
    today = stack.parts.clock().astimezone(UTC).date()
    found: list[Record] = []
    for days in range(LOOK_BACK_DAYS):
        for name in sources:
            found += _records_of(stack, name, today - timedelta(days=days))
        if len(found) >= LAST_OUTCOMES:
            break
    return sorted(found, key=lambda record: record.ended_at, reverse=True)[:LAST_OUTCOMES]


def _records_of(stack: Stack, source: str, day: date) -> Iterator[Record]:
    """Read the newest records of one source and day; an object of another version is passed over."""
    s3 = aws.client("s3")
    bucket = stack.outputs["BucketName"]
    prefix = f"{stack.parts.environment.prefix}records/source={segment(source)}/date={day.isoformat()}/"
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    listed = [item for page in pages for item in page.get("Contents", [])]
    listed.sort(key=lambda item: item["LastModified"], reverse=True)
    for item in listed[:LAST_OUTCOMES]:
        try:
            yield Record.model_validate_json(s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read())
        except ValidationError:
            continue


def _gigabytes(size: float | None) -> str:
    return "not said" if size is None else f"{size:g}"


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
