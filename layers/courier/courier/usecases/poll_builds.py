"""``poll_builds``: poll every build that is due, and release the executions of builds that have ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from courier import aws
from courier.builds.poll_run import PollSummary
from courier.ledger import DueBuild
from courier.observability.metrics import Metric
from courier.usecases.events import PROVIDER_CALL_SECONDS, Tick, for_each_source, selected_sources

if TYPE_CHECKING:
    from courier.config.settings import SourceSettings
    from courier.usecases.container import Container

# A row takes about 250 bytes of an event of at most 256 KB, and 300 polls one after the other take a minute at
# 200 ms each: a segment ends well within its time even without any concurrency.
SEGMENT_BUILDS = 300
# The most builds that one tick hands out; the oldest come first, so no build starves.
MAX_DUE = 10_000


class PollTick(Tick):
    """A tick of the poller, or one segment of it: due builds of one source that the first invocation selected."""

    due: tuple[DueBuild, ...] = ()


Dispatch = Callable[[str], None]
"""Sends an event, as JSON text, to another invocation of this function."""


def poll_builds(
    container: Container, tick: PollTick, *, time_is_up: Callable[[], bool], dispatch: Dispatch
) -> dict[str, int]:
    """Poll all due builds, or dispatch them in segments when they are too many for one invocation.

    Return the counts of this invocation, summed over the sources.
    """
    summaries: list[PollSummary] = []

    def poll(settings: SourceSettings, due: Sequence[DueBuild]) -> None:
        summaries.append(_poll_source(container, settings, due, tick=tick, time_is_up=time_is_up))

    if tick.due:
        poll(container.sources.load().get(tick.due[0].ref.source), tick.due)
        return _total(summaries)
    due_of: dict[str, Sequence[DueBuild]] = {}
    sources = []
    for settings in selected_sources(container, tick):
        if due := container.builds.due(settings.name, limit=MAX_DUE):
            due_of[settings.name] = due
            sources.append(settings)
    dispatched = 0
    if sum(map(len, due_of.values())) > SEGMENT_BUILDS:
        for source, due in due_of.items():
            for segment in segments(tick, source, due):
                dispatch(segment.model_dump_json())
                dispatched += 1
    else:
        for_each_source(sources, lambda settings: poll(settings, due_of[settings.name]))
    return _total(summaries, segments=dispatched)


def _total(summaries: Sequence[PollSummary], *, segments: int = 0) -> dict[str, int]:
    total = Counter(PollSummary().counts())
    for summary in summaries:
        total.update(summary.counts())
    return {**total, "segments": segments}


def dispatch_to(function_arn: str) -> Dispatch:
    """Return a `Dispatch` that invokes a Lambda function asynchronously."""

    def dispatch(event: str) -> None:
        aws.client("lambda").invoke(FunctionName=function_arn, InvocationType="Event", Payload=event.encode())

    return dispatch


def segments(tick: PollTick, source: str, due: Sequence[DueBuild]) -> Iterator[PollTick]:
    """Cut the due builds of one source into segments; the builds of a scope stay together as far as they fit.

    One list call then serves them all, and the builds that have waited longest are in the first segment.
    """
    by_scope: dict[str, list[DueBuild]] = {}
    for build in due:
        by_scope.setdefault(build.ref.scope, []).append(build)
    segment: list[DueBuild] = []
    for group in by_scope.values():
        for start in range(0, len(group), SEGMENT_BUILDS):
            piece = group[start : start + SEGMENT_BUILDS]
            if len(segment) + len(piece) > SEGMENT_BUILDS:
                yield PollTick(scheduled_time=tick.scheduled_time, source=source, due=tuple(segment))
                segment = []
            segment += piece
    if segment:
        yield PollTick(scheduled_time=tick.scheduled_time, source=source, due=tuple(segment))


def _poll_source(
    container: Container,
    settings: SourceSettings,
    due: Sequence[DueBuild],
    *,
    tick: PollTick,
    time_is_up: Callable[[], bool],
) -> PollSummary:
    summary = container.poller.poll(
        settings,
        due,
        partial(container.provider, settings, call_limit_seconds=PROVIDER_CALL_SECONDS),
        rate_limit=container.rate_limit(settings),
        time_is_up=time_is_up,
        scheduled_at=tick.scheduled_time,
    )
    meter = container.meter(settings.name)
    meter.count(Metric.BUILDS_DUE, summary.due)
    meter.count(Metric.BUILDS_POLLED, summary.polled)
    meter.count(Metric.BUILDS_RELEASED, summary.released)
    meter.count(Metric.BUILDS_REGISTERED, summary.registered)
    for size in summary.batches:
        meter.count(Metric.BATCH_SIZE, size)
    return summary
