"""Several watchers side by side over one world."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, nan
from statistics import fmean

from local.polling_study.lower_bound import Point
from local.polling_study.prices import PriceList, Units, units_by_loops, units_by_ticks
from local.polling_study.strategies import (
    PollingCounts,
    adaptive_strategy,
    fixed_strategy,
    poll_by_loops,
    poll_by_ticks,
)
from local.polling_study.workload import Workload, WorkloadTrace, draw_trace


@dataclass(frozen=True)
class StudyResult:
    """One watcher's row of the table."""

    name: str
    counts: PollingCounts
    units: Units

    @property
    def requests(self) -> float:
        """Provider requests per build."""
        return self.counts.requests / self.counts.builds

    @property
    def lag_seconds(self) -> float:
        """Mean lag from the end of a build to its notice; not a number when none was noticed."""
        return fmean(self.counts.lags) if self.counts.lags else nan

    @property
    def point(self) -> Point:
        """Where the watcher lies between requests and lag."""
        return Point(self.requests, self.lag_seconds)

    def lag_percentile(self, percent: float) -> float:
        """Give the lag, in seconds, that so many percent of the builds do not exceed; not a number as above."""
        ordered = sorted(self.counts.lags)
        return nan if not ordered else ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]

    def dollars_per_thousand(self, prices: PriceList) -> float:
        """Give the cost of waiting for 1,000 builds."""
        return self.units.dollars(prices) / self.counts.builds * 1000


def compare(workload: Workload, *, fixed_seconds: Sequence[float] = (60.0,)) -> list[StudyResult]:
    """Watch one world with the courier's beat, with fixed beats, and with the Job-Poller loop."""
    trace = draw_trace(workload)
    return [
        simulate_courier(workload, trace),
        *(simulate_fixed(workload, trace, seconds) for seconds in fixed_seconds),
        simulate_loop(workload, trace, 60.0),
    ]


def simulate_courier(workload: Workload, trace: WorkloadTrace, *, name: str = "courier") -> StudyResult:
    """Watch a world with the beat of ``courier.builds.poll_schedule``."""
    counts = poll_by_ticks(trace, workload, adaptive_strategy(trace, workload))
    return StudyResult(name, counts, units_by_ticks(counts))


def simulate_fixed(workload: Workload, trace: WorkloadTrace, seconds: float) -> StudyResult:
    """Watch a world with the courier's poller and a fixed beat."""
    counts = poll_by_ticks(trace, workload, fixed_strategy(workload, seconds))
    return StudyResult(f"fixed {seconds:g} s", counts, units_by_ticks(counts))


def simulate_loop(workload: Workload, trace: WorkloadTrace, wait_seconds: float) -> StudyResult:
    """Watch a world with one looping execution per build."""
    counts = poll_by_loops(trace, workload, wait_seconds)
    return StudyResult("Job-Poller loop", counts, units_by_loops(counts))
