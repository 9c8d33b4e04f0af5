"""Simulated builds and the history before them, the same for every strategy."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from courier.config.settings import PollingSettings
from local.polling_study.durations import Durations, LogNormal

TWENTY_MINUTES = LogNormal(median_seconds=1200.0, sigma=0.35)
"""The durations for which the polling schedule has targets."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The parameters of a simulation; times in seconds.

    ``in_flight``
        The mean number of concurrent builds; they start at random instants.
    ``scopes``
        The number of scopes of one source that the builds are spread over.
    ``history``
        The number of ended builds in the ledger, per scope.
    ``past``
        Their durations; None when they are distributed like the current ones.
    ``batched``
        One list request serves all due builds of a scope, instead of one request each.
    ``fault_rate``
        The share of requests without a response; their builds are polled again at the next tick.
    """

    durations: Durations = TWENTY_MINUTES
    builds: int = 2000
    in_flight: float = 20.0
    scopes: int = 5
    history: int = 30
    past: Durations | None = None
    batched: bool = False
    polling: PollingSettings = field(default_factory=PollingSettings)
    tick_seconds: float = 60.0
    latency_seconds: float = 0.15
    requests_per_minute: float = 60.0
    fault_rate: float = 0.0
    seed: int = 1


@dataclass(frozen=True)
class WorkloadBuild:
    """One build; times in seconds since the start of the simulation."""

    name: str
    scope: int
    created: float
    ended: float


@dataclass(frozen=True)
class WorkloadTrace:
    """The builds of a workload, and the ended builds of each scope; the same for every strategy."""

    builds: Sequence[WorkloadBuild]
    histories: Sequence[Sequence[float]]


def draw_trace(workload: Workload) -> WorkloadTrace:
    """Draw the builds and the histories of a workload from its seed."""
    random = Random(workload.seed)  # noqa: S311 - a simulation, repeatable by its seed
    draw = workload.durations.draw
    past = (workload.past or workload.durations).draw
    histories = tuple(tuple(past(random) for _ in range(workload.history)) for _ in range(workload.scopes))
    durations = [draw(random) for _ in range(workload.builds)]
    # Little's law: the number of builds in flight determines the rate of starts.
    rate = workload.in_flight / (sum(durations) / len(durations))
    builds, now = [], 0.0
    for number, duration in enumerate(durations):
        now += random.expovariate(rate)
        scope = random.randrange(workload.scopes)
        builds.append(WorkloadBuild(f"simulated/{scope}/{number}", scope, now, now + duration))
    return WorkloadTrace(tuple(builds), histories)
