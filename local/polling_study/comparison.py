"""Compare several strategies over the same builds."""

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
    """The result of one strategy."""

    name: str
    counts: PollingCounts
    units: Units

    @property
    def requests(self) -> float:
        """Provider requests per build."""
        return self.counts.requests / self.counts.builds

    @property
    def lag_seconds(self) -> float:
        """Mean lag from the end of a build to its detection; NaN when no end was detected."""
        return fmean(self.counts.lags) if self.counts.lags else nan

    @property
    def point(self) -> Point:
        """Requests and lag, as a point of the chart."""
        return Point(self.requests, self.lag_seconds)

    def lag_percentile(self, percent: float) -> float:
        """Return a percentile of the lags, in seconds; NaN when no end was detected."""
        ordered = sorted(self.counts.lags)
        return nan if not ordered else ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]

    def dollars_per_thousand(self, prices: PriceList) -> float:
        """Return the cost of waiting for 1,000 builds."""
        return self.units.dollars(prices) / self.counts.builds * 1000


def compare(workload: Workload, *, fixed_seconds: Sequence[float] = (60.0,)) -> list[StudyResult]:
    """Simulate the courier's strategy, fixed intervals, and the Job-Poller loop over the same builds."""
    trace = draw_trace(workload)
    return [
        simulate_courier(workload, trace),
        *(simulate_fixed(workload, trace, seconds) for seconds in fixed_seconds),
        simulate_loop(workload, trace, 60.0),
    ]


def simulate_courier(workload: Workload, trace: WorkloadTrace, *, name: str = "courier") -> StudyResult:
    """Simulate the polling schedule of ``courier.builds.poll_schedule``."""
    counts = poll_by_ticks(trace, workload, adaptive_strategy(trace, workload))
    return StudyResult(name, counts, units_by_ticks(counts))


def simulate_fixed(workload: Workload, trace: WorkloadTrace, seconds: float) -> StudyResult:
    """Simulate the courier's poller with a fixed interval."""
    counts = poll_by_ticks(trace, workload, fixed_strategy(workload, seconds))
    return StudyResult(f"fixed {seconds:g} s", counts, units_by_ticks(counts))


def simulate_loop(workload: Workload, trace: WorkloadTrace, wait_seconds: float) -> StudyResult:
    """Simulate one looping execution per build."""
    counts = poll_by_loops(trace, workload, wait_seconds)
    return StudyResult("Job-Poller loop", counts, units_by_loops(counts))
