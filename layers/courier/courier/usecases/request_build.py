"""``request_build``: request builds by schedule, by an EventBridge event, or by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import StringConstraints, ValidationError

from courier.config.validation import describe_validation
from courier.errors import CourierError, SettingsError
from courier.ledger.pauses import pause_at
from courier.models import BuildRequest, FrozenModel, Identifier
from courier.observability.logger import logger
from courier.usecases.events import Tick, selected_sources
from courier.usecases.operator_actions import send_request

if TYPE_CHECKING:
    from courier.builds.requests import RequestResult
    from courier.config.settings import SourceSettings
    from courier.usecases.container import Container


class EventBridgeRequest(FrozenModel):
    """An EventBridge event whose detail is a `BuildRequest`."""

    # The id becomes part of the id of the placeholder build that stands for the request.
    id: Annotated[Identifier, StringConstraints(max_length=150)]
    detail: BuildRequest


def request_build(container: Container, event: object, *, invocation_id: str) -> list[RequestResult]:
    """Process one request, or, when the schedule fires, all requests that the sources configure.

    Raises
    ------
    SettingsError
        The event has an unknown form, or a request does not fit its source.
    SourceError
        A provider did not respond. All requests were tried; a retry processes the remaining ones.
    """
    results: list[RequestResult] = []
    failures: list[CourierError] = []
    for request_id, request in _read_requests(container, event, invocation_id):
        try:
            results.append(send_request(container, container.requester, request, request_id))
        except CourierError as exc:
            logger.error("request failed", source=request.source, request_id=request_id, reason=str(exc))
            failures.append(exc)
    if failures:
        raise failures[0]
    return results


def _read_requests(container: Container, event: object, invocation_id: str) -> list[tuple[str, BuildRequest]]:
    """Read the event; each request gets an id that a repeated delivery of the same event yields again."""
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
        (f"{fired}-{number}", request)
        for settings in selected_sources(container, tick)
        if not _is_paused(container, settings)
        for number, request in enumerate(settings.build_requests())
    ]


def _is_paused(container: Container, settings: SourceSettings) -> bool:
    """Return whether the schedule skips a source; a request by event or by hand is refused instead."""
    pause = pause_at(container.health.state(settings.name).pauses, container.clock())
    if pause is not None and settings.build_requests():
        logger.warning("scheduled requests skipped, the source is paused", source=settings.name, until=str(pause.until))
    return pause is not None
