"""What all handlers share: how an event is read, and how much of an invocation is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from courier.config.validation import describe_validation
from courier.errors import SettingsError

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# Enough for one provider call at its slowest (ticks.TICK_CALL_SECONDS) and the ledger's writes after it.
RESERVE_SECONDS = 32.0

ModelT = TypeVar("ModelT", bound=BaseModel)


def read_event(model: type[ModelT], event: object) -> ModelT:
    """Read an event into its model.

    Raises
    ------
    SettingsError
        It does not fit; the text names the fields, without their values.
    """
    try:
        return model.model_validate(event)
    except ValidationError as exc:
        raise SettingsError(f"the event does not fit {model.__name__}: {describe_validation(exc)}") from exc


def seconds_left(context: LambdaContext) -> float:
    """Give the seconds until Lambda ends the invocation."""
    return context.get_remaining_time_in_millis() / 1000


def time_is_up(context: LambdaContext, *, reserve_seconds: float = RESERVE_SECONDS) -> Callable[[], bool]:
    """Give a question that answers whether to begin nothing new any more."""
    return lambda: seconds_left(context) < reserve_seconds
