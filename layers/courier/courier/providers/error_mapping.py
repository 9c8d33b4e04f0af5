"""Mapping of failed provider requests to the courier's errors.

A request fails in one of two ways: an attempt brings no usable response (`AttemptFailure`, from an exception of
the HTTP libraries), or the provider returns a status other than 2xx (`ErrorResponse`).
"""

import http.client
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import requests
import urllib3.exceptions
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
from courier.providers.parsing import decode_json, error_message, secret_values

# The first digit of a status is its class (RFC 9110, 15).
_REDIRECTS, _CLIENT_ERRORS, _SERVER_ERRORS = 3, 4, 5


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
        Whether a 404 says that a build is unknown.
    map_error
        The provider's own mapping, which takes precedence.
    """

    source: str
    kind: str
    starts_build: bool = False
    addresses_build: bool = False
    map_error: MapError | None = None


@dataclass(frozen=True, kw_only=True)
class AttemptFailure:
    """The reason why an attempt brought no usable response.

    Attributes
    ----------
    label
        For metrics.
    text
        For people; free of secrets.
    cause
        The library's exception; None when there is none, or when its text shows a header.
    transient
        Whether another attempt may succeed.
    unsendable
        Whether the request could not even be built, so that the settings are wrong.
    may_have_arrived
        Whether the provider may have received the request.
    status
        The response's status, where one came before the failure.
    """

    label: str
    text: str
    cause: BaseException | None = None
    transient: bool = True
    unsendable: bool = False
    may_have_arrived: bool = True
    status: int | None = None


def error_from_failure(failure: AttemptFailure, operation: Operation) -> SourceError | SettingsError:
    """Return the error of a call without a usable response."""
    text = f"{operation.source}: {operation.kind} {failure.text}"
    if operation.starts_build and failure.may_have_arrived:
        return RequestUncertainError(f"{text}; the build may have started anyway")
    if failure.unsendable:
        return SettingsError(text)
    return SourceUnavailableError(text) if failure.transient else SourceProtocolError(text)


NETWORK_ERRORS: Final = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    # urllib3 and http.client raise bare ones too.
    ValueError,
)

# Classes, label, text, transient. The first class found in the exception or among its causes decides, so the most
# specific ones come first.
_FAILURES: Final[tuple[tuple[tuple[type[BaseException], ...], str, str, bool], ...]] = (
    (
        (ssl.SSLCertVerificationError,),
        "untrusted",
        "received a certificate that is not trusted: {reason}; add a private authority to the source's ca_bundle",
        True,
    ),
    ((urllib3.exceptions.NameResolutionError,), "unresolved", "cannot resolve the endpoint's host name", True),
    ((urllib3.exceptions.NewConnectionError, ConnectionRefusedError), "unreachable", "cannot connect: {reason}", True),
    (
        (requests.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError),
        "connect_timeout",
        "timed out while connecting",
        True,
    ),
    (
        (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError, TimeoutError),
        "timeout",
        "timed out waiting for the response",
        True,
    ),
    (
        (requests.exceptions.ContentDecodingError, urllib3.exceptions.DecodeError),
        "undecodable",
        "received a body that cannot be decoded",
        False,
    ),
    (
        (ssl.SSLError, requests.exceptions.SSLError, urllib3.exceptions.SSLError),
        "tls",
        "failed in TLS: {reason}",
        True,
    ),
    (
        (
            requests.ConnectionError,
            requests.exceptions.ChunkedEncodingError,
            requests.Timeout,
            requests.exceptions.RetryError,
            urllib3.exceptions.ProtocolError,
            urllib3.exceptions.PoolError,
            urllib3.exceptions.TimeoutError,
            http.client.HTTPException,
            OSError,
        ),
        "broken",
        "lost the connection: {reason}",
        True,
    ),
)

# Some of these are OSErrors too, so they are checked before the table.
_UNSENDABLE: Final = (
    requests.exceptions.InvalidHeader,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.URLRequired,
    requests.exceptions.InvalidJSONError,
    requests.exceptions.UnrewindableBodyError,
    urllib3.exceptions.LocationValueError,
    urllib3.exceptions.UnrewindableBodyError,
    urllib3.exceptions.ProxySchemeUnsupported,
)


def map_network_error(error: BaseException, *, may_have_arrived: bool) -> AttemptFailure:
    """Return what an exception of requests, urllib3 or the standard library means.

    Parameters
    ----------
    may_have_arrived
        Whether the provider may have received the request.
    """
    if isinstance(error, requests.RequestException):
        # The request carries the API key, and error trackers record the attributes of exceptions.
        error.request = error.response = None
    if isinstance(error, _UNSENDABLE):
        # No cause: InvalidHeader's text shows the header's value.
        text = "could not be sent; check the source's endpoint and secret"
        return AttemptFailure(
            label="unbuildable", text=text, transient=False, unsendable=True, may_have_arrived=may_have_arrived
        )
    chain = _causes(error)
    for classes, label, text, transient in _FAILURES:
        found = next((link for link in chain if isinstance(link, classes)), None)
        if found is not None:
            text_with_reason = text.format(reason=_reason(found))
            return AttemptFailure(
                label=label,
                text=text_with_reason,
                cause=error,
                transient=transient,
                may_have_arrived=may_have_arrived,
            )
    text = f"received an unreadable response ({type(error).__name__})"
    return AttemptFailure(
        label="unreadable", text=text, cause=error, transient=False, may_have_arrived=may_have_arrived
    )


def _causes(error: BaseException) -> list[BaseException]:
    """Return the exception and those that it wraps: requests keeps urllib3's in ``args``, urllib3 in ``reason``."""
    chain: list[BaseException] = []
    waiting: list[object] = [error]
    # Wrapping is three or four deep; the bound is for exceptions that refer to each other.
    while waiting and len(chain) < 16:  # noqa: PLR2004 - explained above
        candidate = waiting.pop(0)
        if isinstance(candidate, BaseException) and not any(candidate is link for link in chain):
            chain.append(candidate)
            inner = (getattr(candidate, "reason", None), *candidate.args, candidate.__cause__, candidate.__context__)
            waiting.extend(inner)
    return chain


