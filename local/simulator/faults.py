"""Faults of one request, as small values; `faults_json` has those that rewrite a JSON response.

A fault determines whether the request is read and carried out, and may change the request before it is routed, the
stored object, and the response. Every change is pure; the server sends the resulting `SimulatedResponse`.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import ClassVar
from urllib.parse import parse_qs

from typing_extensions import override

from local.simulator.artifact_store import ArtifactObject, etag_of, expired, token_expired
from local.simulator.error_bodies import error_response
from local.simulator.messages import ConnectionEnd, Request, SimulatedResponse

HTML_PAGE = b"<!doctype html><html><head><title>Sign in</title></head><body><h1>Please sign in</h1></body></html>"
GATEWAY_TEXT = b"404 page not found\n"
CHALLENGE_HEADERS = {"cf-mitigated": "challenge", "Server": "cloudflare"}
XML_ERROR = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>InternalError</Code><Message>x</Message></Error>'


class Fault:
    """A fault of one request; this base class changes nothing."""

    reads_body: ClassVar[bool] = True
    carried_out: bool = True

    def on_request(self, request: Request) -> Request:
        """Change the request before it is routed."""
        return request

    def on_object(self, stored: ArtifactObject) -> ArtifactObject:
        """Replace a stored object."""
        return stored

    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        """Change the response; that of a request that was not carried out is an empty 500."""
        del request
        return response


@dataclass(frozen=True)
class ResetBeforeReading(Fault):
    """The connection is reset before the request's body is read; nothing is carried out."""

    reads_body: ClassVar[bool] = False
    carried_out: bool = False

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        return replace(response, silent=True, connection=ConnectionEnd.RESET)


@dataclass(frozen=True)
class Unanswered(Fault):
    """The request is read and gets no response; the connection ends after `hold_seconds`.

    With `carried_out` the request takes effect: a POST whose response is lost.
    """

    carried_out: bool = True
    ending: ConnectionEnd = ConnectionEnd.RESET
    hold_seconds: float = 0.0

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        return replace(response, silent=True, connection=self.ending, wait_seconds=self.hold_seconds)


@dataclass(frozen=True)
class Delay(Fault):
    """The response is delayed."""

    seconds: float

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        return replace(response, wait_seconds=response.wait_seconds + self.seconds)


@dataclass(frozen=True)
class SlowBody(Fault):
    """The body is sent in pieces of `piece_bytes`, with a pause before each."""

    piece_bytes: int
    pause_seconds: float

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        return replace(response, piece_bytes=self.piece_bytes, pause_seconds=self.pause_seconds)


@dataclass(frozen=True)
class CutBody(Fault):
    """The connection ends after the first `keep_bytes` of the body.

    With `with_length` the Content-Length is that of the full body; without it the end of the connection looks like the
    end of the body. With `ending` RESET the connection is reset instead of closed.
    """

    keep_bytes: int
    with_length: bool = True
    ending: ConnectionEnd = ConnectionEnd.CLOSE

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        return replace(
            response,
            body=response.body[: self.keep_bytes],
            declared_bytes=len(response.body),
            with_length=self.with_length,
            connection=self.ending,
        )


@dataclass(frozen=True)
class NoLength(Fault):
    """The whole body is sent without a Content-Length."""

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        return replace(response, with_length=False, connection=ConnectionEnd.CLOSE)


@dataclass(frozen=True)
class ChunkedBody(Fault):
    """The body is sent in chunks, without a Content-Length; with `keep_bytes` it breaks off after so many bytes."""

    keep_bytes: int | None = None

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        is_cut = self.keep_bytes is not None and self.keep_bytes < len(response.body)
        return replace(
            response,
            body=response.body[: self.keep_bytes],
            chunked=True,
            connection=ConnectionEnd.CLOSE if is_cut else response.connection,
            declared_bytes=len(response.body),
        )


