"""What all use cases share: reading events, choosing sources, and watching the invocation's time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from pydantic import AwareDatetime, BaseModel, ValidationError

from courier.config.validation import describe_validation
from courier.errors import SettingsError
from courier.models import Slug, StrictModel
from courier.observability.logger import logger
from courier.observability.metrics import Metric

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from courier.config.settings import SourceSettings
    from courier.usecases.container import Container

# One provider call at its slowest (PROVIDER_CALL_SECONDS) and the ledger writes after it.
RESERVE_SECONDS = 32.0
# A call that starts with RESERVE_SECONDS left ends before Lambda ends the invocation, so a provider that
# hangs is recorded as unavailable like any other.
PROVIDER_CALL_SECONDS = 25.0
CONCURRENT_SOURCES = 8

ModelT = TypeVar("ModelT", bound=BaseModel)


class Tick(StrictModel):
    """The event of a schedule or an operator: every source, or one."""

    scheduled_time: AwareDatetime | None = None
    source: Slug | None = None


def read_event(model: type[ModelT], event: object) -> ModelT:
    """Validate an event.

    Raises
    ------
    SettingsError
        The event does not fit the model; the text names the fields without their values.
    """
    try:
        return model.model_validate(event)
    except ValidationError as exc:
        raise SettingsError(f"the event does not fit {model.__name__}: {describe_validation(exc)}") from exc


def seconds_left(context: LambdaContext) -> float:
    """Return the seconds until Lambda ends the invocation."""
    return context.get_remaining_time_in_millis() / 1000


def time_is_up(context: LambdaContext, *, reserve_seconds: float = RESERVE_SECONDS) -> Callable[[], bool]:
    """Return a function that says whether too little time is left to start another provider call."""
    return lambda: seconds_left(context) < reserve_seconds


def selected_sources(container: Container, tick: Tick) -> Iterator[SourceSettings]:
    """Return the sources that a tick selects; a misconfigured source is logged and measured, and stops no other."""
    sources = container.sources.load()
    if tick.source is not None:
        yield sources.get(tick.source)
        return
    for name, reason in sources.broken.items():
        logger.error("source is misconfigured", source=name, reason=reason)
        container.meter(name).count(Metric.SOURCE_MISCONFIGURED)
    yield from sources.usable.values()


def for_each_source(sources: Sequence[SourceSettings], process: Callable[[SourceSettings], None]) -> None:
    """Process the sources concurrently, so that a slow one delays no other.

    The first error is raised after all sources have been processed.
    """
    if not sources:
        return
    with ThreadPoolExecutor(min(CONCURRENT_SOURCES, len(sources)), thread_name_prefix="sources") as pool:
        futures = {settings.name: pool.submit(process, settings) for settings in sources}
    failures = [(name, error) for name, future in futures.items() if (error := future.exception()) is not None]
    for name, error in failures:
        logger.error("source not processed", source=name, exc_info=error)
    if failures:
        raise failures[0][1]
