"""``courier builds``, ``show``, ``latest`` and ``get``: what a deployed stack has done and is doing."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.shared import (
    DEFAULT_STACK,
    EXIT_FAILED,
    OUTCOME_COLOURS,
    EndpointUrl,
    Profile,
    Region,
    StackName,
    say,
)
from cli.tables import Format, FormatOption, duration, moment, print_data, print_table
from courier.errors import SettingsError

if TYPE_CHECKING:
    from cli.build_search import FoundBuild, InFlight
    from cli.records import EndedRecord
    from cli.stack import Stack
    from courier.models import BuildRef, StoredArtifact

_CHUNK_BYTES = 1024 * 1024
_NAMES = ("source", "scope", "build")
# A narrower terminal has no room for the columns.
_NARROW_COLUMNS = 76
# How far back a build is searched for by the beginning of its id.
_SEARCHED = "90d"

BuildArgument = Annotated[
    str, typer.Argument(metavar="BUILD", help="Any unique beginning of a build's id, or SOURCE/SCOPE/ID.")
]
SearchedSince = Annotated[
    str, typer.Option("--since", metavar="WHEN", help="How far back to search for the id: `400d`, `12h`, or a date.")
]


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
        _print_builds(Console(highlight=False), running, list(found.records.values()), now, since)
    else:
        print_data(rows, rows, output_format)
    for reason in filter(None, (cut, found.cut)):
        say(Console(stderr=True), f"courier: cut short: {reason}", style="yellow")


def show(
    build: BuildArgument,
    since: SearchedSince = _SEARCHED,
    output_format: FormatOption = Format.TABLE,
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Show one build: its timeline, last and next poll, what the provider said, where everything is, and the cure.

    It only reads, and calls no provider. Times are UTC.

    **Example**

        courier show dd4519b2

    **Exit code** 0: the build was found. 2: no build or several begin so, or AWS refuses.
    """
    from cli.build_search import find_build, parse_since, usual_duration
    from cli.stack import open_stack

    now = datetime.now(UTC)
    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target:
        found = find_build(target, build, since=parse_since(since, now=now))
        usual, count = usual_duration(target, found.ref)
        health = _health(target, found)
        document = _document(target, found, usual=usual, usual_builds=count, health=health, now=now)
    if output_format is Format.TABLE:
        _print_build(Console(highlight=False), document)
    else:
        flat = [{"field": name, "value": value} for name, value in _flat(document)]
        print_data(document, flat, output_format)


