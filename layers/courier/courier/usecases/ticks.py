"""What the scheduled functions do each time they are called, over all sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Annotated

from pydantic import AwareDatetime, StringConstraints, ValidationError

from courier.builds.poll_run import TickSummary
from courier.config.validation import describe_validation
from courier.errors import CourierError, SettingsError, SourceError
from courier.ledger import DueBuild
from courier.models import BuildRequest, FrozenModel, Identifier, Slug, StrictModel
from courier.observability.logger import logger
from courier.observability.metrics import Metric

if TYPE_CHECKING:
    from datetime import datetime

    from courier.builds.requests import RequestResult
    from courier.config.settings import SourceSettings
    from courier.usecases.container import Parts


class Tick(StrictModel):
    """What a schedule sends, or a person: every source, or one."""

    scheduled_time: AwareDatetime | None = None
    source: Slug | None = None


class EventBridgeRequest(FrozenModel):
    """An EventBridge event whose detail is a `BuildRequest`."""

    # It becomes part of the id of a build that stands in for the request.
    id: Annotated[Identifier, StringConstraints(max_length=150)]
    detail: BuildRequest


class PollTick(Tick):
    """A tick of the poller, or one segment of it: the builds of one source that its dispatcher found due."""

    due: tuple[DueBuild, ...] = ()


# Hands an event, as JSON text, to another invocation of this function.
Dispatch = Callable[[str], None]

# A row is some 250 bytes in an event of at most 256 KB, and 300 looks take a minute at 200 ms one after the
# other: a segment ends well within its time even if nothing can be done at once.
SEGMENT_BUILDS = 300
# More than this is not handed out in one minute; the oldest come first, so nobody starves.
MOST_DUE = 10_000
SOURCES_AT_ONCE = 8
# A call that begins with handling.RESERVE_SECONDS left ends before Lambda ends the tick, so that a source that
# hangs is noted as down, and rests, like any other.
TICK_CALL_SECONDS = 25.0


def discover(parts: Parts, tick: Tick, *, time_is_up: Callable[[], bool]) -> dict[str, int]:
    """Look for new builds in every source; gives the number begun per source."""
    begun: dict[str, int] = {}

    def serve(settings: SourceSettings) -> None:
        state = parts.health.examine(settings.name)
        _measure(parts, settings, at_rest=parts.health.rests(state) or state.illness is not None)
        if parts.health.rests(state):
            return
        try:
            found = parts.discovery.discover(
                parts.provider(settings, call_limit_seconds=TICK_CALL_SECONDS),
                time_is_up=time_is_up,
                scheduled=tick.scheduled_time is not None,
            )
        except (SourceError, SettingsError) as exc:
            parts.health.note_failure(settings, state, exc)
            return
        if found is not None:
            begun[settings.name] = found
            parts.health.note_answer(settings, state)

    _each(list(_sources(parts, tick)), serve)
    return begun


def _measure(parts: Parts, settings: SourceSettings, *, at_rest: bool) -> None:
    """Measure what is stuck and who is ill; nothing is written for a source that is well and idle."""
    meter = parts.meter(settings.name)
    if at_rest:
        meter.count(Metric.SOURCE_BACKING_OFF)
    waiting = parts.builds.in_flight(settings.name, limit=MOST_DUE)
    if waiting:
        meter.count(Metric.BUILDS_IN_FLIGHT, len(waiting))
        oldest = min(build.first_seen_at for build in waiting)
        meter.count(Metric.OLDEST_BUILD, (parts.clock() - oldest).total_seconds())


def poll(parts: Parts, tick: PollTick, *, time_is_up: Callable[[], bool], dispatch: Dispatch) -> dict[str, int]:
    """Look at every due build, or hand the due ones over in segments when they are too many for one invocation.

    Gives what this invocation did, summed over the sources.
    """
    total = TickSummary()
    if tick.due:
        settings = parts.sources.load().get(tick.due[0].ref.source)
        _poll_source(parts, settings, tick.due, total=total, time_is_up=time_is_up, scheduled_at=tick.scheduled_time)
        return total.counts()
    work = [(settings, parts.builds.due(settings.name, limit=MOST_DUE)) for settings in _sources(parts, tick)]
    if sum(len(due) for _, due in work) > SEGMENT_BUILDS:
        for settings, due in work:
            for segment in segments(tick, settings.name, due):
                dispatch(segment.model_dump_json())
                total.segments += 1
        return total.counts()
    due_of = {settings.name: due for settings, due in work if due}
    _each(
        [settings for settings, due in work if due],
        lambda settings: _poll_source(
            parts,
            settings,
            due_of[settings.name],
            total=total,
            time_is_up=time_is_up,
            scheduled_at=tick.scheduled_time,
        ),
    )
    return total.counts()


def _poll_source(
    parts: Parts,
    settings: SourceSettings,
    due: Sequence[DueBuild],
    *,
    total: TickSummary,
    time_is_up: Callable[[], bool],
    scheduled_at: datetime | None,
) -> None:
    summary = parts.watch.tick(
        settings,
        due,
        partial(parts.provider, settings, call_limit_seconds=TICK_CALL_SECONDS),
        budget=parts.budget(settings),
        time_is_up=time_is_up,
        scheduled_at=scheduled_at,
    )
    total.add(summary)
    meter = parts.meter(settings.name)
    meter.count(Metric.BUILDS_DUE, summary.due)
    meter.count(Metric.BUILDS_POLLED, summary.looked)
    meter.count(Metric.BUILDS_RELEASED, summary.released)
    meter.count(Metric.BUILDS_REGISTERED, summary.begun)
    for size in summary.batches:
        meter.count(Metric.BATCH_SIZE, size)


def segments(tick: PollTick, source: str, due: Sequence[DueBuild]) -> Iterator[PollTick]:
    """Cut the due builds of one source into segments; the builds of a scope stay together as far as they fit.

    One list call then serves them all, and the builds that wait longest are in the first segment.
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


