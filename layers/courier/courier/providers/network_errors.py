"""What it means when a call got no usable answer: the one place where foreign exceptions become ours."""

import http.client
import ssl
from dataclasses import dataclass
from typing import Final

import requests
import urllib3.exceptions

from courier.errors import (
    RequestUncertainError,
    SettingsError,
    SourceError,
    SourceProtocolError,
    SourceUnavailableError,
)


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Why a try brought no usable answer.

    Attributes
    ----------
    word
        For metrics.
    text
        For people; free of secrets.
    cause
        The foreign exception; None when there is none, or when its text shows a header.
    passing
        Whether another try may go better.
    ours
        Whether the request itself could not be built, so that the settings are wrong.
    reached
        Whether the provider may have seen the request.
    status
        The answer's status, where one came before the trouble.
    """

    word: str
    text: str
    cause: BaseException | None = None
    passing: bool = True
    ours: bool = False
    reached: bool = True
    status: int | None = None


def trouble_error(trouble: Trouble, *, source: str, kind: str, starts_build: bool) -> SourceError | SettingsError:
    """Give the error that a call without a usable answer is."""
    text = f"{source}: {kind} {trouble.text}"
    if starts_build and trouble.reached:
        return RequestUncertainError(f"{text}; the build may have been started all the same")
    if trouble.ours:
        return SettingsError(text)
    return SourceUnavailableError(text) if trouble.passing else SourceProtocolError(text)


FOREIGN_ERRORS: Final = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    # Some of urllib3 and http.client are bare ones.
    ValueError,
)

# The first class found in the exception or among its causes decides, so the telling ones come first.
_TROUBLES: Final[tuple[tuple[tuple[type[BaseException], ...], str, str, bool], ...]] = (
    ((ssl.SSLCertVerificationError,), "untrusted", "got a certificate that is not trusted: {reason}", True),
    ((urllib3.exceptions.NameResolutionError,), "unresolved", "cannot find the address of the endpoint's host", True),
    ((urllib3.exceptions.NewConnectionError, ConnectionRefusedError), "unreachable", "cannot connect: {reason}", True),
    (
        (requests.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError),
        "connect_timeout",
        "got no connection in time",
        True,
    ),
    (
        (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError, TimeoutError),
        "timeout",
        "got no answer in time",
        True,
    ),
    (
        (requests.exceptions.ContentDecodingError, urllib3.exceptions.DecodeError),
        "undecodable",
        "got a body that does not decode",
        False,
    ),
    (
        (ssl.SSLError, requests.exceptions.SSLError, urllib3.exceptions.SSLError),
        "tls",
        "could not speak TLS: {reason}",
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
        "lost its connection: {reason}",
        True,
    ),
)

# These are OSErrors too, so they are asked for before the table: the request could not even be built.
_UNBUILDABLE: Final = (
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


def map_foreign_error(error: BaseException, *, reached: bool) -> Trouble:
    """Say in our words what an exception of requests, urllib3 or the standard library means.

    Parameters
    ----------
    reached
        Whether the provider may have seen the request.
    """
    if isinstance(error, requests.RequestException):
        # The request carries the API key; whoever collects exceptions may write down their attributes.
        error.request = error.response = None
    chain = _causes(error)
    if isinstance(error, _UNBUILDABLE):
        # No cause: InvalidHeader's text shows the header's value.
        text = "could not be sent, check endpoint and secret of the source"
        return Trouble(word="unbuildable", text=text, passing=False, ours=True, reached=reached)
    for kinds, word, text, passing in _TROUBLES:
        found = next((link for link in chain if isinstance(link, kinds)), None)
        if found is not None:
            sentence = text.format(reason=_reason(found))
            if word == "untrusted":
                sentence += "; a private authority belongs into the source's ca_bundle"
            return Trouble(word=word, text=sentence, cause=error, passing=passing, reached=reached)
    text = f"got an answer that cannot be read ({type(error).__name__})"
    return Trouble(word="unreadable", text=text, cause=error, passing=False, reached=reached)


def _causes(error: BaseException) -> list[BaseException]:
    """Give the exception and those that it wraps: requests keeps urllib3's in ``args``, urllib3 in ``reason``."""
    chain: list[BaseException] = []
    waiting: list[object] = [error]
    # Wrapping is three or four deep; the bound is for exceptions that name each other.
    while waiting and len(chain) < 16:  # noqa: PLR2004 - explained above
        candidate = waiting.pop(0)
        if isinstance(candidate, BaseException) and not any(candidate is link for link in chain):
            chain.append(candidate)
            inner = (getattr(candidate, "reason", None), *candidate.args, candidate.__cause__, candidate.__context__)
            waiting.extend(inner)
    return chain


def _reason(error: BaseException) -> str:
    """Name an exception by what the system says, else by its class: other texts repeat addresses and objects."""
    # Only a failed handshake sets the attribute, the class alone does not.
    if isinstance(error, ssl.SSLCertVerificationError) and hasattr(error, "verify_message"):
        return error.verify_message
    for link in _causes(error):
        if isinstance(link, OSError) and link.strerror:
            return link.strerror
    return type(error).__name__
