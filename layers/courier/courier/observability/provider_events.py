"""What a provider tells whoever opened it: requests made, and unexpected values in its responses."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

_logger = logging.getLogger(__name__)

UNEXPECTED_VALUE_MESSAGE = "the provider returned a value that its documentation does not list"


@dataclass(frozen=True, kw_only=True)
class RequestAttempt:
    """One try of one request.

    Attributes
    ----------
    kind
        What was asked for, such as ``list_builds``; the same word in metrics, usage and error texts.
    status
        The HTTP status; None when no answer came.
    failure
        Why no usable answer came, such as ``timeout``; None when one did.
    seconds
        From sending to the end of the body.
    attempt
        1 for the first try of a call.
    """

    source: str
    kind: str
    status: int | None
    failure: str | None
    seconds: float
    attempt: int


class UnexpectedKind(StrEnum):
    """What can be odd in an answer that is usable all the same."""

    UNKNOWN_STATUS = "unknown_status"
    MALFORMED_ENTRY = "malformed_entry"


@dataclass(frozen=True, kw_only=True)
class UnexpectedValue:
    """Something that the provider's documentation does not know; worth a metric, no reason to stop.

    ``detail`` is short, cleaned and free of secrets: a status word, or what is wrong with a list's entry.
    """

    source: str
    kind: UnexpectedKind
    detail: str


def log_unexpected_value(value: UnexpectedValue) -> None:
    """Say it in the log: what happens when nobody else listens."""
    _logger.warning(
        UNEXPECTED_VALUE_MESSAGE,
        extra={"source": value.source, "unexpected": value.kind.value, "detail": value.detail},
    )


@dataclass(frozen=True, kw_only=True)
class ProviderCallbacks:
    """Who listens.

    Attributes
    ----------
    before_request
        Called with the kind before every try; may raise `SourceThrottledError` to keep to a request budget.
    on_request
        Called after every try.
    on_unexpected_value
        Called once for each different value that one provider object meets.
    """

    before_request: Callable[[str], None] | None = None
    on_request: Callable[[RequestAttempt], None] | None = None
    on_unexpected_value: Callable[[UnexpectedValue], None] = log_unexpected_value
