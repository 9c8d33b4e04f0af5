"""The simulated providers as one object: a server, the true state of every build, and a log of every request."""

from __future__ import annotations

from collections.abc import Callable

from typing_extensions import override

from courier.clock import utc_now
from local.simulator.artifact_store import ArtifactObject
from local.simulator.dreadnode_airt import SimulatedDreadnodeAirt
from local.simulator.error_bodies import error_response
from local.simulator.fault_plan import FaultPlan
from local.simulator.ground_truth import BuildState
from local.simulator.messages import Clock, ProviderName, Request, RequestKind, RequestTarget, SimulatedResponse
from local.simulator.scenario import Scenario
from local.simulator.simulated_server import SimulatedServer
from local.simulator.treasure_insights import SimulatedTreasureInsights


class SimulatedProviders(SimulatedServer):
    """Both APIs and the artifact store, served while the context is open.

    Parameters
    ----------
    scenario
        The accounts and builds; offsets count from the creation of this object.
    seed
        Determines ids, reports and signatures.
    clock, faults, tls, wait
        See `SimulatedServer`.
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
        super().__init__(clock=clock, faults=faults, tls=tls, wait=wait)
        started_at = clock()
        self._treasure = SimulatedTreasureInsights(scenario.treasure, seed=str(seed), started_at=started_at)
        self._airt = SimulatedDreadnodeAirt(scenario.airt, seed=str(seed), started_at=started_at)

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

    @override
    def _serve_artifacts_at(self, origin: str) -> None:
        self._airt.store.origin = origin

    @override
    def _answer(self, request: Request, replaced: Callable[[ArtifactObject], ArtifactObject]) -> SimulatedResponse:
        match request.target.provider:
            case ProviderName.TREASURE_INSIGHTS:
                return self._treasure.respond(request)
            case ProviderName.DREADNODE_AIRT:
                return self._airt.respond(request)
            case ProviderName.ARTIFACT_STORE:
                return self._airt.store.respond(request, replaced)
            case _:
                return error_response(ProviderName.UNKNOWN, 404, "")

    @override
    def _target(self, method: str, path: str, query: str, body: bytes) -> RequestTarget:
        return (
            self._airt.artifact_target(path)
            or self._treasure.target(method, path)
            or self._airt.target(method, path)
            or RequestTarget(ProviderName.UNKNOWN, RequestKind.OTHER)
        )
