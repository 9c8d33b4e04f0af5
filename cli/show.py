"""``courier show``: everything about one build."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console

from cli.shared import (
    DEFAULT_STACK,
    SEARCHED,
    BuildArgument,
    EndpointUrl,
    Profile,
    Region,
    SearchedSince,
    StackName,
    say,
)
from cli.tables import Format, FormatOption, describe_pause, duration, moment, print_data, stamp_or_none

if TYPE_CHECKING:
    from cli.build_search import FoundBuild
    from cli.stack import Stack
    from courier.ledger import SourceState
    from courier.models import Act


def show(
    build: BuildArgument,
    since: SearchedSince = SEARCHED,
    output_format: FormatOption = Format.TABLE,
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Show one build: its timeline, last and next poll, what the provider said, where everything is, and what to do.

    It only reads, and calls no provider. Times are UTC.

    **Example**

        courier show dd4519b2

    **Exit code** 0: the build was found. 2: BUILD matches no build or more than one, or AWS refuses.
    """
    from cli.build_search import find_build, parse_since, usual_duration
    from cli.stack import open_stack

    now = datetime.now(UTC)
    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target:
        found = find_build(target, build, since=parse_since(since, now=now))
        usual, count = usual_duration(target, found.ref)
        state = target.container.source_ledger.state(found.ref.source)
        document = _document(
            target,
            found,
            usual=usual,
            usual_builds=count,
            source_problem=_source_problem(target, found, state),
            deadline_at=_deadline(target, found, state),
            now=now,
        )
    if output_format is Format.TABLE:
        _print_build(Console(highlight=False), document)
    else:
        flat = [{"field": name, "value": value} for name, value in _flat(document)]
        print_data(document, flat, output_format)


def _source_problem(stack: Stack, found: FoundBuild, state: SourceState) -> str | None:
    """Return what keeps the source of a build in flight from being called: a pause, or its last error."""
    from courier.ledger.pauses import pause_at

    if found.record is not None or found.row is None:
        return None
    if pause := pause_at(state.pauses, stack.container.clock()):
        return describe_pause(pause)
    if state.is_unhealthy or state.failures:
        return state.last_error or state.unhealthy_error
    return None


def _deadline(stack: Stack, found: FoundBuild, state: SourceState) -> datetime | None:
    from cli.build_search import longest_wait
    from courier.ledger.pauses import effective_deadline

    if found.row is None or found.record is not None or found.row.outcome is not None:
        return None
    wait = longest_wait(stack.container.sources.load(), found.ref.source)
    row, now = found.row, stack.container.clock()
    return effective_deadline(row.deadline_at, row.first_seen_at, state.pauses, now, longest_wait=wait)


def _document(
    stack: Stack,
    found: FoundBuild,
    *,
    usual: float | None,
    usual_builds: int,
    source_problem: str | None,
    deadline_at: datetime | None,
    now: datetime,
) -> dict[str, Any]:
    row, record = found.row, found.record
    timeline = record.timeline if record else None
    created_at = timeline.created_at if timeline else row.created_at if row else None
    first_seen_at = timeline.first_seen_at if timeline else row.first_seen_at if row else None
    in_flight = record is None and row is not None and row.outcome is None
    begin = created_at or first_seen_at
    seconds = record.seconds if record else (now - begin).total_seconds() if in_flight and begin else None
    bucket = stack.outputs["BucketName"]
    artifact = record.artifact if record else None
    problem = record.problem if record else None
    return {
        "build": str(found.ref),
        "source": found.ref.source,
        "scope": found.ref.scope,
        "build_id": found.ref.build_id,
        "state": found.state,
        "status": str(row.status) if row else None,
        "seconds": None if seconds is None else round(seconds, 1),
        "usual_seconds": usual,
        "usual_builds": usual_builds,
        "timeline": {
            "created_at": stamp_or_none(created_at),
            "started_at": stamp_or_none(timeline.started_at) if timeline else None,
            "first_seen_at": stamp_or_none(first_seen_at),
            "status_since": stamp_or_none(row.status_since) if row and in_flight else None,
            "completed_at": stamp_or_none(timeline.completed_at) if timeline else None,
            "detected_at": stamp_or_none(timeline.detected_at) if timeline else None,
            "copied_at": stamp_or_none(timeline.copied_at) if timeline else None,
            "deadline_at": stamp_or_none(deadline_at),
        },
        "polls": {
            "count": row.polls if row else record.courier.polls if record and record.courier else None,
            "last_at": stamp_or_none(row.last_poll_at) if row else None,
            "next_at": row.next_poll_at if row and in_flight else None,
            "last_report": row.last_report if row and (row.polls or row.last_error) else None,
        },
        "source_problem": source_problem,
        "problem": None if problem is None else problem.model_dump(mode="json"),
        "artifact": None if artifact is None else artifact.model_dump(mode="json"),
        "record": None if found.record_key is None else {"bucket": bucket, "key": found.record_key},
        "attempt": record.attempt if record else row.attempt if row else 1,
        "earlier_attempts": [each.model_dump(mode="json") for each in record.earlier_attempts] if record else [],
        "acts": [each.model_dump(mode="json") for each in _acts(found)],
        "execution": (row.execution if row else None)
        or (record.courier.execution if record and record.courier else None),
    }


