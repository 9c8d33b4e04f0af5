"""Mapping of failed provider requests to the courier's errors.

A request fails in one of two ways: an attempt brings no usable response (`AttemptFailure`), or the response is not
the one that was requested (`ErrorResponse`): a status other than 2xx, a gateway's challenge, or "not yet".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pydantic import JsonValue

from courier.backoff import retry_after_seconds
from courier.errors import (
    BuildNotFoundError,
    RequestUncertainError,
    SettingsError,
    SourceError,
    SourceProtocolError,
    SourceRejectedError,
    SourceThrottledError,
    SourceUnauthorizedError,
    SourceUnavailableError,
)
from courier.observability.redaction import redact
from courier.providers.parsing import decode_json, error_message

if TYPE_CHECKING:
    # The providers' modules import this one, and settings are read without the HTTP libraries.
    import requests

    from courier.providers.network_errors import AttemptFailure

# The first digit of a status is its class (RFC 9110, 15).
_SUCCESSES, _REDIRECTS, _CLIENT_ERRORS, _SERVER_ERRORS = 2, 3, 4, 5
NOT_FOUND_STATUSES = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
# The API itself is not, or no longer, there: every other request would be refused the same way.
_WRONG_ENDPOINT_STATUSES = frozenset({HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.GONE, HTTPStatus.UPGRADE_REQUIRED})
_RETRYABLE_CLIENT_ERRORS = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY})
# With any other client error, a Retry-After says that the same request may succeed later; these say that it will not.
_PERMANENT_STATUSES = _WRONG_ENDPOINT_STATUSES | {HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND}
# Headers of a firewall that answers in place of the API (docs/source-apis.md, 1.8); the values are lower case.
_CHALLENGES: Final[Mapping[str, frozenset[str]]] = {
    "cf-mitigated": frozenset({"challenge"}),
    "x-amzn-waf-action": frozenset({"challenge", "captcha"}),
}
_MEDIA_TYPE_LIMIT_CHARACTERS = 100
_PAGE = re.compile(rb"\s*(<!--.{0,1000}?-->\s*)?<(!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL)


MapError = Callable[["ErrorResponse"], SourceError | None]
"""A provider's own mapping of an error response; None where the common one holds."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What a request is for.

    Attributes
    ----------
    kind
        Name in metrics and error messages, such as ``list_builds``.
    starts_build
        Whether the request starts a build when the provider accepts it.
    addresses_build
        Whether a 404 of the API says that a build is unknown.
    map_error
        The provider's own mapping, which takes precedence.
    """

    source: str
    kind: str
    starts_build: bool = False
    addresses_build: bool = False
    map_error: MapError | None = None


def error_from_failure(failure: AttemptFailure, operation: Operation) -> SourceError | SettingsError:
    """Return the error of a call without a usable response."""
    text = f"{operation.source}: {operation.kind} {failure.text}"
    if operation.starts_build and failure.may_have_arrived:
        return RequestUncertainError(f"{text}; the build may have started anyway")
    if failure.unsendable:
        return SettingsError(text)
    return SourceUnavailableError(text) if failure.transient else SourceProtocolError(text)


@dataclass(frozen=True, kw_only=True)
class ErrorResponse:
    """A response that is not the one that was requested.

    Attributes
    ----------
    document
        The body, where it is JSON; else None.
    message
        The provider's message: redacted, bounded, on one line.
    media_type
        The body's declared media type, in lower case; empty where there is none.
    is_page
        Whether the body is an HTML page.
    is_challenge
        Whether a header says that a firewall challenges the client.
    retry_after_seconds
        What the Retry-After header asks for, at most a day; None when there is none.
    redirect_target
        Scheme and host of a redirect's target.
    headers
        All headers, of which nothing is redacted.
    """

    source: str
    kind: str
    status: int
    document: JsonValue
    message: str
    media_type: str = ""
    is_page: bool = False
    is_challenge: bool = False
    retry_after_seconds: float | None = None
    redirect_target: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return f"{self.source}: {self.kind} returned {self.status}" + (f": {self.message}" if self.message else "")

    @property
    def refuses_key(self) -> bool:
        """Whether the API refuses the key: a gateway's page says nothing about it, nor does "slow down" with 403."""
        if self.is_page or self.is_challenge:
            return False
        return self.status == HTTPStatus.UNAUTHORIZED or (
            self.status == HTTPStatus.FORBIDDEN and self.retry_after_seconds is None
        )


def is_usable(received: requests.Response, *, now: datetime, reads: bool) -> bool:
    """Return whether a response is the one that was requested.

    A firewall's challenge may come with 202, and so may "not yet" to a request that ``reads`` something.
    """
    if received.status_code // 100 != _SUCCESSES or _is_challenge(received.headers):
        return False
    is_delayed = reads and received.status_code == HTTPStatus.ACCEPTED
    return not is_delayed or retry_after_seconds(received.headers.get("Retry-After"), now=now) is None


