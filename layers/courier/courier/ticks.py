"""What the scheduled functions do each time they are called, over all sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated

from pydantic import AwareDatetime, ConfigDict, StringConstraints, ValidationError

from courier.errors import CourierError, SettingsError, SourceError
from courier.models import BuildRequest, FrozenModel, Identifier, Slug
from courier.observability import logger
from courier.settings import describe_validation
from courier.watching import TickSummary

if TYPE_CHECKING:
    from courier.requesting import RequestResult
    from courier.settings import SourceSettings
    from courier.wiring import Parts


class Tick(FrozenModel):
    """What a schedule sends, or a person: every source, or one."""

    scheduled_time: AwareDatetime | None = None
    source: Slug | None = None


class EventBridgeRequest(FrozenModel):
    """An EventBridge event whose detail is a `BuildRequest`."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    # It becomes part of the id of a build that stands in for the request.
    id: Annotated[Identifier, StringConstraints(max_length=150)]
    detail: BuildRequest


def discover(parts: Parts, tick: Tick, *, time_is_up: Callable[[], bool]) -> dict[str, int]:
    """Look for new builds in every source; gives the number begun per source."""
    begun: dict[str, int] = {}

    def serve(settings: SourceSettings) -> None:
        state = parts.health.examine(settings.name)
        if parts.health.rests(state):
            return
        try:
            found = parts.discovery.discover(parts.provider(settings), time_is_up=time_is_up)
        except (SourceError, SettingsError) as exc:
            parts.health.note_failure(settings, state, exc)
            return
        if found is not None:
            begun[settings.name] = found
            parts.health.note_answer(settings, state)

    _each_source(parts, tick, serve)
    return begun


def poll(parts: Parts, tick: Tick, *, time_is_up: Callable[[], bool]) -> dict[str, int]:
    """Look at every due build; gives what was done, summed over the sources."""
    total = TickSummary()

    def serve(settings: SourceSettings) -> None:
        summary = parts.watch.tick(settings, partial(parts.provider, settings), time_is_up=time_is_up)
        for name, value in asdict(summary).items():
            setattr(total, name, getattr(total, name) + value)

    _each_source(parts, tick, serve)
    return asdict(total)


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


def _each_source(parts: Parts, tick: Tick, serve: Callable[[SourceSettings], None]) -> None:
    """Serve the sources, another one first each minute, so that a slow one does not use up every tick's time.

    What goes wrong with one is raised when the others have been served.
    """
    sources = list(_sources(parts, tick))
    first = int(parts.clock().timestamp() // 60) % len(sources) if sources else 0
    failures: list[Exception] = []
    for settings in [*sources[first:], *sources[:first]]:
        try:
            serve(settings)
        except Exception as exc:  # noqa: BLE001 - raised below
            logger.exception("source not served", source=settings.name)
            failures.append(exc)
    if failures:
        raise failures[0]


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
    yield from sources.usable.values()
