"""Meaning of the exceptions that requests, urllib3 and the standard library raise for one attempt of a request."""

import http.client
import ssl
from dataclasses import dataclass
from typing import Final

import requests
import urllib3.exceptions


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
