"""What the scheduled functions do each time they are called, over all sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from pydantic import AwareDatetime, ConfigDict, ValidationError

from courier.errors import CourierError, SettingsError, SourceError
from courier.models import BuildRequest, FrozenModel, Slug
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

    id: str
    detail: BuildRequest


def discover(parts: Parts, tick: Tick, *, time_is_up: Callable[[], bool]) -> dict[str, int]:
    """Look for new builds in every source; gives the number begun per source."""
    begun: dict[str, int] = {}
    for settings in _sources(parts, tick):
        state = parts.health.examine(settings.name)
        if parts.health.rests(state):
            continue
        try:
            begun[settings.name] = parts.discovery.discover(parts.provider(settings), time_is_up=time_is_up)
        except SourceError as exc:
            parts.health.note_failure(settings, state, exc)
        else:
            parts.health.note_answer(settings, state)
    return begun


def poll(parts: Parts, tick: Tick, *, time_is_up: Callable[[], bool]) -> dict[str, int]:
    """Look at every due build; gives what was done, summed over the sources."""
    total = TickSummary()
    for settings in _sources(parts, tick):
        summary = parts.watch.tick(settings, partial(parts.provider, settings), time_is_up=time_is_up)
        for name, value in asdict(summary).items():
            setattr(total, name, getattr(total, name) + value)
    return asdict(total)


def request(parts: Parts, event: object, *, invocation_id: str) -> list[RequestResult]:
    """Serve a request by hand or by event, or all that the sources list when the schedule fires.

    Raises
    ------
    SettingsError
        The event is not one that this function knows.
    """
    wishes = _wishes(parts, event, invocation_id)
    results: list[RequestResult] = []
    failures: list[CourierError] = []
    for request_id, wish in wishes:
        settings = parts.sources.load().get(wish.source)
        state = parts.health.examine(settings.name)
        try:
            results.append(parts.requesting.request(parts.provider(settings), wish, request_id=request_id))
            parts.health.note_answer(settings, state)
        except SourceError as exc:
            parts.health.note_failure(settings, state, exc)
            failures.append(exc)
    if failures:
        # Raised after all were tried; a repetition of the invocation serves only what is left.
        raise failures[0]
    return results


def _wishes(parts: Parts, event: object, invocation_id: str) -> list[tuple[str, BuildRequest]]:
    """Read the event; every wish gets an id that a repeated delivery of the event has too."""
    document = event if isinstance(event, dict) else {}
    try:
        if "detail" in document:
            delivered = EventBridgeRequest.model_validate(document)
            return [(delivered.id, delivered.detail)]
        if "source" in document and len(document) > 1:
            return [(invocation_id, BuildRequest.model_validate(document))]
        tick = Tick.model_validate(document)
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
