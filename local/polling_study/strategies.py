"""Polling strategies: the courier's poller with any polling interval, and the Job-Poller loop of the AWS samples."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from math import ceil
from random import Random

from courier.builds.poll_schedule import next_gap
from local.polling_study.workload import Workload, WorkloadBuild, WorkloadTrace

# Concurrent requests in one invocation of the poller.
PARALLEL_REQUESTS = 16
# The number of due rows above which a tick is split into segments.
SEGMENT_ROWS = 300
# Instants closer than this are equal, so that sums of floating-point gaps do not miss their tick.
_SAME_MOMENT_SECONDS = 1e-6

PollingStrategy = Callable[[WorkloadBuild, float], float | None]
"""Returns the seconds from a poll of a build of this age to the next one; None when the build is given up."""


@dataclass
class PollingCounts:
    """Totals of a simulated strategy, and its lags in seconds.

    ``provider_seconds`` is the time that all invocations spend waiting for the provider; ``detected_at`` the instants
    at which ends were detected; ``poller_runs`` the starts of the poller's invocations with the seconds that each waits
    for the provider.
    """

    builds: int
    requests: int = 0
    polls: int = 0
    invocations: int = 0
    ticks: int = 0
    rows_read: int = 0
    provider_seconds: float = 0.0
    throttled: int = 0
    given_up: int = 0
    lags: list[float] = field(default_factory=list)
    detected_at: list[float] = field(default_factory=list)
    poller_runs: list[tuple[float, float]] = field(default_factory=list)


def adaptive_strategy(trace: WorkloadTrace, workload: Workload) -> PollingStrategy:
    """Return the strategy of ``courier.builds.poll_schedule``, with the histories of this trace."""

    def gap(build: WorkloadBuild, age: float) -> float | None:
        return next_gap(age, workload.polling, seed=build.name, history=trace.histories[build.scope])

    return gap


def fixed_strategy(workload: Workload, gap_seconds: float) -> PollingStrategy:
    """Return a strategy that polls every build at a fixed interval, rounded to ticks, until the deadline."""
    deadline = workload.polling.give_up_after_hours * 3600
    gap = gap_seconds - workload.tick_seconds / 2
    return lambda _build, age: gap if age < deadline else None


def poll_by_ticks(trace: WorkloadTrace, workload: Workload, strategy: PollingStrategy) -> PollingCounts:
    """Simulate one poller that polls all due builds at each tick, within the rate limit of the source.

    As in ``poll_builds``, the oldest due build comes first; builds beyond the rate limit or the tick's time stay due
    and come first at the next tick; the age is counted to the time of the tick.
    """
    random = Random(workload.seed)  # noqa: S311 - a simulation, repeatable by its seed
    counts = PollingCounts(builds=len(trace.builds))
    due = [(build.created + (strategy(build, 0.0) or 0.0), number) for number, build in enumerate(trace.builds)]
    heapify(due)
    tick = workload.tick_seconds
    limit = max(1, int(workload.requests_per_minute * tick / 60))
    in_time = PARALLEL_REQUESTS * max(1, int(tick / workload.latency_seconds)) if workload.latency_seconds else limit
    now = 0.0
    while due:
        now = max(now + tick, tick * ceil((due[0][0] - _SAME_MOMENT_SECONDS) / tick))
        rows = []
        while due and due[0][0] <= now + _SAME_MOMENT_SECONDS:
            rows.append(heappop(due))
        calls = _calls(rows, trace, batched=workload.batched)
        made, left = calls[: min(limit, in_time)], calls[min(limit, in_time) :]
        for row in (row for call in left for row in call):
            heappush(due, row)
        for number, call in enumerate(made):
            started = now + number // PARALLEL_REQUESTS * workload.latency_seconds
            responded = started + workload.latency_seconds
            failed = random.random() < workload.fault_rate
            for _, index in call:
                build = trace.builds[index]
                if failed:
                    heappush(due, (now + tick, index))
                elif build.ended <= started:
                    counts.lags.append(responded - build.ended)
                    counts.detected_at.append(responded)
                elif (gap := strategy(build, now - build.created)) is None:
                    counts.given_up += 1
                else:
                    heappush(due, (now + gap, index))
        _count_tick(counts, workload, now, rows=len(rows), calls=made)
    # Ticks fire whether anything is due or not.
    counts.ticks = ceil(now / tick)
    counts.invocations += counts.ticks
    return counts


def _calls(rows: Sequence[tuple[float, int]], trace: WorkloadTrace, *, batched: bool) -> list[list[tuple[float, int]]]:
    """Group due rows, oldest first, into requests."""
    if not batched:
        return [[row] for row in rows]
    by_scope: dict[int, list[tuple[float, int]]] = {}
    for row in rows:
        by_scope.setdefault(trace.builds[row[1]].scope, []).append(row)
    return list(by_scope.values())


def _count_tick(
    counts: PollingCounts, workload: Workload, now: float, *, rows: int, calls: Sequence[Sequence[tuple[float, int]]]
) -> None:
    counts.requests += len(calls)
    counts.polls += sum(map(len, calls))
    counts.rows_read += rows
    segments = ceil(rows / SEGMENT_ROWS)
    # Segments are separate invocations, besides the one that the schedule starts.
    counts.invocations += segments if segments > 1 else 0
    counts.provider_seconds += ceil(len(calls) / PARALLEL_REQUESTS) * workload.latency_seconds
    parts = max(1, segments)
    seconds = ceil(len(calls) / parts / PARALLEL_REQUESTS) * workload.latency_seconds
    counts.poller_runs += [(now, seconds)] * parts


def poll_by_loops(trace: WorkloadTrace, workload: Workload, wait_seconds: float) -> PollingCounts:
    """Simulate one execution per build that loops through Wait, Task and Choice.

    Nothing enforces the rate limit of the source: requests above it get a 429, and the loop continues.
    """
    random = Random(workload.seed)  # noqa: S311 - a simulation, repeatable by its seed
    counts = PollingCounts(builds=len(trace.builds))
    deadline = workload.polling.give_up_after_hours * 3600
    sent_in_minute: Counter[int] = Counter()
    polls = [(build.created + wait_seconds, number) for number, build in enumerate(trace.builds)]
    heapify(polls)
    while polls:
        now, number = heappop(polls)
        build = trace.builds[number]
        responded = now + workload.latency_seconds
        minute = int(now // 60)
        sent_in_minute[minute] += 1
        throttled = sent_in_minute[minute] > workload.requests_per_minute
        counts.throttled += throttled
        failed = throttled or random.random() < workload.fault_rate
        if not failed and build.ended <= now:
            counts.lags.append(responded - build.ended)
        elif now - build.created >= deadline:
            counts.given_up += 1
        else:
            heappush(polls, (responded + wait_seconds, number))
        counts.requests += 1
    counts.polls = counts.invocations = counts.requests
    counts.provider_seconds = counts.requests * workload.latency_seconds
    return counts