def request(parts: Parts, event: object, *, invocation_id: str) -> list[RequestResult]:
    """Serve a request by hand or by event, or all that the sources list when the schedule fires.

    Raises
    ------
    SettingsError
        The event is not one that this function knows, or a request does not fit its source.
    SourceError
        A provider did not answer. All requests were tried; a repetition serves what is left.
    """
    results: list[RequestResult] = []
    failures: list[CourierError] = []
    for request_id, wish in _wishes(parts, event, invocation_id):
        try:
            results.append(_serve(parts, wish, request_id))
        except CourierError as exc:
            logger.error("request not served", source=wish.source, request_id=request_id, reason=str(exc))
            failures.append(exc)
    if failures:
        raise failures[0]
    return results


def _serve(parts: Parts, wish: BuildRequest, request_id: str) -> RequestResult:
    settings = parts.sources.load().get(wish.source)
    state = parts.health.examine(settings.name)
    try:
        result = parts.requesting.request(parts.provider(settings), wish, request_id=request_id)
    except SourceError as exc:
        parts.health.note_failure(settings, state, exc)
        raise
    if result.answered:
        parts.health.note_answer(settings, state)
    return result


def _each(sources: Sequence[SourceSettings], serve: Callable[[SourceSettings], None]) -> None:
    """Serve the sources beside each other, so that a slow one delays no other.

    What goes wrong with one is raised when the others have been served.
    """
    if not sources:
        return
    with ThreadPoolExecutor(min(SOURCES_AT_ONCE, len(sources)), thread_name_prefix="sources") as pool:
        served = {settings.name: pool.submit(serve, settings) for settings in sources}
    failures = [(name, error) for name, future in served.items() if (error := future.exception()) is not None]
    for name, error in failures:
        logger.error("source not served", source=name, exc_info=error)
    if failures:
        raise failures[0][1]


def _wishes(parts: Parts, event: object, invocation_id: str) -> list[tuple[str, BuildRequest]]:
    """Read the event; every wish gets an id that a repeated delivery of the event has too."""
    try:
        if isinstance(event, dict) and "detail" in event:
            delivered = EventBridgeRequest.model_validate(event)
            return [(delivered.id, delivered.detail)]
        if isinstance(event, dict) and "source" in event and len(event) > 1:
            return [(invocation_id, BuildRequest.model_validate(event))]
        tick = Tick.model_validate(event)
    except ValidationError as exc:
        raise SettingsError(f"the event is no request for a build: {describe_validation(exc)}") from exc
    fired = tick.scheduled_time.isoformat() if tick.scheduled_time else invocation_id
    return [
        (f"{fired}-{number}", wish)
        for settings in _sources(parts, tick)
        for number, wish in enumerate(settings.build_requests())
    ]


def _sources(parts: Parts, tick: Tick) -> Iterator[SourceSettings]:
    """Give the sources to serve; one that is misconfigured is reported and stops no other."""
    sources = parts.sources.load()
    if tick.source is not None:
        yield sources.get(tick.source)
        return
    for name, reason in sources.broken.items():
        logger.error("source is misconfigured", source=name, reason=reason)
        parts.meter(name).count(Metric.SOURCE_MISCONFIGURED)
    yield from sources.usable.values()
