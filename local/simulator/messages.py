"""Requests, responses and the request log of the simulator; the log contains no secret."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

Clock: TypeAlias = Callable[[], datetime]
JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
JsonObject: TypeAlias = dict[str, JsonValue]


class ProviderName(StrEnum):
    """The addressee of a request."""

    TREASURE_INSIGHTS = "treasure_insights"
    DREADNODE_AIRT = "dreadnode_airt"
    VENDOR = "vendor"
    ARTIFACT_STORE = "artifact_store"
    UNKNOWN = "unknown"


class RequestKind(StrEnum):
    """The operation of a request."""

    LIST_MODELS = "list_models"
    LIST_BUILDS = "list_builds"
    START_BUILD = "start_build"
    GET_BUILD = "get_build"
    CANCEL_BUILD = "cancel_build"
    GET_LIMITS = "get_limits"
    PREFLIGHT = "preflight"
    START_JOB = "start_job"
    CONTINUE_JOB = "continue_job"
    GET_JOB = "get_job"
    LOCATE_ARTIFACT = "locate_artifact"
    TOKEN = "token"  # noqa: S105 - an operation
    ARTIFACT = "artifact"
    OTHER = "other"


@dataclass(frozen=True)
class RequestTarget:
    """The target of a path: a data model oid or ``org/workspace/project`` as scope, and a build or job id."""

    provider: ProviderName
    kind: RequestKind
    scope: str = ""
    build_id: str = ""


@dataclass(frozen=True)
class Request:
    """One received request; header names are lower case, `query` is not decoded."""

    at: datetime
    method: str
    path: str
    query: str = field(repr=False)  # a presigned query is a secret
    headers: Mapping[str, str] = field(repr=False)
    target: RequestTarget
    body: bytes = field(default=b"", repr=False)

    def json(self) -> JsonValue:
        """Return the parsed body.

        Raises
        ------
        ValueError
            The body is not JSON.
        """
        parsed: JsonValue = json.loads(self.body)
        return parsed


class ConnectionEnd(StrEnum):
    """What happens to the connection after the response."""

    KEEP = "keep"
    CLOSE = "close"
    RESET = "reset"


@dataclass(frozen=True)
class SimulatedResponse:
    """One response, and how it is sent.

    `declared_bytes` overrides the true Content-Length; without `with_length` the header is omitted, so that the end of
    the connection ends the body. A `silent` response is not sent. With `piece_bytes` the body is sent in such pieces,
    with `pause_seconds` before each. A `chunked` body has no length, and no last chunk if `declared_bytes` is larger.
    An `interim` status is sent as a response of its own before this one.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | memoryview = field(default=b"", repr=False)
    declared_bytes: int | None = None
    with_length: bool = True
    connection: ConnectionEnd = ConnectionEnd.KEEP
    silent: bool = False
    wait_seconds: float = 0.0
    piece_bytes: int | None = None
    pause_seconds: float = 0.0
    chunked: bool = False
    interim: int | None = None


def json_response(status: int, body: JsonValue, **headers: str) -> SimulatedResponse:
    """Return a response with `body` as JSON."""
    return SimulatedResponse(status, {"Content-Type": "application/json", **headers}, json.dumps(body).encode())


@dataclass(frozen=True)
class LoggedRequest:
    """One line of the request log, without query string, headers and bodies.

    `status` is None when no response was sent, `body_bytes` is the size of the intended response body, and `faults`
    names the injected faults.
    """

    at: datetime
    target: RequestTarget
    method: str
    path: str
    status: int | None
    body_bytes: int
    range: str | None = None
    faults: tuple[str, ...] = ()

    @property
    def kind(self) -> RequestKind:
        """The operation of the request."""
        return self.target.kind

    @property
    def provider(self) -> ProviderName:
        """The addressee of the request."""
        return self.target.provider


class RequestLog:
    """Every received request, in the order of the responses; thread-safe."""

    def __init__(self) -> None:
        self._entries: list[LoggedRequest] = []
        self._lock = threading.Lock()

    def add(self, entry: LoggedRequest) -> None:
        """Add one request."""
        with self._lock:
            self._entries.append(entry)

    def __iter__(self) -> Iterator[LoggedRequest]:
        with self._lock:
            return iter(tuple(self._entries))

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)

    def of(
        self, kind: RequestKind | None = None, *, build_id: str | None = None, scope: str | None = None
    ) -> tuple[LoggedRequest, ...]:
        """Return the requests of a kind, about a build, in a scope; None matches all."""
        return tuple(
            entry
            for entry in self
            if kind in {None, entry.kind}
            and build_id in {None, entry.target.build_id}
            and scope in {None, entry.target.scope}
        )

    def counts(self) -> Counter[RequestKind]:
        """Return the number of requests by kind."""
        return Counter(entry.kind for entry in self)
