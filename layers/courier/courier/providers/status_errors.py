"""What an HTTP answer other than 2xx means, in our errors."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urlsplit

from pydantic import JsonValue

from courier.errors import (
    BuildNotFoundError,
    RequestUncertainError,
    SourceError,
    SourceProtocolError,
    SourceRejectedError,
    SourceThrottledError,
    SourceUnauthorizedError,
    SourceUnavailableError,
)

# A provider that asks for more than a day is as good as one that asks for a day; and times stay computable.
RETRY_AFTER_LONGEST_SECONDS = 86_400.0

# The first digit of a status is its class (RFC 9110, 15).
_REDIRECTS, _CLIENT_ERRORS, _SERVER_ERRORS = 3, 4, 5


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An answer other than 2xx.

    Attributes
    ----------
    document
        The body, where it is JSON; else None.
    words
        The provider's own words: cleaned, bounded, without secrets.
    retry_after_seconds
        What the Retry-After header asks for, at most a day; None when there is none.
    moved_to
        Scheme and host of a redirect's target.
    """

    source: str
    kind: str
    status: int
    document: JsonValue
    words: str
    retry_after_seconds: float | None = None
    moved_to: str | None = None

    def __str__(self) -> str:
        return f"{self.source}: {self.kind} answered {self.status}" + (f": {self.words}" if self.words else "")


Explain = Callable[[Refusal], SourceError | None]
"""A provider's own reading of a refusal; None where it has none and the common one holds."""


def refusal_error(
    refusal: Refusal, *, starts_build: bool, addresses_build: bool, explain: Explain | None
) -> SourceError:
    """Give the error that a refusal is.

    Parameters
    ----------
    starts_build
        Whether the request, had it been accepted, would have started something.
    addresses_build
        Whether a 404 says that a build is unknown.
    explain
        Asked first.
    """
    if explain is not None and (error := explain(refusal)) is not None:
        return error
    status, text = refusal.status, str(refusal)
    if starts_build and not _surely_refused(refusal):
        return RequestUncertainError(f"{text}; the build may have been started all the same")
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return SourceThrottledError(text, retry_after_seconds=refusal.retry_after_seconds)
    if status // 100 == _REDIRECTS:
        target = f" to {refusal.moved_to}" if refusal.moved_to else ""
        return SourceRejectedError(f"{text}; redirects{target} are not followed, correct the source's endpoint")
    kind: type[SourceError] = SourceProtocolError
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        kind = SourceUnauthorizedError
    elif status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE} and addresses_build:
        kind = BuildNotFoundError
    elif status == HTTPStatus.REQUEST_TIMEOUT or status // 100 == _SERVER_ERRORS:
        kind = SourceUnavailableError
    elif status // 100 == _CLIENT_ERRORS:
        kind = SourceRejectedError
    return kind(text)


def _surely_refused(refusal: Refusal) -> bool:
    """Whether the request for a build certainly started none.

    3xx and 4xx are verdicts on the request, except 408 (RFC 9110: the server gave up on the connection).
    500, 502 and 504 may come after the work began. 503 is a refusal when the provider itself says
    so, with a JSON body or a Retry-After; a bare page of a gateway proves nothing.
    """
    if refusal.status == HTTPStatus.SERVICE_UNAVAILABLE:
        return refusal.retry_after_seconds is not None or isinstance(refusal.document, dict)
    return refusal.status // 100 in {_REDIRECTS, _CLIENT_ERRORS} and refusal.status != HTTPStatus.REQUEST_TIMEOUT


def retry_after_seconds(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Read Retry-After in both its forms, seconds and HTTP-date (RFC 9110, 10.2.3); None when absent or garbage."""
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", text):
        return min(float(text), RETRY_AFTER_LONGEST_SECONDS)
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return min(max((moment - now).total_seconds(), 0.0), RETRY_AFTER_LONGEST_SECONDS)
    except (ValueError, OverflowError):
        return None


def host_of(url: str) -> str | None:
    """Give scheme and host of a URL, without what else it may carry; None when there are none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return f"{parts.scheme}://{parts.hostname}" if parts.scheme and parts.hostname else None
