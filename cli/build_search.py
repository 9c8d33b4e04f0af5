"""Finds builds of a deployed stack: those in flight in the ledger, those that ended in the records."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING

from cli.records import EndedRecord, find_records, read_records
from courier import aws
from courier.config.settings import PollingSettings
from courier.errors import SettingsError
from courier.ledger.pauses import effective_deadline, pause_at
from courier.models import BuildRef
from courier.object_keys import execution_name

if TYPE_CHECKING:
    from cli.stack import Stack
    from courier.ledger import BuildRow, DueBuild
    from courier.ledger.pauses import Pause
    from courier.sources.catalog import Sources

# Builds in flight that are read per source, and executions that are looked up because no build in flight has them.
MOST_IN_FLIGHT = 1_000
MOST_UNPOLLED = 100
# An ambiguous beginning names so many of its builds.
_MOST_CANDIDATES = 5
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
# The displayed state of a build that is no longer polled and has no outcome yet.
FINISHING = "ending"


@dataclass(frozen=True, kw_only=True)
class InFlight:
    """A build without an outcome: it is polled, or its report is being copied and recorded (``ending``)."""

    ref: BuildRef
    state: str
    first_seen_at: datetime
    created_at: datetime | None
    deadline_at: datetime
    next_poll_at: str | None
    paused: bool = False

    def seconds(self, now: datetime) -> float:
        """How old the build is."""
        return max(0.0, (now - (self.created_at or self.first_seen_at)).total_seconds())


def parse_since(text: str, *, now: datetime) -> datetime:
    """Parse ``7d``, ``12h``, ``30m``, ``2w`` or a date.

    Raises
    ------
    SettingsError
        It is none of these.
    """
    try:
        if match := re.fullmatch(r"(\d{1,6})([mhdw])", text.strip()):
            return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
        instant = datetime.fromisoformat(text.strip())
        return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as exc:
        raise SettingsError(f"--since: {text} is neither like 7d, 12h or 30m nor a date like 2026-11-25") from exc


def builds_in_flight(stack: Stack, source: str | None = None) -> tuple[list[InFlight], str | None]:
    """Return the builds without an outcome, the youngest first, and why there may be more."""
    sources = stack.container.sources.load()
    names = [name for name in sorted({*sources.usable, *sources.broken}) if source in (None, name)]
    found: list[InFlight] = []
    cut = None
    for name in names:
        waiting = stack.container.builds.in_flight(name, limit=MOST_IN_FLIGHT)
        if len(waiting) == MOST_IN_FLIGHT:
            cut = f"only {MOST_IN_FLIGHT} builds in flight of a source are read"
        pauses = stack.container.source_ledger.state(name).pauses if waiting else ()
        found += [_waiting(build, pauses, longest_wait(sources, name), stack.container.clock()) for build in waiting]
    # The execution of a retried build has another name, so it is found twice.
    polled = {build.ref for build in found}
    unpolled, unpolled_cut = _builds_without_polls(stack, {execution_name(ref) for ref in polled})
    found += [build for build in unpolled if source in (None, build.ref.source) and build.ref not in polled]
    return sorted(found, key=lambda build: build.first_seen_at, reverse=True), cut or unpolled_cut


def longest_wait(sources: Sources, name: str) -> timedelta:
    """Return how long a build of a source is waited for; the default for a source that is not configured."""
    settings = sources.usable.get(name)
    return timedelta(hours=(settings.polling if settings else PollingSettings()).give_up_after_hours)


def _waiting(build: DueBuild, pauses: Sequence[Pause], wait: timedelta, now: datetime) -> InFlight:
    return InFlight(
        ref=build.ref,
        state=str(build.status),
        first_seen_at=build.first_seen_at,
        created_at=build.created_at,
        deadline_at=effective_deadline(build.deadline_at, build.first_seen_at, pauses, now, longest_wait=wait),
        next_poll_at=build.next_poll_at,
        paused=pause_at(pauses, now) is not None,
    )


def _builds_without_polls(stack: Stack, polled: set[str]) -> tuple[list[InFlight], str | None]:
    """Return the builds of running executions that are not polled: copied, recorded, or of a removed source."""
    machine = stack.container.environment.state_machine
    if not machine:
        return [], None
    client = aws.client("stepfunctions")
    pages = client.get_paginator("list_executions").paginate(
        stateMachineArn=machine, statusFilter="RUNNING", PaginationConfig={"MaxItems": 5 * MOST_IN_FLIGHT}
    )
    arns = [run["executionArn"] for page in pages for run in page["executions"] if run["name"] not in polled]
    refs = []
    for arn in arns[:MOST_UNPOLLED]:
        passage = json.loads(client.describe_execution(executionArn=arn).get("input") or "{}")
        refs.append(BuildRef.model_validate(passage["build"]["ref"]))
    rows = stack.container.builds.find_many(refs)
    found = [_in_flight(row) for row in rows.values() if row is not None and row.outcome is None]
    cut = f"only {MOST_UNPOLLED} builds that are being copied are read" if len(arns) > MOST_UNPOLLED else None
    return found, cut


def _in_flight(row: BuildRow) -> InFlight:
    return InFlight(
        ref=row.ref,
        state=FINISHING if row.next_poll_at is None else str(row.status),
        first_seen_at=row.first_seen_at,
        created_at=row.created_at,
        deadline_at=row.deadline_at,
        next_poll_at=row.next_poll_at,
    )


@dataclass(frozen=True, kw_only=True)
class FoundBuild:
    """One build: its row in the ledger, and its record; at least one of them exists."""

    ref: BuildRef
    row: BuildRow | None
    record: EndedRecord | None
    record_key: str | None

    @property
    def state(self) -> str:
        """The outcome if there is one, otherwise the status."""
        if self.record is not None:
            return self.record.outcome
        if self.row is None:
            return ""
        if self.row.outcome is not None:
            return str(self.row.outcome)
        return FINISHING if self.row.next_poll_at is None else str(self.row.status)


def find_build(stack: Stack, text: str, *, since: datetime) -> FoundBuild:
    """Find the build whose id, or whole reference, begins with a text.

    Raises
    ------
    SettingsError
        No build begins so, or several do.
    """
    if not text.rpartition("/")[2]:
        raise SettingsError(f"BUILD: {text!r} names no build; it is the beginning of an id, or SOURCE/SCOPE/ID")
    if (exact := _parse_ref(text)) and (row := stack.container.builds.find(exact)) is not None:
        return _with_record(stack, row)
    in_flight, cut = builds_in_flight(stack)
    refs = {build.ref for build in in_flight if _begins(build.ref, text)}
    found = find_records(stack, text.rpartition("/")[2], since=since, most=4 * _MOST_CANDIDATES)
    records = {record.build: key for key, record in found.records.items() if _begins(record.build, text)}
    refs |= set(records)
    # An id that is the beginning of another one still names its build.
    whole = {ref for ref in refs if text in (ref.build_id, str(ref))}
    refs = whole if len(whole) == 1 else refs
    if not refs:
        reason = f" ({cut or found.cut})" if cut or found.cut else ""
        raise SettingsError(
            f"no build in flight begins with {text}, and none that ended since {since:%Y-%m-%d}{reason}; "
            "courier builds lists them, and --since 400d searches further back"
        )
    if len(refs) > 1:
        names = sorted(map(str, refs))
        more = f" and {len(names) - _MOST_CANDIDATES} more" if len(names) > _MOST_CANDIDATES else ""
        raise SettingsError(
            f"{text} is the beginning of several builds: {', '.join(names[:_MOST_CANDIDATES])}{more}; "
            "name more of the id, or SOURCE/SCOPE/ID"
        )
    (ref,) = refs
    row = stack.container.builds.find(ref)
    if row is not None and row.record_key:
        return _with_record(stack, row)
    key = records.get(ref)
    return FoundBuild(ref=ref, row=row, record=found.records[key] if key else None, record_key=key)


def usual_duration(stack: Stack, ref: BuildRef) -> tuple[float | None, int]:
    """Return the median duration of the scope's last builds in seconds, and the number of builds."""
    durations = stack.container.source_ledger.durations(ref.source, ref.scope)
    return (median(durations) if durations else None), len(durations)


