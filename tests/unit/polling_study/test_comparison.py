"""The simulation reproduces known values of simple cases, and the schedule reaches its targets in it."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from courier.config.settings import PollingSettings
from local.polling_study.comparison import compare, simulate_courier, simulate_fixed, simulate_loop
from local.polling_study.durations import LogNormal
from local.polling_study.strategies import fixed_strategy, poll_by_loops, poll_by_ticks
from local.polling_study.workload import Workload, WorkloadBuild, WorkloadTrace, draw_trace

UNBOUND = Workload(builds=4000, scopes=400, in_flight=400, requests_per_minute=1_000_000)


def test_a_fixed_gap_of_a_minute_needs_the_known_requests_and_lag() -> None:
    trace = draw_trace(UNBOUND)
    for finding in (simulate_fixed(UNBOUND, trace, 60), simulate_loop(UNBOUND, trace, 60)):
        assert finding.requests == pytest.approx(21.8, abs=0.3)
        assert finding.lag_seconds == pytest.approx(30 + UNBOUND.latency_seconds, abs=1)
        assert finding.lag_percentile(99) < 61


def test_with_thirty_ended_builds_the_schedule_is_within_a_seventh_of_the_limit() -> None:
    finding = simulate_courier(UNBOUND, draw_trace(UNBOUND))
    assert finding.requests <= 9.4
    assert finding.lag_seconds <= 45
    assert finding.requests * finding.lag_seconds <= 1.15 * 366


def test_with_five_ended_builds_the_schedule_is_within_a_third_of_the_limit() -> None:
    workload = replace(UNBOUND, history=5)
    finding = simulate_courier(workload, draw_trace(workload))
    assert finding.lag_seconds <= 45
    assert finding.requests * finding.lag_seconds <= 1.35 * 366


def test_without_history_the_schedule_needs_at_most_seventeen_requests_and_a_minute() -> None:
    workload = replace(UNBOUND, history=0)
    finding = simulate_courier(workload, draw_trace(workload))
    assert finding.requests <= 17
    assert finding.lag_seconds <= 60


def test_a_wrong_history_costs_lag_but_never_more_than_the_longest_gap_and_a_tick() -> None:
    workload = replace(UNBOUND, past=LogNormal(7200, 0.2))
    finding = simulate_courier(workload, draw_trace(workload))
    assert max(finding.counts.lags) <= 900 + 60 + UNBOUND.latency_seconds


def test_the_numbers_depend_only_on_the_seed() -> None:
    workload = Workload(builds=200)
    one, again, other = (compare(replace(workload, seed=seed)) for seed in (1, 1, 2))
    assert [finding.counts for finding in one] == [finding.counts for finding in again]
    assert one[0].counts != other[0].counts


def test_polls_happen_on_ticks_only() -> None:
    build = WorkloadBuild("insights/a/1", 0, created=30.0, ended=1000.0)
    workload = Workload(builds=1, latency_seconds=0)
    counts = poll_by_ticks(WorkloadTrace((build,), ((),)), workload, fixed_strategy(workload, 300))
    # Due 270 s after each poll: the ticks at 300, 600, 900 and 1200 s come next.
    assert counts.requests == 4
    assert counts.lags == [200.0]
    assert counts.ticks == 20


def test_the_rate_limit_holds_in_every_minute_and_every_build_is_polled() -> None:
    workload = Workload(builds=600, in_flight=300, requests_per_minute=20)
    polls: Counter[float] = Counter()
    trace = draw_trace(workload)

    def counting(build: WorkloadBuild, age: float) -> float:
        polls[round(build.created + age)] += age > 0
        return 30.0

    counts = poll_by_ticks(trace, workload, counting)
    assert max(polls.values()) <= 20
    assert len(counts.lags) == workload.builds
    assert counts.requests <= 20 * counts.ticks


def test_the_oldest_due_build_comes_first_when_the_rate_limit_is_low() -> None:
    builds = tuple(WorkloadBuild(f"insights/a/{n}", 0, created=float(n), ended=1.0) for n in range(10))
    workload = Workload(builds=10, requests_per_minute=2, latency_seconds=0)
    counts = poll_by_ticks(WorkloadTrace(builds, ((),)), workload, fixed_strategy(workload, 60))
    assert all(later >= lag for lag, later in pairwise(counts.lags))
    assert counts.ticks == 5


def test_a_list_request_serves_all_due_builds_of_a_scope() -> None:
    workload = Workload(builds=1000, in_flight=100, scopes=2, requests_per_minute=1_000_000, latency_seconds=0)
    trace = draw_trace(workload)
    single = simulate_courier(workload, trace).counts
    batched = simulate_courier(replace(workload, batched=True), trace).counts
    assert batched.polls == single.polls
    assert batched.requests < single.requests / 3
    assert sorted(batched.lags) == pytest.approx(sorted(single.lags))


def test_a_failed_poll_costs_the_next_tick() -> None:
    workload = replace(UNBOUND, fault_rate=0.3)
    trace = draw_trace(workload)
    faulty, sound = simulate_fixed(workload, trace, 60), simulate_fixed(UNBOUND, trace, 60)
    assert faulty.lag_seconds == pytest.approx(sound.lag_seconds + 60 * 0.3 / 0.7, abs=2)


def test_every_strategy_gives_up_at_the_deadline() -> None:
    polling = PollingSettings(give_up_after_hours=0.25)
    workload = Workload(builds=300, polling=polling)
    trace = draw_trace(workload)
    too_long = sum(build.ended - build.created > 900 for build in trace.builds)
    for finding in compare(workload):
        assert finding.counts.given_up + len(finding.counts.lags) == 300
        assert finding.counts.given_up == pytest.approx(too_long, abs=0.12 * too_long)


def test_loops_above_the_rate_limit_of_the_provider_are_throttled() -> None:
    workload = Workload(builds=300, in_flight=150, requests_per_minute=30)
    counts = poll_by_loops(draw_trace(workload), workload, 60)
    assert counts.throttled > counts.requests / 2
    assert counts.requests - counts.throttled <= 30 * (counts.requests // 30 + 1)


def test_a_latency_of_nothing_and_a_tick_below_a_minute_are_possible() -> None:
    polling = PollingSettings(first_seconds=0.1, longest_seconds=1.5)
    workload = Workload(
        durations=LogNormal(2, 0.35),
        builds=1000,
        polling=polling,
        tick_seconds=0.1,
        latency_seconds=0,
        in_flight=0.5,
        requests_per_minute=10_000,
    )
    trace = draw_trace(workload)
    adaptive, fixed = simulate_courier(workload, trace), simulate_fixed(workload, trace, 0.1)
    assert adaptive.lag_seconds == pytest.approx(0.073, abs=0.005)
    assert adaptive.requests == pytest.approx(9.1, abs=0.6)
    assert fixed.lag_seconds == pytest.approx(0.05, abs=0.003)
    assert fixed.requests == pytest.approx(21.8, abs=0.5)
