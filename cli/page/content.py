"""What the page shows: read from ledger, records and executions, with a bounded number of calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from cli.build_search import InFlight, builds_in_flight
from cli.records import EndedRecord, Found, read_last_records, read_latest
from cli.statistics import BAD_OUTCOMES, GOOD_OUTCOMES, BuildStatistics, by_source, percentile, summarize
from courier import aws
from courier.ledger.pauses import pause_at

if TYPE_CHECKING:
    from cli.stack import Stack
    from courier.config.settings import SourceSettings
    from courier.ledger import BuildRow, SourceState
    from courier.ledger.pauses import Pause
    from courier.ledger.sources import FailingScope

STRIP_DAYS = 30
# Builds in flight that are shown; a stack may have thousands.
MOST_SHOWN_IN_FLIGHT = 200
# Executions that failed, and scopes whose newest good build is older than the records that are read.
MOST_FAILED_EXECUTIONS = 20
MOST_LATEST = 200
_FAILED_STATUSES: Final = ("FAILED", "TIMED_OUT", "ABORTED")
# Fewer builds say too little about how long one usually takes.
FEWEST_DURATIONS = 5


@dataclass(frozen=True, kw_only=True)
class RunningBuild:
    """A build in flight, with what its row says and how long its scope's builds usually take."""

    build: InFlight
    row: BuildRow | None
    seconds: float
    p50: float | None
    p95: float | None

    @property
    def is_slow(self) -> bool:
        """Whether it takes far longer than usual."""
        return self.p50 is not None and self.p95 is not None and self.seconds > max(3 * self.p50, 1.5 * self.p95)

    @property
    def last_words(self) -> str:
        """What the provider said last, or what happens to the build."""
        if self.row is not None and self.row.stop_requested:
            return "An operator has stopped it"
        if self.row is None or not (self.row.polls or self.row.last_error):
            return "not polled yet" if self.build.next_poll_at else ""
        text = self.row.last_report
        return text[:1].upper() + text[1:]


@dataclass(frozen=True, kw_only=True)
class Day:
    """One UTC day of a source."""

    date: str
    good: int
    bad: int
    other: int

    @property
    def level(self) -> str:
        """The color: all good, some bad, nothing good, only canceled or empty builds, or none at all."""
        if self.bad:
            return "mixed" if self.good else "bad"
        if self.good:
            return "good"
        return "other" if self.other else "none"

    @property
    def text(self) -> str:
        """The day in words."""
        counts = [(self.good, "good"), (self.bad, "failed"), (self.other, "canceled or empty")]
        return f"{self.date}: " + (", ".join(f"{number} {name}" for number, name in counts if number) or "no build")


@dataclass(frozen=True, kw_only=True)
class SourceView:
    """A source: its settings, health and the last 30 days."""

    name: str
    settings: SourceSettings | None
    broken: str | None
    state: SourceState | None
    failing_scopes: Mapping[str, FailingScope]
    in_flight: int
    days: Sequence[Day]
    statistics: BuildStatistics
    last_good: EndedRecord | None

    def pause_at(self, now: datetime) -> Pause | None:
        """Return the pause that lasts at an instant."""
        return pause_at(self.state.pauses, now) if self.state is not None else None


@dataclass(frozen=True, kw_only=True)
class FailedExecution:
    """An execution that failed, so that its build has no record."""

    arn: str
    name: str
    status: str
    stopped_at: datetime


@dataclass(frozen=True, kw_only=True)
class PageContent:
    """Everything that the page shows."""

    stack: Stack
    now: datetime
    since: datetime
    sources: Sequence[SourceView]
    running: Sequence[RunningBuild]
    running_count: int
    ended: Mapping[str, EndedRecord]
    failed_executions: Sequence[FailedExecution] = ()
    dead_letters: int | None = None
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def statistics(self) -> BuildStatistics:
        """All ended builds together."""
        return summarize(self.ended.values())

    @property
    def summary(self) -> str:
        """The numbers of builds in one line."""
        found = self.statistics
        return f"{found.good} good, {found.bad} failed, {found.other} other, {self.running_count} in flight"


def gather(
    stack: Stack,
    *,
    now: datetime,
    since: datetime,
    limit: int,
    on_read: Callable[[int], None] = lambda _: None,
) -> PageContent:
    """Read all that the page shows; ``on_read`` is called with the number of records read so far."""
    running, running_cut = builds_in_flight(stack)
    ended = read_last_records(stack, most=limit, since=since, most_read=limit, on_read=on_read)
    failed_executions, missing = _failed_executions(stack, since)
    dead_letters, more_missing = _dead_letters(stack)
    sources = _sources(stack, running, ended, now)
    notes = [note for note in (running_cut, _cut(ended, limit), missing, more_missing) if note]
    shown = sorted(running, key=lambda build: build.first_seen_at)[:MOST_SHOWN_IN_FLIGHT]
    return PageContent(
        stack=stack,
        now=now,
        since=since,
        sources=sources,
        running=_running(stack, shown, ended.records.values(), now),
        running_count=len(running),
        ended=ended.records,
        failed_executions=failed_executions,
        dead_letters=dead_letters,
        notes=notes,
    )


