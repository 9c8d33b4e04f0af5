"""``courier logs`` and ``courier open``: what the functions wrote about a build, and its report in a browser."""

from __future__ import annotations

import json
import sys
import webbrowser
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from cli.shared import (
    DEFAULT_STACK,
    EXIT_FAILED,
    SEARCHED,
    BuildArgument,
    EndpointUrl,
    Profile,
    Region,
    SearchedSince,
    StackName,
    say,
)
from cli.tables import Format, FormatOption, print_data

if TYPE_CHECKING:
    from cli.build_search import FoundBuild

_FUNCTIONS = ("discover_builds", "request_build", "poll_builds", "copy_artifact", "record_outcome")
# A log line may come a moment before the row or after the record.
_MARGIN = timedelta(minutes=10)
_LINK_SECONDS = 600
# Fields that say nothing about the build.
_LEFT_OUT = frozenset(
    {"level", "location", "message", "timestamp", "service", "cold_start", "function_name", "function_memory_size"}
    | {"function_arn", "function_request_id", "xray_trace_id", "source", "scope", "build_id"}
)


def logs(
    build: BuildArgument,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Lines to show at most, the oldest first.")] = 500,
    since: SearchedSince = SEARCHED,
    output_format: FormatOption = Format.TABLE,
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Show the log lines of all functions that name a build, the oldest first.

    CloudWatch searches the log groups of the stack from the build's first sight to its end; it keeps lines for
    `LogRetentionDays`.

    **Example**

        courier logs dd4519b2

    **Exit code** 0: there are lines. 1: there are none. 2: no build or several begin so, or AWS refuses.
    """
    from cli.build_search import find_build, parse_since
    from cli.stack import open_stack

    now = datetime.now(UTC)
    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target:
        found = find_build(target, build, since=parse_since(since, now=now))
        start, end = _period(found, now)
        rows = sorted(
            (row for name in _FUNCTIONS for row in _lines(target.name, name, found.ref.build_id, start, end)),
            key=lambda row: str(row["at"]),
        )
    shown = rows[:limit]
    if output_format is not Format.TABLE:
        print_data(shown, shown, output_format)
    for row in shown if output_format is Format.TABLE else ():
        say(Console(highlight=False), _text(row))
    if len(rows) > limit:
        say(Console(stderr=True), f"courier: cut short: --limit shows all {len(rows)} lines", style="yellow")
    if not rows:
        say(Console(stderr=True), f"courier: no log line names {found.ref}; lines are kept for LogRetentionDays")
        raise typer.Exit(EXIT_FAILED)


def _period(found: FoundBuild, now: datetime) -> tuple[datetime, datetime]:
    """Return from when to when lines are searched: until now, for a build may have been retried."""
    known = [found.row.first_seen_at] if found.row else []
    if found.record is not None:
        known.append(found.record.timeline.first_seen_at or found.record.ended_at - timedelta(days=1))
    return min(known) - _MARGIN, now


def _lines(stack: str, function: str, build_id: str, start: datetime, end: datetime) -> Iterator[dict[str, Any]]:
    """Yield the lines of a log group that contain the id; a group that does not exist has none."""
    import boto3

    client = boto3.session.Session().client("logs")
    pages = client.get_paginator("filter_log_events").paginate(
        logGroupName=f"/{stack}/{function}",
        startTime=round(start.timestamp() * 1000),
        endTime=round(end.timestamp() * 1000),
        # Quoted, because ids contain characters of the filter's syntax.
        filterPattern=json.dumps(build_id),
    )
    try:
        for page in pages:
            for event in page["events"]:
                yield _line(function, event)
    except client.exceptions.ResourceNotFoundException:
        return


def _line(function: str, event: Mapping[str, Any]) -> dict[str, Any]:
    at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    try:
        document = json.loads(event["message"])
        message, level = str(document["message"]), str(document.get("level", ""))
        fields = {name: value for name, value in document.items() if name not in _LEFT_OUT}
    except (ValueError, KeyError, TypeError):
        # Lambda's own lines, and those of the metrics.
        message, level, fields = str(event["message"]).strip(), "", {}
    return {"at": at, "function": function, "level": level, "message": message, "fields": fields}


def _text(row: Mapping[str, Any]) -> str:
    more = " ".join(f"{name}={value}" for name, value in row["fields"].items())
    return f"{row['at']}  {row['function']:<15}  {row['level']:<7}  {row['message']}  {more}".rstrip()


def open_report(
    build: BuildArgument,
    print_link: Annotated[bool, typer.Option("--print", help="Print the link instead of opening it.")] = False,
    since: SearchedSince = SEARCHED,
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Open the stored report of a build in the browser, by a link that is good for ten minutes.

    The link is a secret for that time: everybody who has it can read the report. `courier get` downloads the report
    and checks it.

    **Example**

        courier open dd4519b2

    **Exit code** 0: the browser was started. 1: the build has no report, or there is no browser. 2: no build or several
    begin so, or AWS refuses.
    """
    from cli.build_search import find_build, parse_since
    from cli.stack import open_stack
    from courier import aws

    errors = Console(stderr=True)
    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target:
        found = find_build(target, build, since=parse_since(since, now=datetime.now(UTC)))
        artifact = None if found.record is None else found.record.artifact
        if artifact is None:
            say(errors, f"courier: {found.ref} has no report: its state is {found.state}", style="red")
            raise typer.Exit(EXIT_FAILED)
        version = {"VersionId": artifact.version_id} if artifact.version_id else {}
        link = aws.client("s3").generate_presigned_url(
            "get_object", Params={"Bucket": artifact.bucket, "Key": artifact.key, **version}, ExpiresIn=_LINK_SECONDS
        )
    if print_link:
        sys.stdout.write(f"{link}\n")
    elif not webbrowser.open(link):
        say(
            errors,
            "courier: no browser was found; --print prints the link, courier get downloads the report",
            style="red",
        )
        raise typer.Exit(EXIT_FAILED)
