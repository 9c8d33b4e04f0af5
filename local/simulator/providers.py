"""The simulated providers as one object: a server, the true state of every build, and a log of every request."""

from __future__ import annotations

import ssl
import tempfile
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from courier.clock import utc_now
from local.simulator.artifact_store import ArtifactObject
from local.simulator.certificates import make_tls_files
from local.simulator.dreadnode_airt import SimulatedDreadnodeAirt
from local.simulator.error_bodies import error_response
from local.simulator.fault_plan import FaultPlan
from local.simulator.faults import Fault
from local.simulator.ground_truth import BuildState
from local.simulator.http_server import LoopbackServer, ServerOptions
from local.simulator.messages import (
    Clock,
    LoggedRequest,
    ProviderName,
    Request,
    RequestKind,
    RequestLog,
    RequestTarget,
    SimulatedResponse,
)
from local.simulator.scenario import Scenario
from local.simulator.treasure_insights import SimulatedTreasureInsights

# Clients reach the APIs by address and the artifacts by name, so that the two are different hosts.
API_HOST = "127.0.0.1"
ARTIFACT_HOST = "localhost"


class SimulatedProviders:
    """Both APIs and the artifact store, served while the context is open.

    Parameters
    ----------
    scenario
        The accounts and builds; offsets count from the creation of this object.
    seed
        Determines ids, reports and signatures.
    clock
        Returns the current instant, which determines every status.
    faults
        The injected faults; none by default.
    tls
        Whether to serve HTTPS, with a certificate of a private authority, `ca_file`.
    wait
        Waits for delays; by default on the real clock, until the context closes.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        seed: int = 0,
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
        started_at = clock()
        self._treasure = SimulatedTreasureInsights(scenario.treasure, seed=str(seed), started_at=started_at)
        self._airt = SimulatedDreadnodeAirt(scenario.airt, seed=str(seed), started_at=started_at)
        self._server: LoopbackServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        context = None
        if self._files is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._files.certificate, self._files.key)
        self._server = LoopbackServer(ServerOptions(self._respond, self._wait, context))
        self._airt.store.origin = self._origin(ARTIFACT_HOST)
        self._thread = threading.Thread(
            target=partial(self._server.serve_forever, poll_interval=0.02), name="simulated-providers"
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
        """Endpoint of both APIs, without a trailing slash."""
        return self._origin(API_HOST)

    @property
    def artifact_host(self) -> str:
        """Host name of the presigned URLs, without the port."""
        return ARTIFACT_HOST

    @property
    def ca_file(self) -> Path | None:
        """PEM file of the certificate authority, with TLS."""
        return self._files.authority if self._files else None

    @property
    def builds(self) -> tuple[BuildState, ...]:
        """The true state of every build and job that exists now."""
        now = self._clock()
        return (*self._treasure.build_states(now), *self._airt.build_states(now))

    def build(self, build_id: str) -> BuildState:
        """Return the true state of one build or job.

        Raises
        ------
        KeyError
            It does not exist.
        """
        for build in self.builds:
            if build.build_id == build_id:
                return build
        raise KeyError(build_id)

    def artifact_bytes(self, job_id: str) -> bytes:
        """Return the report of a job, byte for byte.

        Raises
        ------
        KeyError
            There is no such job.
        """
        return self._airt.report(job_id)

    def rotate_key(self, provider: ProviderName, key: str) -> None:
        """Replace the accepted API key by `key`."""
        match provider:
            case ProviderName.TREASURE_INSIGHTS:
                self._treasure.key = key
            case ProviderName.DREADNODE_AIRT:
                self._airt.key = key
            case _:
                raise ValueError(f"{provider} has no key")

    def _origin(self, host: str) -> str:
        if self._server is None:
            raise RuntimeError("the simulated providers are not running; enter the context first")
        return f"{'https' if self._files else 'http'}://{host}:{self._server.server_port}"

    def _respond(
        self, method: str, target: str, headers: Mapping[str, str], read_body: Callable[[], bytes]
    ) -> SimulatedResponse:
        path, _, query = target.partition("?")
        request = Request(self._clock(), method, path, query, headers, self._target(method, path))
        faults = self.faults.apply(request)
        if all(fault.reads_body for fault in faults):
            body = read_body()
            request = Request(request.at, method, path, query, headers, request.target, body)
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

        match request.target.provider:
            case ProviderName.TREASURE_INSIGHTS:
                return self._treasure.respond(request)
            case ProviderName.DREADNODE_AIRT:
                return self._airt.respond(request)
            case ProviderName.ARTIFACT_STORE:
                return self._airt.store.respond(request, replaced)
            case _:
                return error_response(ProviderName.UNKNOWN, 404, "")

    def _target(self, method: str, path: str) -> RequestTarget:
        return (
            self._airt.artifact_target(path)
            or self._treasure.target(method, path)
            or self._airt.target(method, path)
            or RequestTarget(ProviderName.UNKNOWN, RequestKind.OTHER)
        )