def _cut(found: Found, limit: int) -> str | None:
    return f"only the newest {limit} builds were read: --limit reads more" if found.cut else None


def _running(
    stack: Stack, builds: Sequence[InFlight], records: Iterable[EndedRecord], now: datetime
) -> list[RunningBuild]:
    rows = stack.container.builds.find_many(build.ref for build in builds)
    durations: dict[tuple[str, str], Sequence[float]] = {}
    for record in records:
        if record.outcome in GOOD_OUTCOMES and record.seconds is not None:
            known = durations.setdefault((record.build.source, record.build.scope), [])
            known.append(record.seconds)  # type: ignore[attr-defined]  # a list, just made
    shown = []
    for build in builds:
        scope = (build.ref.source, build.ref.scope)
        if len(durations.get(scope, ())) < FEWEST_DURATIONS:
            # The ledger remembers builds for longer than the page looks back.
            stored = stack.container.source_ledger.durations(*scope)
            durations[scope] = max(stored, durations.get(scope, ()), key=len)
        usual = durations[scope]
        shown.append(
            RunningBuild(
                build=build,
                row=rows.get(build.ref),
                seconds=build.seconds(now),
                p50=percentile(usual, 0.5),
                p95=percentile(usual, 0.95) if len(usual) >= FEWEST_DURATIONS else None,
            )
        )
    return shown


def _sources(stack: Stack, running: Sequence[InFlight], ended: Found, now: datetime) -> list[SourceView]:
    configured = stack.container.sources.load()
    by_name: dict[str, list[EndedRecord]] = {}
    for record in ended.records.values():
        by_name.setdefault(record.build.source, []).append(record)
    statistics = by_source(ended.records.values())
    views = []
    for name in sorted({*configured.usable, *configured.broken}):
        state = stack.container.source_ledger.state(name) if name in configured.usable else None
        found = statistics.get(name, BuildStatistics())
        views.append(
            SourceView(
                name=name,
                settings=configured.usable.get(name),
                broken=configured.broken.get(name),
                state=state,
                failing_scopes=stack.container.source_ledger.failing_scopes(name)
                if state and state.failing_scopes
                else {},
                in_flight=sum(build.ref.source == name for build in running),
                days=strip_of(by_name.get(name, ()), now),
                statistics=found,
                last_good=found.last_good or _latest(stack, name),
            )
        )
    return views


def _latest(stack: Stack, source: str) -> EndedRecord | None:
    records = read_latest(stack, source, most=MOST_LATEST).records.values()
    return max(records, key=lambda record: record.ended_at, default=None)


def strip_of(records: Iterable[EndedRecord], now: datetime) -> list[Day]:
    """Count the builds of each of the last 30 days, the oldest first."""
    counts: dict[str, list[int]] = {}
    for record in records:
        kind = 0 if record.outcome in GOOD_OUTCOMES else 1 if record.outcome in BAD_OUTCOMES else 2
        counts.setdefault(f"{record.ended_at.astimezone(now.tzinfo):%Y-%m-%d}", [0, 0, 0])[kind] += 1
    dates = [f"{now - timedelta(days=ago):%Y-%m-%d}" for ago in reversed(range(STRIP_DAYS))]
    days = []
    for date in dates:
        good, bad, other = counts.get(date, (0, 0, 0))
        days.append(Day(date=date, good=good, bad=bad, other=other))
    return days


def _failed_executions(stack: Stack, since: datetime) -> tuple[list[FailedExecution], str | None]:
    """Return the executions that failed since then and were not redriven, and why they are unknown."""
    machine = stack.container.environment.state_machine
    if not machine:
        return [], None
    client = aws.client("stepfunctions")
    found = []
    try:
        for status in _FAILED_STATUSES:
            response = client.list_executions(
                stateMachineArn=machine, statusFilter=status, maxResults=MOST_FAILED_EXECUTIONS
            )
            found += [
                FailedExecution(
                    arn=run["executionArn"], name=run["name"], status=run["status"], stopped_at=run["stopDate"]
                )
                for run in response["executions"]
                if run["stopDate"] >= since
            ]
    except client.exceptions.ClientError as exc:
        return [], f"failed executions are not shown: {exc.response['Error']['Code']} from ListExecutions"
    return sorted(found, key=lambda run: run.stopped_at, reverse=True)[:MOST_FAILED_EXECUTIONS], None


def _dead_letters(stack: Stack) -> tuple[int | None, str | None]:
    """Return how many ticks and requests failed after all retries, and why that is unknown."""
    url = stack.outputs.get("DeadLettersUrl")
    if not url:
        return None, None
    client = aws.client("sqs")
    try:
        response = client.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    except client.exceptions.ClientError as exc:
        return None, f"dead letters are not counted: {exc.response['Error']['Code']} from GetQueueAttributes"
    return int(response["Attributes"]["ApproximateNumberOfMessages"]), None
