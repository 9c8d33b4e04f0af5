"""``courier builds`` and ``latest``: what a deployed stack has done and is doing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.shared import DEFAULT_STACK, EXIT_FAILED, OUTCOME_COLOURS, EndpointUrl, Profile, Region, StackName, say
from cli.tables import Format, FormatOption, duration, moment, print_data, print_table, stamp_or_none
from courier.errors import SettingsError

if TYPE_CHECKING:
    from cli.build_search import InFlight
    from cli.records import EndedRecord
    from courier.models import BuildRef

_NAMES = ("source", "scope", "build")
# A narrower terminal has no room for the columns.
_NARROW_COLUMNS = 76


def builds(
    source: Annotated[str | None, typer.Option(help="Only builds of this source.")] = None,
    outcome: Annotated[
        str | None,
        typer.Option(metavar="OUTCOMES", help="Only builds with one of these outcomes, such as `failed,lost`."),
    ] = None,
    in_flight: Annotated[bool, typer.Option("--in-flight", help="Only builds without an outcome.")] = False,
    since: Annotated[
        str, typer.Option(metavar="WHEN", help="Only builds that ended since then: `7d`, `12h`, `30m`, or a date.")
    ] = "7d",
    limit: Annotated[int, typer.Option(min=1, max=2000, help="Builds to show at most.")] = 50,
    output_format: FormatOption = Format.TABLE,
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """List builds, the newest first: those in flight, then those that ended.

    It only reads, and reads no more than it shows. Standard error says when the list is cut short. On a terminal, ids
    are shortened to a beginning that the other commands accept. Times are UTC.

    **Examples**

        courier builds --since 30d --outcome undeliverable

        courier builds --in-flight --format json

    **Exit code** 0, also for an empty list. 2: an option is wrong, or AWS refuses.
    """
    from cli.build_search import builds_in_flight, parse_since
    from cli.continuing import parse_outcomes
    from cli.records import Found, read_last_records
    from cli.stack import open_stack

    now = datetime.now(UTC)
    outcomes = parse_outcomes(outcome, option="--outcome")
    if in_flight and outcomes:
        raise SettingsError("pass --in-flight or --outcome, not both: a build in flight has no outcome")
    start = parse_since(since, now=now)
    running: Sequence[InFlight] = []
    found, cut = Found(), None
    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target:
        if not outcomes:
            running, cut = builds_in_flight(target, source)
            if len(running) > limit:
                running, cut = running[:limit], f"there are {len(running)} builds in flight: --limit shows more"
        if not in_flight and len(running) < limit:
            found = read_last_records(
                target,
                most=limit - len(running),
                source=source,
                since=start,
                matches=lambda record: not outcomes or record.outcome in outcomes,
            )
    rows = [_running_row(build, now) for build in running]
    rows += [_ended_row(record, key) for key, record in found.records.items()]
    if output_format is Format.TABLE:
        _print_builds(Console(highlight=False), running, list(found.records.values()), now, since, in_flight=in_flight)
    else:
        print_data(rows, rows, output_format)
    for reason in filter(None, (cut, found.cut)):
        say(Console(stderr=True), f"courier: cut short: {reason}", style="yellow")


def latest(
    source: Annotated[str | None, typer.Argument(metavar="SOURCE", help="Only scopes of this source.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=2000, help="Scopes to show at most.")] = 200,
    output_format: FormatOption = Format.TABLE,
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """List the newest good build of each scope, the newest first.

    **Example**

        courier latest red-team

    **Exit code** 0: there is one. 1: there is none. 2: an option is wrong, or AWS refuses.
    """
    from cli.build_search import short_ids
    from cli.records import read_latest
    from cli.stack import open_stack

    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target:
        found = read_latest(target, source, most=limit)
    rows = [_ended_row(record, None) for record in found.records.values()]
    if output_format is not Format.TABLE:
        print_data(rows, rows, output_format)
    elif rows:
        console = Console(highlight=False)
        short = short_ids([record.build for record in found.records.values()])
        lines = [
            (moment(record.ended_at), duration(record.seconds), _size(record), *_names(console, record.build, short))
            for record in found.records.values()
        ]
        _print_lines(console, ("ended", "took", "size", *_NAMES), lines)
    else:
        say(Console(highlight=False), f"No good build yet{f' of source {source}' if source else ''}")
    if found.cut:
        say(Console(stderr=True), f"courier: cut short: {found.cut}", style="yellow")
    if not rows:
        raise typer.Exit(EXIT_FAILED)


def _running_row(build: InFlight, now: datetime) -> dict[str, object]:
    return {
        **_ref_fields(build.ref),
        "state": build.state,
        "outcome": None,
        "first_seen_at": stamp_or_none(build.first_seen_at),
        "ended_at": None,
        "seconds": round(build.seconds(now), 1),
        "next_poll_at": build.next_poll_at,
        "deadline_at": stamp_or_none(build.deadline_at),
        "paused": build.paused,
        "size_bytes": None,
        "artifact_key": None,
        "record_key": None,
        "problem": None,
    }


def _ended_row(record: EndedRecord, key: str | None) -> dict[str, object]:
    artifact = record.artifact
    return {
        **_ref_fields(record.build),
        "state": record.outcome,
        "outcome": record.outcome,
        "first_seen_at": stamp_or_none(record.timeline.first_seen_at),
        "ended_at": stamp_or_none(record.ended_at),
        "seconds": record.seconds,
        "next_poll_at": None,
        "deadline_at": None,
        "paused": None,
        "size_bytes": artifact.size_bytes if artifact else None,
        "artifact_key": artifact.key if artifact else None,
        "record_key": key,
        "problem": record.problem.message if record.problem else None,
    }


def _ref_fields(ref: BuildRef) -> dict[str, object]:
    return {"source": ref.source, "scope": ref.scope, "build_id": ref.build_id}


def _print_builds(
    console: Console,
    running: Sequence[InFlight],
    records: Sequence[EndedRecord],
    now: datetime,
    since: str,
    *,
    in_flight: bool,
) -> None:
    from cli.build_search import short_ids

    if not running and not records and in_flight:
        say(console, "No builds in flight")
        return
    if not running and not records:
        say(console, f"No builds in flight, and none that matches ended since {since}")
        return
    short = short_ids([*(build.ref for build in running), *(record.build for record in records)])
    lines = [(_state(build), "", duration(build.seconds(now)), *_names(console, build.ref, short)) for build in running]
    lines += [
        (record.outcome, moment(record.ended_at), duration(record.seconds), *_names(console, record.build, short))
        for record in records
    ]
    _print_lines(console, ("state", "ended", "took", *_NAMES), lines)


def _state(build: InFlight) -> str:
    return "paused" if build.paused else build.state


def _print_lines(console: Console, headings: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Print lines that end with source, scope and id: a table, or two lines each where a table would be too narrow."""
    if console.is_terminal and console.width < _NARROW_COLUMNS:
        for *facts, source, scope, build_id in lines:
            first = [Text(cell, style=OUTCOME_COLOURS.get(cell, "")) for cell in (*facts, build_id) if cell]
            console.print(Text("  ").join(first), soft_wrap=True)
            say(console, f"    {source}/{scope}")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        if heading in {"source", "scope"}:
            table.add_column(heading, overflow="fold")
        else:
            table.add_column(heading, no_wrap=True, justify="right" if heading in {"took", "size"} else "left")
    for cells in lines:
        # Text shows what a provider sent as it is, and reads no markup in it.
        table.add_row(*(Text(cell, style=OUTCOME_COLOURS.get(cell, "")) for cell in cells))
    print_table(console, table)


def _names(console: Console, ref: BuildRef, short: Mapping[BuildRef, str]) -> tuple[str, str, str]:
    """Return source, scope and id; a terminal gets the short id, a pipe the whole one."""
    return ref.source, ref.scope, short[ref] if console.is_terminal else ref.build_id


def _size(record: EndedRecord) -> str:
    if record.artifact is None:
        return ""
    size, unit = float(record.artifact.size_bytes), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:  # noqa: PLR2004 - a unit
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