def _with_record(stack: Stack, row: BuildRow) -> FoundBuild:
    keys = []
    if row.outcome is not None and row.record_key is not None:
        # After a move to another KeyPrefix the row has the earlier one.
        _, folder, name = row.record_key.rpartition("records/source=")
        keys = [row.record_key, f"{stack.container.environment.prefix}{folder}{name}"]
    for key in dict.fromkeys(keys):
        if record := read_records(stack, [key]).get(key):
            return FoundBuild(ref=row.ref, row=row, record=record, record_key=key)
    return FoundBuild(ref=row.ref, row=row, record=None, record_key=None)


def _begins(ref: BuildRef, text: str) -> bool:
    return ref.build_id.startswith(text) or str(ref).startswith(text)


def _parse_ref(text: str) -> BuildRef | None:
    try:
        return BuildRef.parse(text)
    except ValueError:
        return None


def short_ids(refs: Sequence[BuildRef]) -> dict[BuildRef, str]:
    """Return the shortest beginning, of at least eight characters, that distinguishes each id from the others here."""
    ids = {ref.build_id for ref in refs}
    short: dict[BuildRef, str] = {}
    for ref in refs:
        length = 8
        while length < len(ref.build_id) and any(
            other != ref.build_id and other.startswith(ref.build_id[:length]) for other in ids
        ):
            length += 1
        short[ref] = ref.build_id[:length]
    return short
