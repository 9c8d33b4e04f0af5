"""What holds for every age, setting, seed and history."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from courier.builds.poll_schedule import gap_without_history, next_gap, next_poll_at
from courier.config.settings import PollingSettings
from courier.models import BuildStatus

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

thorough = settings(deadline=None, max_examples=300)
ages = st.one_of(st.floats(0, 90_000), st.floats(-1e6, 1e9))
durations = st.one_of(
    st.floats(0, 1e6), st.sampled_from([0.0, 1200.0, 1e6, 1e12, -5.0, math.inf, math.nan]), st.floats(1100, 1300)
)
histories = st.one_of(
    st.lists(durations, max_size=120), st.builds(lambda value, count: [value] * count, durations, st.integers(5, 40))
)
seeds = st.text(max_size=30)


@st.composite
def pollings(draw: st.DrawFn) -> PollingSettings:
    first = draw(st.one_of(st.sampled_from([0.1, 1.0, 60.0]), st.floats(0.01, 3600)))
    longest = draw(st.one_of(st.just(first), st.floats(1, 200).map(lambda times: min(86_400.0, first * times))))
    hours = draw(st.one_of(st.just(24.0), st.floats(0.0001, 8760)))
    return PollingSettings(first_seconds=first, longest_seconds=longest, give_up_after_hours=hours)


@thorough
@given(ages, pollings(), seeds, histories, st.sampled_from([None, *BuildStatus]))
def test_every_gap_keeps_the_bounds(
    age: float, polling: PollingSettings, seed: str, history: list[float], status: BuildStatus | None
) -> None:
    gap = next_gap(age, polling, seed=seed, history=history, status=status)
    left = polling.give_up_after_hours * 3600 - age
    if left <= 0:
        assert gap is None
        return
    assert gap is not None
    assert 0 < gap <= polling.longest_seconds
    assert gap <= left
    assert gap >= min(polling.first_seconds, left)


@thorough
@given(ages, pollings(), seeds, histories)
def test_the_gap_is_deterministic(age: float, polling: PollingSettings, seed: str, history: list[float]) -> None:
    assert next_gap(age, polling, seed=seed, history=history) == next_gap(
        age, polling, seed=seed, history=list(history)
    )


@thorough
@given(st.floats(1, 50), st.floats(1, 100), st.floats(0.5, 20), seeds, histories)
def test_a_build_is_never_forgotten_before_its_deadline(
    first: float, times: float, hours: float, seed: str, history: list[float]
) -> None:
    polling = PollingSettings(first_seconds=first, longest_seconds=first * times, give_up_after_hours=hours)
    deadline, age, polls = hours * 3600, 0.0, [0.0]
    while (gap := next_gap(age, polling, seed=seed, history=history)) is not None:
        age += gap
        polls.append(age)
        assert len(polls) < deadline / first + 3
    assert polls[-1] == pytest.approx(deadline)
    # The last poll is scheduled at least a tick before the deadline, and not long before it.
    last = polls[-2] if len(polls) > 1 else 0.0
    assert last >= deadline - 2 * first - 1e-6
    assert last <= deadline - first + 1e-6 or times < 2


@thorough
@given(ages, pollings(), seeds, histories)
def test_a_queued_build_is_not_polled_sooner_than_a_running_one(
    age: float, polling: PollingSettings, seed: str, history: list[float]
) -> None:
    queued = next_gap(age, polling, seed=seed, history=history, status=BuildStatus.QUEUED)
    running = next_gap(age, polling, seed=seed, history=history, status=BuildStatus.RUNNING)
    assert queued is running is None or (queued is not None and running is not None and queued >= running)


@thorough
@given(st.floats(0, 1e7), st.floats(0, 1e7), st.floats(0.01, 3600))
def test_without_a_history_the_gap_never_shrinks_with_the_age(one: float, other: float, first: float) -> None:
    younger, older = sorted((one, other))
    assert gap_without_history(younger, first) <= gap_without_history(older, first)


@thorough
@given(st.lists(st.floats(300, 1200), min_size=5, max_size=40), st.floats(1, 10), seeds)
def test_builds_that_take_longer_are_polled_later(history: list[float], times: float, seed: str) -> None:
    polling = PollingSettings(longest_seconds=7200)
    longer = [seconds * times for seconds in history]
    one = next_gap(0, polling, seed=seed, history=history)
    other = next_gap(0, polling, seed=seed, history=longer)
    assert one is not None
    assert other is not None
    # The reduction of a table to straight lines moves polls by up to a few percent.
    assert other >= one * 0.97


@thorough
@given(st.floats(-0.5, 2), st.floats(-1, 30), st.floats(-1, 30), seeds)
def test_the_next_poll_is_never_past_the_deadline_nor_in_the_past(
    late_hours: float, created_hours: float, deadline_hours: float, seed: str
) -> None:
    created = NOW - timedelta(hours=created_hours)
    now = NOW + timedelta(hours=late_hours)
    deadline = NOW + timedelta(hours=deadline_hours)
    moment = next_poll_at(now, created, PollingSettings(), seed=seed, deadline_at=deadline)
    if now >= deadline:
        assert moment is None
    else:
        assert moment is not None
        assert now < moment <= deadline + timedelta(microseconds=1)


@pytest.mark.parametrize("history", [[], [1200.0] * 9])
def test_a_build_from_the_future_is_as_old_as_a_new_one(history: list[float]) -> None:
    new = next_poll_at(NOW, NOW, PollingSettings(), seed="a", history=history)
    assert next_poll_at(NOW, NOW + timedelta(hours=3), PollingSettings(), seed="a", history=history) == new


def test_the_deadline_follows_from_the_creation_without_one_of_its_own() -> None:
    polling = PollingSettings(give_up_after_hours=2)
    assert next_poll_at(NOW, NOW - timedelta(hours=2), polling, seed="a") is None
    assert next_poll_at(NOW, NOW - timedelta(hours=1.99), polling, seed="a") == NOW + timedelta(seconds=36)


def test_even_a_gap_below_the_resolution_of_time_moves_on() -> None:
    polling = PollingSettings(first_seconds=1e-9, longest_seconds=1e-9)
    moment = next_poll_at(NOW, NOW, polling, seed="a")
    assert moment is not None
    assert moment > NOW


@thorough
@given(st.floats(0, 59.99), seeds)
def test_a_young_build_is_polled_at_the_nearest_tick(late: float, seed: str) -> None:
    """Whenever it is registered between two ticks, it does not wait for much more than a tick and a half."""
    registered = NOW + timedelta(seconds=late)
    due = next_poll_at(registered, registered, PollingSettings(), seed=seed, on_tick=False)
    assert due is not None
    tick = NOW + math.ceil((due - NOW) / timedelta(minutes=1)) * timedelta(minutes=1)
    assert timedelta(seconds=30) <= tick - registered <= timedelta(seconds=96)


@thorough
@given(ages, pollings(), seeds, histories)
def test_between_two_ticks_only_a_shortest_gap_is_shorter(
    age: float, polling: PollingSettings, seed: str, history: list[float]
) -> None:
    usual = next_gap(age, polling, seed=seed, history=history)
    between = next_gap(age, polling, seed=seed, history=history, on_tick=False)
    if usual is None or between is None:
        assert usual is between
    else:
        assert between == usual or polling.first_seconds / 2 <= between < usual <= polling.first_seconds