def read_error_response(
    received: requests.Response,
    body: bytes,
    operation: Operation,
    *,
    secrets: Sequence[str],
    now: datetime,
) -> ErrorResponse:
    """Return what a response says; what it echoes of the credentials is redacted."""
    content_type = received.headers.get("Content-Type", "")
    try:
        document = decode_json(body, content_type=content_type)
    except ValueError:
        document = None
    return ErrorResponse(
        source=operation.source,
        kind=operation.kind,
        status=received.status_code,
        document=document,
        message=error_message(body, content_type=content_type, secrets=secrets),
        media_type=media_type_of(content_type),
        is_page=_PAGE.match(body) is not None or "html" in media_type_of(content_type),
        is_challenge=_is_challenge(received.headers),
        retry_after_seconds=retry_after_seconds(received.headers.get("Retry-After"), now=now),
        redirect_target=_scheme_and_host(received.headers.get("Location", "")),
        headers=received.headers,
    )


def media_type_of(content_type: str) -> str:
    """Return the media type in a Content-Type header, for messages."""
    return redact(content_type.partition(";")[0].strip().lower(), limit=_MEDIA_TYPE_LIMIT_CHARACTERS)


def error_from_response(response: ErrorResponse, operation: Operation) -> SourceError:
    """Return the error that an error response stands for."""
    if response.is_challenge:
        return gateway_error(response)
    if operation.map_error is not None and (error := operation.map_error(response)) is not None:
        return error
    if operation.starts_build and not _certainly_started_nothing(response):
        return RequestUncertainError(f"{response}; the build may have started anyway")
    return _error_of_status(response, operation)


def _error_of_status(response: ErrorResponse, operation: Operation) -> SourceError:
    status_class, text = response.status // 100, str(response)
    if status_class == _SUCCESSES:
        return SourceThrottledError(f"{text}; not yet", retry_after_seconds=response.retry_after_seconds)
    if status_class == _REDIRECTS:
        target = f" to {response.redirect_target}" if response.redirect_target else ""
        text = f"{text}; redirects{target} are not followed, correct the source's endpoint"
        return SourceRejectedError(text, wrong_endpoint=True)
    if status_class == _CLIENT_ERRORS:
        return _client_error(response, operation)
    if status_class == _SERVER_ERRORS:
        return SourceUnavailableError(text, retry_after_seconds=response.retry_after_seconds)
    return SourceProtocolError(text)


def gateway_error(response: ErrorResponse) -> SourceUnavailableError:
    """Return the error of a response that a gateway wrote in place of the API, which it cannot or will not reach."""
    form = response.media_type or ("no content type" if response.message else "an empty body")
    challenge = ", a challenge" if response.is_challenge else ""
    message = f": {response.message}" if response.message else ""
    return SourceUnavailableError(
        f"{response.source}: {response.kind} failed: a gateway responded {response.status} with {form}"
        f"{challenge}{message}",
        retry_after_seconds=response.retry_after_seconds,
    )


def _client_error(response: ErrorResponse, operation: Operation) -> SourceError:
    status, text = response.status, str(response)
    is_own = isinstance(response.document, dict)
    if status in NOT_FOUND_STATUSES and operation.addresses_build:
        # A gateway whose backends are away says 404 too, in a form of its own.
        return BuildNotFoundError(text) if is_own else gateway_error(response)
    if (status == HTTPStatus.NOT_FOUND and not is_own) or (
        status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN} and response.is_page
    ):
        return gateway_error(response)
    if status in _RETRYABLE_CLIENT_ERRORS:
        return SourceUnavailableError(text, retry_after_seconds=response.retry_after_seconds)
    if status == HTTPStatus.TOO_MANY_REQUESTS or (
        response.retry_after_seconds is not None and status not in _PERMANENT_STATUSES
    ):
        return SourceThrottledError(text, retry_after_seconds=response.retry_after_seconds)
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return SourceUnauthorizedError(text, forbidden=status == HTTPStatus.FORBIDDEN)
    return SourceRejectedError(text, wrong_endpoint=status in _WRONG_ENDPOINT_STATUSES)


def _is_challenge(headers: Mapping[str, str]) -> bool:
    return any(headers.get(name, "").strip().lower() in values for name, values in _CHALLENGES.items())


def _certainly_started_nothing(response: ErrorResponse) -> bool:
    """Return whether a request to start a build certainly started none.

    3xx and 4xx reject the request itself, except 408 (RFC 9110: the server gave up on the connection).
    500, 502 and 504 may come after the work began. 503 is a rejection when the provider itself says
    so, with a JSON body or a Retry-After; a bare page of a gateway proves nothing.
    """
    if response.status == HTTPStatus.SERVICE_UNAVAILABLE:
        return response.retry_after_seconds is not None or isinstance(response.document, dict)
    return response.status // 100 in {_REDIRECTS, _CLIENT_ERRORS} and response.status != HTTPStatus.REQUEST_TIMEOUT


def _scheme_and_host(url: str) -> str | None:
    """Return scheme and host of a URL, without anything else that it carries; None when it lacks one of them."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return f"{parts.scheme}://{parts.hostname}" if parts.scheme and parts.hostname else None
