"""A simulated server: faults, a request log and a life cycle; subclasses say who answers a request, and how."""

from __future__ import annotations

import ssl
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from courier.clock import utc_now
from local.simulator.artifact_store import ArtifactObject
from local.simulator.certificates import make_tls_files
from local.simulator.fault_plan import FaultPlan
from local.simulator.faults import Fault
from local.simulator.http_server import LoopbackServer, ServerOptions
from local.simulator.manual_clock import HeldClock
from local.simulator.messages import Clock, LoggedRequest, Request, RequestLog, RequestTarget, SimulatedResponse

# Clients reach the APIs by address and the artifacts by name, so that the two are different hosts.
API_HOST = "127.0.0.1"
ARTIFACT_HOST = "localhost"


class SimulatedServer(ABC):
    """One server on loopback, up while the context is open.

    Parameters
    ----------
    clock
        Returns the current instant, which determines every status.
    faults
        The injected faults; none by default.
    tls
        Whether to serve HTTPS, with a certificate of a private authority, `ca_file`.
    wait
        Waits for delays; by default on the real clock, until the context closes.
    """

    body_names_target: ClassVar[bool] = False
    """Whether only the body says which operation a request asks for, as with GraphQL."""

    def __init__(
        self,
        *,
        clock: Clock = utc_now,
        faults: FaultPlan | None = None,
        tls: bool = False,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self.faults = faults or FaultPlan()
        self.requests = RequestLog()
        self._clock = clock
        self._closing = threading.Event()
        self._wait = wait or self._closing.wait
        self._folder = tempfile.TemporaryDirectory(prefix="simulator-") if tls else None
        self._files = make_tls_files(Path(self._folder.name)) if self._folder else None
        self._server: LoopbackServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        context = None
        if self._files is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._files.certificate, self._files.key)
        self._server = LoopbackServer(ServerOptions(self._respond, self._wait, context))
        self._serve_artifacts_at(self._origin(ARTIFACT_HOST))
        self._thread = threading.Thread(
            target=partial(self._server.serve_forever, poll_interval=0.02), name=type(self).__name__
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.set()
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
        if self._folder is not None:
            self._folder.cleanup()

    @property
    def url(self) -> str:
        """Endpoint of every API that it serves, without a trailing slash."""
        return self._origin(API_HOST)

    @property
    def artifact_host(self) -> str:
        """Host name of the presigned URLs, without the port."""
        return ARTIFACT_HOST

    @property
    def ca_file(self) -> Path | None:
        """PEM file of the certificate authority, with TLS."""
        return self._files.authority if self._files else None

    def _origin(self, host: str) -> str:
        if self._server is None:
            raise RuntimeError(f"{type(self).__name__} is not running; enter the context first")
        return f"{'https' if self._files else 'http'}://{host}:{self._server.server_port}"

    def _respond(
        self, method: str, target: str, headers: Mapping[str, str], read_body: Callable[[], bytes]
    ) -> SimulatedResponse:
        if isinstance(self._clock, HeldClock):
            self._clock.release()
        path, _, query = target.partition("?")
        body = read_body() if self.body_names_target else b""
        addressee = self._target(method, path, query, body)
        request = Request(self._clock(), method, path, query, headers, addressee, body)
        faults = self.faults.apply(request)
        if not self.body_names_target and all(fault.reads_body for fault in faults):
            request = replace(request, body=read_body())
        response = self._carry_out(request, faults)
        for fault in faults:
            response = fault.on_response(request, response)
        self.requests.add(
            LoggedRequest(
                at=request.at,
                target=request.target,
                method=method,
                path=path,
                status=None if response.silent else response.status,
                body_bytes=0 if response.silent or method == "HEAD" else len(response.body),
                range=headers.get("range"),
                faults=tuple(type(fault).__name__ for fault in faults),
            )
        )
        return response

    def _carry_out(self, request: Request, faults: tuple[Fault, ...]) -> SimulatedResponse:
        if not all(fault.carried_out for fault in faults):
            return SimulatedResponse(500)
        for fault in faults:
            request = fault.on_request(request)

        def replaced(stored: ArtifactObject) -> ArtifactObject:
            for fault in faults:
                stored = fault.on_object(stored)
            return stored

        return self._answer(request, replaced)

    @abstractmethod
    def _target(self, method: str, path: str, query: str, body: bytes) -> RequestTarget:
        """Return what a request asks for; `body` is empty unless it names the target."""

    @abstractmethod
    def _answer(self, request: Request, replaced: Callable[[ArtifactObject], ArtifactObject]) -> SimulatedResponse:
        """Return the response to a request; `replaced` replaces a stored object by the one that faults make of it."""

    @abstractmethod
    def _serve_artifacts_at(self, origin: str) -> None:
        """Take the origin of the artifacts, which is known once the server listens."""
