"""What can go wrong with one request, as small values; `faults_json` has the ones that rewrite a JSON answer.

A fault says whether the request is still read and carried out, and may change the request before it is routed, the
stored object, and the answer. Every change is pure; the wire obeys the resulting `SimulatedResponse`.
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

from local.simulator.artifact_store import StoredObject, etag_of, expired, token_expired
from local.simulator.error_bodies import error_response
from local.simulator.messages import ConnectionEnd, Request, SimulatedResponse

HTML_PAGE = b"<!doctype html><html><head><title>Sign in</title></head><body><h1>Please sign in</h1></body></html>"
XML_ERROR = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>InternalError</Code><Message>x</Message></Error>'


class Fault:
    """One way in which a request goes wrong; this base changes nothing."""

    reads_body: ClassVar[bool] = True
    carried_out: bool = True

    def on_request(self, request: Request) -> Request:
        """Change the request before it is routed."""
        return request

    def on_object(self, stored: StoredObject) -> StoredObject:
        """Put another object in the place of a stored one."""
        return stored

    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        """Change the answer; to a request that was not carried out, that is an empty 500."""
        del request
        return response


@dataclass(frozen=True)
class ResetBeforeReading(Fault):
    """The connection is reset before the request's body was read; nothing is carried out."""

    reads_body: ClassVar[bool] = False
    carried_out: bool = False

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        return replace(response, silent=True, connection=ConnectionEnd.RESET)


@dataclass(frozen=True)
class Unanswered(Fault):
    """The request is read and never answered; the connection ends after `hold_seconds`.

    With `carried_out` the request has its effect: a POST whose answer is lost.
    """

    carried_out: bool = True
    ending: ConnectionEnd = ConnectionEnd.RESET
    hold_seconds: float = 0.0

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        return replace(response, silent=True, connection=self.ending, wait_seconds=self.hold_seconds)


@dataclass(frozen=True)
class Delay(Fault):
    """The answer comes late."""

    seconds: float

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        return replace(response, wait_seconds=response.wait_seconds + self.seconds)


@dataclass(frozen=True)
class SlowBody(Fault):
    """The body comes in pieces of `piece_bytes`, with a pause before each."""

    piece_bytes: int
    pause_seconds: float

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        return replace(response, piece_bytes=self.piece_bytes, pause_seconds=self.pause_seconds)


@dataclass(frozen=True)
class CutBody(Fault):
    """The connection ends after the first `keep_bytes` of the body.

    With `with_length` the client is told the full length; without it the end of the connection looks like the end of
    the body. `ending` RESET breaks the connection instead of closing it.
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
    """The whole body comes without a Content-Length."""

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        return replace(response, with_length=False, connection=ConnectionEnd.CLOSE)


@dataclass(frozen=True)
class ReplaceBody(Fault):
    """Another body under the true status and headers; zero bytes unless said otherwise. The length is right."""

    body: bytes = field(default=b"", repr=False)

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        return replace(response, body=self.body)


@dataclass(frozen=True)
class CorruptBody(Fault):
    """One byte of the body is wrong, if it has so many; the length is right."""

    at: int = 0

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        body = bytearray(response.body)
        if self.at < len(body):
            body[self.at] ^= 0xFF
        return replace(response, body=bytes(body))


@dataclass(frozen=True)
class GzipBody(Fault):
    """The body comes gzipped and says so, though nobody asked for it."""

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        headers = {**response.headers, "Content-Encoding": "gzip"}
        return replace(response, headers=headers, body=gzip.compress(response.body, compresslevel=1, mtime=0))


@dataclass(frozen=True)
class SetHeaders(Fault):
    """Headers are replaced; None takes one away: no ETag, a weak one, a wrong Content-Range, a hostile filename."""

    headers: Mapping[str, str | None]

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        ours = {name.lower() for name in self.headers}
        kept = {name: value for name, value in response.headers.items() if name.lower() not in ours}
        added = {name: value for name, value in self.headers.items() if value is not None}
        return replace(response, headers={**kept, **added})


@dataclass(frozen=True)
class ErrorStatus(Fault):
    """An error status with the body that this provider gives it; `retry_after` is seconds or a moment."""

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
    """Any answer at all in the place of the true one, such as `HTML_PAGE` or `XML_ERROR` with 200."""

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
    """The client is sent elsewhere."""

    url: str
    status: int = 302
    carried_out: bool = False

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        return SimulatedResponse(self.status, {"Location": self.url})


@dataclass(frozen=True)
class LinkExpired(Fault):
    """The presigned link of this request died a second ago."""

    carried_out: bool = False

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        query = parse_qs(request.query)
        lifetime_seconds = int(query.get("X-Amz-Expires", ["0"])[0])
        return expired(request.at - timedelta(seconds=1), lifetime_seconds, request.at)


@dataclass(frozen=True)
class TokenExpired(Fault):
    """The credentials that signed this request's link are past their time: HTTP 400."""

    carried_out: bool = False

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        return token_expired()


@dataclass(frozen=True)
class IgnoreRange(Fault):
    """The whole object is served with 200, whatever part was asked for."""

    @override
    def on_request(self, request: Request) -> Request:
        return replace(request, headers={name: value for name, value in request.headers.items() if name != "range"})


@dataclass(frozen=True)
class ObjectChanged(Fault):
    """The object is another one of the same size, with its own ETag; an If-Match for the old one gets 412."""

    @override
    def on_object(self, stored: StoredObject) -> StoredObject:
        content = stored.content[::-1]
        return StoredObject(content, stored.modified_at + timedelta(seconds=1), etag_of(content))