def latest(
    source: Annotated[str | None, typer.Argument(metavar="[SOURCE]", help="Only scopes of this source.")] = None,
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


def get(
    build: BuildArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="File to write; `-` is standard output. [default: its own name]"
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    since: SearchedSince = _SEARCHED,
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Download the report of a build from the bucket, and check it against the SHA-256 of its record.

    The file appears complete, or not at all. A report that its store keeps encoded is written as it is stored.

    **Examples**

        courier get dd4519b2

        courier get dd4519b2 -o - | pdftotext - -

    **Exit code** 0: the file is written. 1: the build has no report, or the stored bytes differ from the record. 2: no
    build or several begin so, the file exists, or AWS refuses.
    """
    from cli.build_search import find_build, parse_since
    from cli.stack import open_stack

    errors = Console(stderr=True)
    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target:
        found = find_build(target, build, since=parse_since(since, now=datetime.now(UTC)))
        artifact = None if found.record is None else found.record.artifact
        if artifact is None:
            say(errors, f"courier: {found.ref} has no report: its state is {found.state}", style="red")
            raise typer.Exit(EXIT_FAILED)
        file = output or Path(artifact.key.rpartition("/")[2])
        is_stream = str(file) == "-"
        if not is_stream and file.exists() and not force:
            raise SettingsError(f"{file} exists; name another file with --output, or add --force")
        try:
            digest = _download(artifact, sys.stdout.buffer) if is_stream else _download_to(artifact, file)
        except BrokenPipeError:
            raise
        except OSError as exc:
            raise SettingsError(f"{file}: cannot be written: {exc.strerror or type(exc).__name__}") from exc
    if digest != artifact.sha256:
        say(errors, f"courier: {artifact.key}: the stored bytes differ from the record's SHA-256", style="red")
        raise typer.Exit(EXIT_FAILED)
    if not is_stream:
        say(Console(highlight=False), f"{file}: {artifact.size_bytes} bytes, sha256 {artifact.sha256}")


def _download_to(artifact: StoredArtifact, file: Path) -> str:
    """Download into a file that appears if its bytes are the recorded ones; return their SHA-256."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name[:100]}.", delete=False) as part:
        try:
            digest = _download(artifact, part)
            part.close()
            if digest == artifact.sha256:
                Path(part.name).chmod(0o666 & ~_umask())
                os.replace(part.name, file)  # noqa: PTH105 - says that it replaces
        finally:
            Path(part.name).unlink(missing_ok=True)
    return digest


def _download(artifact: StoredArtifact, file: IO[bytes]) -> str:
    """Write the stored bytes, and return their SHA-256."""
    from courier import aws

    digest = hashlib.sha256()
    version: Any = {"VersionId": artifact.version_id} if artifact.version_id else {}
    response = aws.client("s3").get_object(Bucket=artifact.bucket, Key=artifact.key, **version)
    # Not `with response["Body"]`, which yields urllib3's stream: that does not notice a body that was cut.
    with closing(response["Body"]) as body:
        for chunk in body.iter_chunks(_CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


# ---------------------------------------------------------------------- rows


def _running_row(build: InFlight, now: datetime) -> dict[str, object]:
    return {
        **_ref_fields(build.ref),
        "state": build.state,
        "outcome": None,
        "first_seen_at": _stamp(build.first_seen_at),
        "ended_at": None,
        "seconds": round(build.seconds(now), 1),
        "next_poll_at": build.next_poll_at,
        "deadline_at": _stamp(build.deadline_at),
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
        "first_seen_at": _stamp(record.timeline.first_seen_at),
        "ended_at": _stamp(record.ended_at),
        "seconds": record.seconds,
        "next_poll_at": None,
        "deadline_at": None,
        "size_bytes": artifact.size_bytes if artifact else None,
        "artifact_key": artifact.key if artifact else None,
        "record_key": key,
        "problem": record.problem.message if record.problem else None,
    }


def _ref_fields(ref: BuildRef) -> dict[str, object]:
    return {"source": ref.source, "scope": ref.scope, "build_id": ref.build_id}


def _stamp(instant: datetime | None) -> str | None:
    from courier.clock import stamp

    return None if instant is None else stamp(instant)


def _print_builds(
    console: Console, running: Sequence[InFlight], records: Sequence[EndedRecord], now: datetime, since: str
) -> None:
    from cli.build_search import short_ids

    if not running and not records:
        say(console, f"No builds in flight, and none that matches ended since {since}")
        return
    short = short_ids([*(build.ref for build in running), *(record.build for record in records)])
    lines = [(build.state, "", duration(build.seconds(now)), *_names(console, build.ref, short)) for build in running]
    lines += [
        (record.outcome, moment(record.ended_at), duration(record.seconds), *_names(console, record.build, short))
        for record in records
    ]
    _print_lines(console, ("state", "ended", "took", *_NAMES), lines)


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


# ---------------------------------------------------------------------- one build


def _health(stack: Stack, found: FoundBuild) -> str | None:
    """Return the last error of the source of a build in flight, if it is not healthy."""
    if found.record is not None or found.row is None:
        return None
    state = stack.container.source_ledger.state(found.ref.source)
    if state.is_unhealthy or state.failures:
        return state.last_error or state.unhealthy_error
    return None


def _document(
    stack: Stack,
    found: FoundBuild,
    *,
    usual: float | None,
    usual_builds: int,
    health: str | None,
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
        **_ref_fields(found.ref),
        "state": found.state,
        "status": str(row.status) if row else None,
        "seconds": None if seconds is None else round(seconds, 1),
        "usual_seconds": usual,
        "usual_builds": usual_builds,
        "timeline": {
            "created_at": _stamp(created_at),
            "started_at": _stamp(timeline.started_at) if timeline else None,
            "first_seen_at": _stamp(first_seen_at),
            "status_since": _stamp(row.status_since) if row and in_flight else None,
            "completed_at": _stamp(timeline.completed_at) if timeline else None,
            "detected_at": _stamp(timeline.detected_at) if timeline else None,
            "copied_at": _stamp(timeline.copied_at) if timeline else None,
            "deadline_at": _stamp(row.deadline_at) if row and in_flight else None,
        },
        "polls": {
            "count": row.polls if row else record.courier.polls if record and record.courier else None,
            "last_at": _stamp(row.last_poll_at) if row else None,
            "next_at": row.next_poll_at if row and in_flight else None,
            "last_report": row.last_report if row and (row.polls or row.last_error) else None,
        },
        "source_problem": health,
        "problem": None if problem is None else problem.model_dump(mode="json"),
        "artifact": None if artifact is None else artifact.model_dump(mode="json"),
        "record": None if found.record_key is None else {"bucket": bucket, "key": found.record_key},
        "execution": (row.execution if row else None)
        or (record.courier.execution if record and record.courier else None),
    }


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
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
    }
    shown = {name.replace("_", " "): str(value) for name, value in lines.items() if value not in (None, "")}
    width = max(map(len, shown)) + 2
    for name, value in shown.items():
        _print_field(console, name, value, width)


def _print_field(console: Console, name: str, value: str, width: int) -> None:
    room = console.width - width if console.is_terminal else 0
    text = " ".join(value.split())
    # Paths and ARNs stay whole, so that they can be copied.
    lines = textwrap.wrap(text, max(20, room), break_long_words=False, break_on_hyphens=False) if room else [text]
    for label, line in zip([name, *[""] * len(lines)], lines, strict=False):
        say(console, f"{label:<{width}}{line}")


def _readable(stamp: str | None) -> str:
    return "" if stamp is None else moment(datetime.fromisoformat(stamp), seconds=True)
