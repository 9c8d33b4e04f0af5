"""Faults of range requests: stores that refuse ranges, serve them oddly, or contradict their own ETag."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final, Literal

from typing_extensions import override

from local.simulator.artifact_store import ArtifactObject, etag_of
from local.simulator.error_bodies import store_error
from local.simulator.faults import Fault
from local.simulator.messages import Request, SimulatedResponse

_CONTENT_RANGE: Final = re.compile(r"bytes (?P<first>\d+)-(?P<last>\d+)/(?P<total>\d+)")
MOST_BYTES: Final = 256 * 1024
_BOUNDARY: Final = "simulated-boundary"


@dataclass(frozen=True)
class OddRange(Fault):
    """A range is served in an unusual form; other responses are unchanged.

    ``unsatisfiable`` is 416 with the length of the report, ``multipart`` is multipart/byteranges, ``short`` has at most
    256 KiB and says so, and ``equals_sign`` writes ``Content-Range: bytes=0-1/2``.
    """

    form: Literal["unsatisfiable", "multipart", "short", "equals_sign"]

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if match is None:
            return response
        headers, body = dict(response.headers), bytes(response.body)
        match self.form:
            case "unsatisfiable":
                return store_error(416, headers={"Content-Range": f"bytes */{match['total']}"})
            case "multipart":
                part = f"Content-Type: {headers['Content-Type']}\r\nContent-Range: {headers.pop('Content-Range')}"
                head, end = f"--{_BOUNDARY}\r\n{part}\r\n\r\n", f"\r\n--{_BOUNDARY}--\r\n"
                headers["Content-Type"] = f"multipart/byteranges; boundary={_BOUNDARY}"
                body = head.encode() + body + end.encode()
            case "short":
                body = body[:MOST_BYTES]
                first = int(match["first"])
                headers["Content-Range"] = f"bytes {first}-{first + len(body) - 1}/{match['total']}"
            case "equals_sign":
                headers["Content-Range"] = headers["Content-Range"].replace("bytes ", "bytes=")
        return replace(response, headers=headers, body=body)


@dataclass(frozen=True)
class DenyEtag(Fault):
    """Every If-Match gets 412, also that for the object's own ETag."""

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        if "if-match" not in request.headers:
            return response
        return store_error(412, elements={"Condition": "If-Match"})


@dataclass(frozen=True)
class OtherEtag(Fault):
    """The object has the same bytes and another ETag, as on a replica that computes its own."""

    @override
    def on_object(self, stored: ArtifactObject) -> ArtifactObject:
        return replace(stored, etag=etag_of(stored.etag.encode()))
