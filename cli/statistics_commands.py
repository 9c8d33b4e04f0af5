"""``courier stats`` and ``courier cost``: how long builds take, how many fail, and what this month costs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.shared import DEFAULT_STACK, EndpointUrl, Profile, Region, StackName, say
from cli.tables import Format, FormatOption, duration, print_data, print_table

if TYPE_CHECKING:
    from cli.records import EndedRecord

_MOST_RECORDS = 20_000
# What the commands cannot count. Each is an average of what the functions take on AWS.
_RECORD_SECONDS, _RECORD_GB = 0.3, 0.25
_COPY_SECONDS, _COPY_GB, _COPY_BYTES_PER_SECOND = 1.0, 1.0, 50_000_000
_DISCOVERY_MINUTES = 5
# A record, the head under latest, and the report of one part.
_PUTS_PER_REPORT, _PUTS_PER_RECORD = 2, 1


def stats(
    source: Annotated[str | None, typer.Option(help="Only scopes of this source.")] = None,
    since: Annotated[str, typer.Option(metavar="WHEN", help="Builds that ended since then: `30d` or a date.")] = "30d",
    output_format: FormatOption = Format.TABLE,
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Show for each scope how many builds ended, the share that failed, and how long the good ones took.

    `usual` is the median, `slow` the duration that one build in twenty exceeds (p50 and p95). Canceled and empty builds
    count neither as good nor as failed.

    **Example**

        courier stats --since 90d --format csv

    **Exit code** 0, also without builds. 2: an option is wrong, or AWS refuses.
    """
    from cli.build_search import parse_since
    from cli.records import read_last_records
    from cli.stack import open_stack
    from cli.statistics import by_scope

    start = parse_since(since, now=datetime.now(UTC))
    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target:
        found = read_last_records(target, most=_MOST_RECORDS, source=source, since=start)
    rows: list[dict[str, Any]] = [
        {
            "source": name,
            "scope": scope,
            "builds": each.builds,
            "good": each.good,
            "failed": each.bad,
            "failure_share": None if each.failure_share is None else round(each.failure_share, 4),
            "p50_seconds": each.p50,
            "p95_seconds": each.p95,
            "last_good_at": None if each.last_good is None else each.last_good.ended_at.isoformat(),
        }
        for (name, scope), each in by_scope(found.records.values()).items()
    ]
    if output_format is not Format.TABLE:
        print_data(rows, rows, output_format)
    elif rows:
        _print_stats(rows)
    else:
        say(Console(highlight=False), f"No builds ended since {since}")
    if found.cut:
        say(Console(stderr=True), f"courier: cut short: {found.cut}", style="yellow")


def _print_stats(rows: Sequence[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("builds", "failed", "usual", "slow"):
        table.add_column(heading, no_wrap=True, justify="right")
    for heading in ("source", "scope"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        share = row["failure_share"]
        failed = Text("" if share is None else f"{share:.0%}", style="red" if share else "")
        times = (duration(row["p50_seconds"]), duration(row["p95_seconds"]))
        table.add_row(str(row["builds"]), failed, *times, Text(row["source"]), Text(row["scope"]))
    print_table(Console(highlight=False), table)


def cost(
    output_format: FormatOption = Format.TABLE,
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Estimate what the stack has cost this month, from the builds that ended and the list prices of us-east-1.

    It is an estimate: polls and copied bytes are counted from the records; ticks are assumed to come every minute, and
    discoveries every five; storage, logs, transfer to other regions and the free tier are left out. Cost Explorer has
    the bill: the resources have the tag `application` with the value `build-courier`.

    **Example**

        courier cost --format json

    **Exit code** 0. 2: an option is wrong, or AWS refuses.
    """
    from cli.records import read_last_records
    from cli.stack import open_stack
    from local.polling_study.prices import read_prices

    now = datetime.now(UTC)
    start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target:
        found = read_last_records(target, most=_MOST_RECORDS, since=start)
    prices = read_prices()
    records = list(found.records.values())
    parts = prices.cost(estimated_units(records, minutes=(now - start).total_seconds() / 60))
    rows = [{"unit": name, "dollars": round(dollars, 6)} for name, dollars in parts.items()]
    total = sum(parts.values())
    document = {
        "month": f"{start:%Y-%m}",
        "estimated_dollars": round(total, 6),
        "builds": len(records),
        "dollars_per_build": round(total / len(records), 6) if records else None,
        "prices_of": prices.gathered.isoformat(),
        "by_unit": {row["unit"]: row["dollars"] for row in rows},
    }
    if output_format is not Format.TABLE:
        print_data(document, rows, output_format)
    else:
        console = Console(highlight=False)
        each = f", ${total / len(records):.4f} each" if records else ""
        builds = "1 build" if len(records) == 1 else f"{len(records)} builds"
        say(console, f"{start:%B %Y} so far, estimated: ${total:.2f} for {builds}{each}", style="bold")
        for name, dollars in sorted(parts.items(), key=lambda part: -part[1]):
            say(console, f"${dollars:10.4f}  {name.replace('_', ' ')}")
        say(
            console, f"List prices of {prices.region}, {prices.gathered}; storage, logs and the free tier are left out."
        )
    if found.cut:
        say(Console(stderr=True), f"courier: cut short: {found.cut}", style="yellow")


def estimated_units(records: Sequence[EndedRecord], *, minutes: float) -> dict[str, float]:
    """Return the billed units of a month so far, by their names in the price list."""
    from dataclasses import asdict

    from local.polling_study.prices import units_by_ticks
    from local.polling_study.strategies import PollingCounts

    ticks = int(minutes) + int(minutes / _DISCOVERY_MINUTES)
    polls = sum(record.courier.polls for record in records if record.courier)
    artifacts = [record.artifact for record in records if record.artifact]
    copy_seconds = sum(_COPY_SECONDS + each.size_bytes / _COPY_BYTES_PER_SECOND for each in artifacts)
    counts = PollingCounts(builds=len(records), polls=polls, invocations=ticks, ticks=ticks, rows_read=polls)
    units: dict[str, float] = asdict(units_by_ticks(counts))
    units["lambda_request"] += len(records) + len(artifacts)
    units["lambda_gb_second"] += len(records) * _RECORD_SECONDS * _RECORD_GB + copy_seconds * _COPY_GB
    units["s3_put"] = len(records) * _PUTS_PER_RECORD + len(artifacts) * _PUTS_PER_REPORT
    units["sns_publish"] = len(records)
    return units
