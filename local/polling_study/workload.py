"""Builds that start and end, and what is known of those before them; the same for everybody who waits."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from courier.config.settings import PollingSettings
from local.polling_study.durations import Durations, LogNormal

TWENTY_MINUTES = LogNormal(median_seconds=1200.0, sigma=0.35)
"""The builds by which the beat is judged."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What is simulated; times in seconds.

    ``in_flight``
        Builds under way at a time, in the mean; they start at random moments.
    ``scopes``
        Over so many scopes of one source the builds are spread.
    ``history``
        Ended builds that the ledger knows of each scope.
    ``past``
        How long those took; None when they took as long as today's.
    ``batched``
        One list request serves all due builds of a scope, instead of one request each.
    ``fault_rate``
        Share of requests that bring no answer; the builds concerned are looked at again at the next tick.
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
    """One build; times in seconds since the simulation began."""

    name: str
    scope: int
    created: float
    ended: float


@dataclass(frozen=True)
class WorkloadTrace:
    """All that happens, whoever watches."""

    builds: Sequence[WorkloadBuild]
    histories: Sequence[Sequence[float]]


def draw_trace(workload: Workload) -> WorkloadTrace:
    """Draw the builds and the histories of a scenario from its seed."""
    random = Random(workload.seed)  # noqa: S311 - a simulation, repeatable by its seed
    draw = workload.durations.draw
    past = (workload.past or workload.durations).draw
    histories = tuple(tuple(past(random) for _ in range(workload.history)) for _ in range(workload.scopes))
    durations = [draw(random) for _ in range(workload.builds)]
    # Little's law: so many builds in flight mean one start in every so many seconds.
    rate = workload.in_flight / (sum(durations) / len(durations))
    builds, now = [], 0.0
    for number, duration in enumerate(durations):
        now += random.expovariate(rate)
        scope = random.randrange(workload.scopes)
        builds.append(WorkloadBuild(f"simulated/{scope}/{number}", scope, now, now + duration))
    return WorkloadTrace(tuple(builds), histories)
