"""Those who wait: the poller of the courier with any beat, and the Job-Poller loop of the samples."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from math import ceil
from random import Random

from courier.builds.poll_schedule import next_gap
from local.polling_study.workload import Workload, WorkloadBuild, WorkloadTrace

# Requests under way at once in one invocation of the poller.
PARALLEL_REQUESTS = 16
# Due rows that one invocation takes; beyond that the tick is split into segments.
SEGMENT_ROWS = 300
# Moments closer than this are one: sums of floating gaps do not miss the tick they mean.
_SAME_MOMENT_SECONDS = 1e-6

PollingStrategy = Callable[[WorkloadBuild, float], float | None]
"""Seconds from a look at a build of this age to the next one; None when the build is given up."""


@dataclass
class PollingCounts:
    """What a watcher did, and how late it noticed; seconds where nothing else is said.

    ``answer_seconds`` is the time that invocations spend waiting for the provider, summed over invocations.
    """

    builds: int
    requests: int = 0
    looks: int = 0
    invocations: int = 0
    ticks: int = 0
    rows_read: int = 0
    answer_seconds: float = 0.0
    refused: int = 0
    given_up: int = 0
    lags: list[float] = field(default_factory=list)


def adaptive_strategy(world: WorkloadTrace, scenario: Workload) -> PollingStrategy:
    """Give the beat of ``courier.builds.poll_schedule``, with the histories of this world."""

    def gap(build: WorkloadBuild, age: float) -> float | None:
        return next_gap(age, scenario.polling, seed=build.name, history=world.histories[build.scope])

    return gap


def fixed_strategy(scenario: Workload, gap_seconds: float) -> PollingStrategy:
    """Give a beat that looks at every build after the same time again, rounded to ticks, until the deadline."""
    deadline = scenario.polling.give_up_after_hours * 3600
    gap = gap_seconds - scenario.tick_seconds / 2
    return lambda _build, age: gap if age < deadline else None


def poll_by_ticks(world: WorkloadTrace, scenario: Workload, beat: PollingStrategy) -> PollingCounts:
    """Let one poller look at all due builds at each tick, within the budget of the source.

    As ``poll_builds`` does it: oldest due first; what the budget or the tick's time does not reach
    stays due and comes first at the next tick; the age is counted to the time of the tick.
    """
    random = Random(scenario.seed)  # noqa: S311 - a simulation, repeatable by its seed
    tally = PollingCounts(builds=len(world.builds))
    due = [(build.created + (beat(build, 0.0) or 0.0), number) for number, build in enumerate(world.builds)]
    heapify(due)
    tick = scenario.tick_seconds
    budget = max(1, int(scenario.requests_per_minute * tick / 60))
    in_time = PARALLEL_REQUESTS * max(1, int(tick / scenario.latency_seconds)) if scenario.latency_seconds else budget
    now = 0.0
    while due:
        now = max(now + tick, tick * ceil((due[0][0] - _SAME_MOMENT_SECONDS) / tick))
        rows = []
        while due and due[0][0] <= now + _SAME_MOMENT_SECONDS:
            rows.append(heappop(due))
        calls = _calls(rows, world, batched=scenario.batched)
        made, left = calls[: min(budget, in_time)], calls[min(budget, in_time) :]
        for row in (row for call in left for row in call):
            heappush(due, row)
        for number, call in enumerate(made):
            started = now + number // PARALLEL_REQUESTS * scenario.latency_seconds
            answered = started + scenario.latency_seconds
            failed = random.random() < scenario.fault_rate
            for _, index in call:
                build = world.builds[index]
                if failed:
                    heappush(due, (now + tick, index))
                elif build.ended <= started:
                    tally.lags.append(answered - build.ended)
                elif (gap := beat(build, now - build.created)) is None:
                    tally.given_up += 1
                else:
                    heappush(due, (now + gap, index))
        _count_tick(tally, scenario, rows=len(rows), calls=made)
    # Ticks strike whether anything is due or not.
    tally.ticks = ceil(now / tick)
    tally.invocations += tally.ticks
    return tally


def _calls(rows: Sequence[tuple[float, int]], world: WorkloadTrace, *, batched: bool) -> list[list[tuple[float, int]]]:
    """Put due rows, oldest first, into requests."""
    if not batched:
        return [[row] for row in rows]
    by_scope: dict[int, list[tuple[float, int]]] = {}
    for row in rows:
        by_scope.setdefault(world.builds[row[1]].scope, []).append(row)
    return list(by_scope.values())


def _count_tick(
    tally: PollingCounts, scenario: Workload, *, rows: int, calls: Sequence[Sequence[tuple[float, int]]]
) -> None:
    tally.requests += len(calls)
    tally.looks += sum(map(len, calls))
    tally.rows_read += rows
    segments = ceil(rows / SEGMENT_ROWS)
    # Segments run as invocations of their own, beside the one that the schedule starts.
    tally.invocations += segments if segments > 1 else 0
    tally.answer_seconds += ceil(len(calls) / PARALLEL_REQUESTS) * scenario.latency_seconds


def poll_by_loops(world: WorkloadTrace, scenario: Workload, wait_seconds: float) -> PollingCounts:
    """Let every build have an execution of its own that goes round Wait, Task and Choice.

    Nobody keeps the budget of the source: what is above it is refused (429), and the loop goes round again.
    """
    random = Random(scenario.seed)  # noqa: S311 - a simulation, repeatable by its seed
    tally = PollingCounts(builds=len(world.builds))
    deadline = scenario.polling.give_up_after_hours * 3600
    asked_in_minute: Counter[int] = Counter()
    looks = [(build.created + wait_seconds, number) for number, build in enumerate(world.builds)]
    heapify(looks)
    while looks:
        now, number = heappop(looks)
        build = world.builds[number]
        answered = now + scenario.latency_seconds
        minute = int(now // 60)
        asked_in_minute[minute] += 1
        refused = asked_in_minute[minute] > scenario.requests_per_minute
        tally.refused += refused
        failed = refused or random.random() < scenario.fault_rate
        if not failed and build.ended <= now:
            tally.lags.append(answered - build.ended)
        elif now - build.created >= deadline:
            tally.given_up += 1
        else:
            heappush(looks, (answered + wait_seconds, number))
        tally.requests += 1
    tally.looks = tally.invocations = tally.requests
    tally.answer_seconds = tally.requests * scenario.latency_seconds
    return tally