def _acts(found: FoundBuild) -> Sequence[Act]:
    """Return what operators did to the build: a record keeps it for good, the row of a build in flight knows more."""
    recorded = found.record.acts if found.record else ()
    known = {act.id for act in recorded}
    return [*recorded, *(act for act in (found.row.acts if found.row else ()) if act.id not in known)]


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            for number, each in enumerate(value):
                yield from _flat(each, f"{prefix}{name}.{number}.")
        else:
            yield f"{prefix}{name}", value


def _print_build(console: Console, document: Mapping[str, Any]) -> None:
    """Print a build as lines of a label and a value; what is not known has no line."""
    say(console, document["build"], style="bold")
    polls, problem, artifact = document["polls"], document["problem"] or {}, document["artifact"]
    usual = document["usual_seconds"]
    took = duration(document["seconds"])
    if took and usual is not None:
        count = document["usual_builds"]
        took += f", usually {duration(usual)} (median of {count} build{'' if count == 1 else 's'})"
    lines = {
        "state": document["state"],
        "age" if document["timeline"]["deadline_at"] else "took": took,
        **{name.removesuffix("_at"): _readable(value) for name, value in document["timeline"].items()},
        "polls": polls["count"],
        "last poll": _readable(polls["last_at"]),
        "next poll": _readable(polls["next_at"]),
        "provider": polls["last_report"],
        "source": document["source_problem"],
        "problem": problem.get("message"),
        "cure": problem.get("advice"),
        "report": f"s3://{artifact['bucket']}/{artifact['key']}" if artifact else None,
        "size": f"{artifact['size_bytes']} bytes" if artifact else None,
        "sha256": artifact["sha256"] if artifact else None,
        "record": "s3://{bucket}/{key}".format(**document["record"]) if document["record"] else None,
        "execution": document["execution"],
        **{f"attempt {each['number']}": _outcome_and_reason(each) for each in document["earlier_attempts"]},
        **{
            f"act {number}": f"{each['action']} by {each['by']}, {_readable(each['at'])}"
            + (f": {each['note']}" if each["note"] else "")
            for number, each in enumerate(document["acts"], start=1)
        },
    }
    shown = {name.replace("_", " "): str(value) for name, value in lines.items() if value not in (None, "")}
    width = max(map(len, shown)) + 2
    for name, value in shown.items():
        _print_field(console, name, value, width)


def _outcome_and_reason(attempt: Mapping[str, Any]) -> str:
    return ": ".join(filter(None, (attempt["outcome"], (attempt["problem"] or {}).get("message"))))


def _print_field(console: Console, name: str, value: str, width: int) -> None:
    room = console.width - width if console.is_terminal else 0
    text = " ".join(value.split())
    # Paths and ARNs stay whole, so that they can be copied.
    lines = textwrap.wrap(text, max(20, room), break_long_words=False, break_on_hyphens=False) if room else [text]
    for label, line in zip([name, *[""] * len(lines)], lines, strict=False):
        say(console, f"{label:<{width}}{line}")


def _readable(stamp: str | None) -> str:
    return "" if stamp is None else moment(datetime.fromisoformat(stamp), seconds=True)
