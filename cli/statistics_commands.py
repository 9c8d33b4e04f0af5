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
    pass

_MOST_RECORDS = 20_000


def stats(
    source: Annotated[str | None, typer.Option(help="Only scopes of this source.")] = None,
    since: Annotated[str, typer.Option(metavar="WHEN", help="Builds that ended since then: `30d` or a date.")] = "30d",
    output_format: FormatOption = Format.TABLE,
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Show for each scope how many builds ended, how many were good, failed or neither, and how long good ones took.

    `usual` is the median, `slow` the duration that one build in twenty exceeds (p50 and p95). Canceled and empty builds
    count neither as good nor as failed, but as other.

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
            "other": each.other,
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
    for heading in ("ended", "good", "failed", "other", "usual", "slow"):
        table.add_column(heading, no_wrap=True, justify="right")
    for heading in ("source", "scope"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        failed = Text(str(row["failed"]), style="red" if row["failed"] else "")
        times = (duration(row["p50_seconds"]), duration(row["p95_seconds"]))
        table.add_row(
            str(row["builds"]),
            str(row["good"]),
            failed,
            str(row["other"]),
            *times,
            Text(row["source"]),
            Text(row["scope"]),
        )
    print_table(Console(highlight=False), table)


def cost(
    output_format: FormatOption = Format.TABLE,
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Estimate what the stack has cost this month, from the builds that ended and the list prices of us-east-1.

    It is an estimate, the same as on the page: polls and reports are counted from the records; ticks are assumed to
    come every minute, and discoveries every five; storage, transfer to other regions and the free tier are left out.
    Cost Explorer has the bill: the resources have the tag `application` with the value `build-courier`.

    **Example**

        courier cost --format json

    **Exit code** 0. 2: an option is wrong, or AWS refuses.
    """
    from cli.costs import estimate_month
    from cli.records import read_last_records
    from cli.stack import open_stack

    now = datetime.now(UTC)
    start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target:
        found = read_last_records(target, most=_MOST_RECORDS, since=start)
    estimate = estimate_month(found.records.values(), now=now)
    document = {
        "month": f"{start:%Y-%m}",
        "estimated_dollars": round(estimate.total, 6),
        "waiting_dollars": round(estimate.waiting, 6),
        "building_dollars": round(estimate.building, 6),
        "projected_dollars": round(estimate.projected, 6),
        "builds": estimate.builds,
        "dollars_per_build": None if estimate.per_build is None else round(estimate.per_build, 6),
        "prices_of": estimate.priced_at,
    }
    if output_format is not Format.TABLE:
        print_data(document, [document], output_format)
    else:
        console = Console(highlight=False)
        builds = "1 build" if estimate.builds == 1 else f"{estimate.builds} builds"
        each = "" if estimate.per_build is None else f", ${estimate.per_build:.4f} each"
        say(console, f"{start:%B %Y} so far, estimated: ${estimate.total:.2f} for {builds}{each}", style="bold")
        say(console, f"${estimate.waiting:.4f}  ticks and discoveries, which cost the same without a build")
        say(console, f"${estimate.building:.4f}  builds, their polls and reports")
        say(console, f"${estimate.projected:.4f}  the whole month, if it goes on like this")
        say(console, f"List prices of {estimate.priced_at}; storage, transfer and the free tier are left out")
    if found.cut:
        say(Console(stderr=True), f"courier: cut short: {found.cut}", style="yellow")
