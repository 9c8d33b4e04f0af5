"""Events that a provider client reports to its caller: request attempts, and unexpected values in responses."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

_logger = logging.getLogger(__name__)

UNEXPECTED_VALUE_MESSAGE = "the provider returned a value that its documentation does not list"


@dataclass(frozen=True, kw_only=True)
class RequestAttempt:
    """One attempt of one request.

    Attributes
    ----------
    kind
        Name of the operation, such as ``list_builds``; the same in metrics and error messages.
    status
        The HTTP status; None when no response came.
    failure
        Why no usable response came, such as ``timeout``; None when one did.
    seconds
        From sending to the end of the body.
    attempt
        1 for the first attempt of a call.
    """

    source: str
    kind: str
    status: int | None
    failure: str | None
    seconds: float
    attempt: int


class UnexpectedKind(StrEnum):
    """Kinds of unexpected values in a response that is usable nevertheless."""

    UNKNOWN_STATUS = "unknown_status"
    MALFORMED_ENTRY = "malformed_entry"
    UNREADABLE_TIME = "unreadable_time"
    NAIVE_TIME = "naive_time"
    FUTURE_TIME = "future_time"
    UNREAD_PAGE = "unread_page"
    UNREADABLE_VALUE = "unreadable_value"


@dataclass(frozen=True, kw_only=True)
class UnexpectedValue:
    """A value that the provider's documentation does not list; worth a metric, no reason to stop.

    ``detail`` is short, redacted and free of secrets: a status, the form of a time, or what is wrong with a list.
    """

    source: str
    kind: UnexpectedKind
    detail: str


def log_unexpected_value(value: UnexpectedValue) -> None:
    """Log an unexpected value: the default callback."""
    _logger.warning(
        UNEXPECTED_VALUE_MESSAGE,
        extra={"source": value.source, "unexpected": value.kind.value, "detail": value.detail},
    )


@dataclass(frozen=True, kw_only=True)
class ProviderCallbacks:
    """Functions that a provider client calls.

    Attributes
    ----------
    before_request
        Called with the kind before every attempt; may raise `SourceThrottledError` to enforce a rate limit.
    on_request
        Called after every attempt.
    on_unexpected_value
        Called once for each different value that the client receives.
    """

    before_request: Callable[[str], None] | None = None
    on_request: Callable[[RequestAttempt], None] | None = None
    on_unexpected_value: Callable[[UnexpectedValue], None] = log_unexpected_value