def _reason(error: BaseException) -> str:
    """Return the system's message, else the class name: other texts repeat addresses and objects."""
    # Only a failed handshake sets the attribute, the class alone does not.
    if isinstance(error, ssl.SSLCertVerificationError) and hasattr(error, "verify_message"):
        return error.verify_message
    for link in _causes(error):
        if isinstance(link, OSError) and link.strerror:
            return link.strerror
    return type(error).__name__


@dataclass(frozen=True, kw_only=True)
class ErrorResponse:
    """A response with a status other than 2xx.

    Attributes
    ----------
    document
        The body, where it is JSON; else None.
    message
        The provider's message: redacted, bounded, on one line.
    retry_after_seconds
        What the Retry-After header asks for, at most a day; None when there is none.
    redirect_target
        Scheme and host of a redirect's target.
    """

    source: str
    kind: str
    status: int
    document: JsonValue
    message: str
    retry_after_seconds: float | None = None
    redirect_target: str | None = None

    def __str__(self) -> str:
        return f"{self.source}: {self.kind} returned {self.status}" + (f": {self.message}" if self.message else "")


def read_error_response(
    received: requests.Response,
    body: bytes,
    operation: Operation,
    *,
    request_headers: Mapping[str, str],
    now: datetime,
) -> ErrorResponse:
    """Return what a response says; what it echoes of the request's headers is redacted."""
    try:
        document = decode_json(body)
    except ValueError:
        document = None
    return ErrorResponse(
        source=operation.source,
        kind=operation.kind,
        status=received.status_code,
        document=document,
        message=error_message(body, secrets=secret_values(request_headers)),
        retry_after_seconds=retry_after_seconds(received.headers.get("Retry-After"), now=now),
        redirect_target=_scheme_and_host(received.headers.get("Location", "")),
    )


def error_from_response(response: ErrorResponse, operation: Operation) -> SourceError:
    """Return the error that an error response stands for."""
    if operation.map_error is not None and (error := operation.map_error(response)) is not None:
        return error
    status, text = response.status, str(response)
    if operation.starts_build and not _certainly_started_nothing(response):
        return RequestUncertainError(f"{text}; the build may have started anyway")
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return SourceThrottledError(text, retry_after_seconds=response.retry_after_seconds)
    if status // 100 == _REDIRECTS:
        target = f" to {response.redirect_target}" if response.redirect_target else ""
        return SourceRejectedError(f"{text}; redirects{target} are not followed, correct the source's endpoint")
    error_class: type[SourceError] = SourceProtocolError
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        error_class = SourceUnauthorizedError
    elif status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE} and operation.addresses_build:
        error_class = BuildNotFoundError
    elif status == HTTPStatus.REQUEST_TIMEOUT or status // 100 == _SERVER_ERRORS:
        error_class = SourceUnavailableError
    elif status // 100 == _CLIENT_ERRORS:
        error_class = SourceRejectedError
    return error_class(text)


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