@dataclass(frozen=True)
class RepeatLength(Fault):
    """The Content-Length stands twice in its header, as two proxies write it."""

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        headers = {**response.headers, "Content-Length": f"{len(response.body)}, {len(response.body)}"}
        return replace(response, headers=headers, with_length=False)


@dataclass(frozen=True)
class InterimResponse(Fault):
    """An informational response precedes the final one."""

    status: int = 103

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        return replace(response, interim=self.status)


@dataclass(frozen=True)
class ReplaceBody(Fault):
    """The body is replaced, by default with an empty one; status, headers and length are correct."""

    body: bytes = field(default=b"", repr=False)

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        return replace(response, body=self.body)


@dataclass(frozen=True)
class CorruptBody(Fault):
    """One byte of the body is wrong, if the body is long enough; the length is correct."""

    at: int = 0

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        body = bytearray(response.body)
        if self.at < len(body):
            body[self.at] ^= 0xFF
        return replace(response, body=bytes(body))


@dataclass(frozen=True)
class GzipBody(Fault):
    """The body is gzipped and declared so, although the client did not request it."""

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        headers = {**response.headers, "Content-Encoding": "gzip"}
        return replace(response, headers=headers, body=gzip.compress(response.body, compresslevel=1, mtime=0))


@dataclass(frozen=True)
class SetHeaders(Fault):
    """Headers are replaced, or removed with None: no ETag, a weak one, a wrong Content-Range, a hostile filename."""

    headers: Mapping[str, str | None]

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        ours = {name.lower() for name in self.headers}
        kept = {name: value for name, value in response.headers.items() if name.lower() not in ours}
        added = {name: value for name, value in self.headers.items() if value is not None}
        return replace(response, headers={**kept, **added})


@dataclass(frozen=True)
class ErrorStatus(Fault):
    """An error status with the provider's error body; `retry_after` is in seconds or an instant."""

    status: int
    detail: str = "simulated failure"
    retry_after: int | datetime | None = None
    carried_out: bool = False

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        refused = error_response(request.target.provider, self.status, self.detail)
        if self.retry_after is None:
            return refused
        after = self.retry_after
        value = str(after) if isinstance(after, int) else format_datetime(after, usegmt=True)
        return replace(refused, headers={**refused.headers, "Retry-After": value})


@dataclass(frozen=True)
class Reply(Fault):
    """Any other response instead of the true one, such as `HTML_PAGE` or `XML_ERROR` with 200."""

    status: int
    body: bytes = field(default=b"", repr=False)
    content_type: str = "text/html; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    carried_out: bool = False

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        return SimulatedResponse(self.status, {"Content-Type": self.content_type, **self.headers}, self.body)


@dataclass(frozen=True)
class Redirect(Fault):
    """The client is redirected."""

    url: str
    status: int = 302
    carried_out: bool = False

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        return SimulatedResponse(self.status, {"Location": self.url})


@dataclass(frozen=True)
class LinkExpired(Fault):
    """The presigned link of this request expired a second ago."""

    carried_out: bool = False

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        query = parse_qs(request.query)
        lifetime_seconds = int(query.get("X-Amz-Expires", ["0"])[0])
        return expired(request.at - timedelta(seconds=1), lifetime_seconds, request.at)


@dataclass(frozen=True)
class TokenExpired(Fault):
    """The credentials that signed this request's link have expired: HTTP 400."""

    carried_out: bool = False

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        return token_expired()


@dataclass(frozen=True)
class IgnoreRange(Fault):
    """The whole object is served with 200, whatever range was requested."""

    @override
    def on_request(self, request: Request) -> Request:
        return replace(request, headers={name: value for name, value in request.headers.items() if name != "range"})


@dataclass(frozen=True)
class ObjectChanged(Fault):
    """The object is replaced by one of the same size with its own ETag; an If-Match for the old one gets 412."""

    @override
    def on_object(self, stored: ArtifactObject) -> ArtifactObject:
        content = stored.content[::-1]
        return ArtifactObject(content, stored.modified_at + timedelta(seconds=1), etag_of(content))
