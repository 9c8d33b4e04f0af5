"""When a build is polled: without history, and with the durations of ended builds; and from when its age counts."""

import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import ceil, exp, log
from statistics import NormalDist

import pytest

from courier.builds.poll_schedule import FEWEST_ENDED_BUILDS, MOST_ENDED_BUILDS, age_starts_at, next_gap, next_poll_at
from courier.config.settings import PollingSettings

SEEN = datetime(2026, 4, 15, 12, tzinfo=UTC)
MINUTE = 60.0
POLLING = PollingSettings()
LOGARITHMS = NormalDist(log(1200), 0.35)
TWENTY_MINUTES = [exp(LOGARITHMS.inv_cdf((number + 0.5) / 30)) for number in range(30)]


def polls_on_ticks(
    until: float, history: Sequence[float] = (), *, seed: str = "insights/a/1", polling: PollingSettings = POLLING
) -> list[float]:
    """Return the ages at which a build that was created on a tick is polled, with a tick every ``first_seconds``."""
    tick, age, ages = polling.first_seconds, 0.0, []
    while (gap := next_gap(age, polling, seed=seed, history=history)) is not None:
        age = tick * ceil((age + gap) / tick - 1e-9)
        if age > until:
            break
        ages.append(age)
    return ages


def count(ages: Sequence[float], start: float, end: float) -> int:
    return sum(start < age <= end for age in ages)


def test_a_young_build_without_history_is_polled_every_minute() -> None:
    assert polls_on_ticks(10 * MINUTE) == [n * MINUTE for n in range(1, 11)]


def test_an_old_build_without_history_is_polled_less_and_less_often() -> None:
    ages = polls_on_ticks(24 * 3600)
    gaps = [later - age for age, later in pairwise(ages)]
    assert 0.06 < gaps[count(ages, 0, 40 * MINUTE)] / (40 * MINUTE) < 0.12
    assert count(ages, 0, 3600) > 2 * count(ages, 3600, 7200)
    assert max(gaps) <= POLLING.longest_seconds + MINUTE
    assert count(ages, 10 * 3600, 11 * 3600) == 4


def test_polls_concentrate_where_the_builds_of_a_scope_end() -> None:
    ages = polls_on_ticks(40 * MINUTE, TWENTY_MINUTES)
    assert count(ages, 0, 8 * MINUTE) == 0
    assert count(ages, 0, 12 * MINUTE) <= 2
    assert count(ages, 15 * MINUTE, 25 * MINUTE) >= 7


def test_a_build_that_outlives_the_history_gets_growing_gaps() -> None:
    ages = polls_on_ticks(10 * 3600, TWENTY_MINUTES)
    gaps = [later - age for age, later in pairwise(ages)]
    assert gaps[-1] > 5 * MINUTE
    assert max(gaps) <= POLLING.longest_seconds + MINUTE
    assert 0.3 < count(ages, 3 * 3600, 9 * 3600) / count(polls_on_ticks(10 * 3600), 3 * 3600, 9 * 3600) < 1.5


def test_the_first_poll_is_not_later_than_the_longest_gap() -> None:
    first = next_gap(0, POLLING, seed="a", history=[10 * 3600.0] * 20)
    assert first == POLLING.longest_seconds


def test_too_short_a_history_changes_nothing() -> None:
    short = TWENTY_MINUTES[: FEWEST_ENDED_BUILDS - 1]
    assert polls_on_ticks(3600, short) == polls_on_ticks(3600)
    assert polls_on_ticks(3600, TWENTY_MINUTES[:FEWEST_ENDED_BUILDS]) != polls_on_ticks(3600)


def test_only_the_last_builds_count() -> None:
    long_ago = [30.0] * 500
    recent = (TWENTY_MINUTES * 4)[:MOST_ENDED_BUILDS]
    assert polls_on_ticks(3600, long_ago + recent) == polls_on_ticks(3600, recent)


@pytest.mark.parametrize("outlier", [0.0, 1e6, float("inf"), float("nan")])
def test_one_outlier_hardly_moves_the_polls(outlier: float) -> None:
    ages = polls_on_ticks(40 * MINUTE, [*TWENTY_MINUTES, outlier])
    assert abs(len(ages) - len(polls_on_ticks(40 * MINUTE, TWENTY_MINUTES))) <= 3
    assert count(ages, 15 * MINUTE, 25 * MINUTE) >= 7


def test_outliers_in_the_history_add_polls_before_the_usual_time() -> None:
    careful = polls_on_ticks(3600, [*TWENTY_MINUTES, 60.0, 200.0, 9000.0])
    usual = polls_on_ticks(3600, TWENTY_MINUTES)
    assert count(careful, 0, 10 * MINUTE) > count(usual, 0, 10 * MINUTE)
    assert count(careful, 15 * MINUTE, 25 * MINUTE) >= 7


def test_durations_beyond_the_deadline_count_as_the_deadline() -> None:
    beyond = [1e9, 1e12, float("inf"), float("inf"), 86_400.0]
    assert polls_on_ticks(24 * 3600, beyond) == polls_on_ticks(24 * 3600, [86_400.0] * 5)


def test_equal_durations_attract_polls_and_leave_some_for_other_ages() -> None:
    ages = polls_on_ticks(2 * 3600, [1200.0] * 20)
    assert count(ages, 18 * MINUTE, 23 * MINUTE) >= 4
    assert count(ages, 0, 16 * MINUTE) <= 3
    assert count(ages, 30 * MINUTE, 60 * MINUTE) >= 10


def test_builds_that_fail_at_once_get_an_early_poll() -> None:
    ages = polls_on_ticks(40 * MINUTE, [*TWENTY_MINUTES, 20.0, 25.0, 30.0, 22.0])
    assert ages[0] <= 2 * MINUTE
    assert count(ages, 2 * MINUTE, 8 * MINUTE) <= 1
    assert count(ages, 15 * MINUTE, 25 * MINUTE) >= 7


def test_the_time_between_two_kinds_of_builds_has_few_polls() -> None:
    two_kinds = [170.0, 180.0, 190.0, 200.0, 175.0, 185.0, 2300.0, 2400.0, 2500.0, 2350.0]
    ages = polls_on_ticks(50 * MINUTE, two_kinds)
    assert count(ages, 2 * MINUTE, 6 * MINUTE) >= 2
    assert count(ages, 8 * MINUTE, 28 * MINUTE) <= 4
    assert count(ages, 35 * MINUTE, 45 * MINUTE) >= 5


def test_a_deadline_is_preceded_by_a_poll() -> None:
    polling = PollingSettings(give_up_after_hours=0.5, longest_seconds=1700)
    ages = polls_on_ticks(7200, [36_000.0] * 10, polling=polling)
    assert ages[-2:] == [29 * MINUTE, 30 * MINUTE]


def test_builds_that_start_together_drift_apart() -> None:
    plans = {tuple(polls_on_ticks(3 * 3600, seed=f"insights/a/{number}")) for number in range(10)}
    assert len(plans) > 5


def test_everything_is_in_proportion_to_first_seconds() -> None:
    fast = PollingSettings(first_seconds=0.1, longest_seconds=1.5, give_up_after_hours=24 / 600)
    slow = polls_on_ticks(3600, TWENTY_MINUTES)
    scaled = [600 * age for age in polls_on_ticks(6, [seconds / 600 for seconds in TWENTY_MINUTES], polling=fast)]
    assert len(scaled) == pytest.approx(len(slow), abs=3)
    assert count(scaled, 15 * MINUTE, 25 * MINUTE) == pytest.approx(count(slow, 15 * MINUTE, 25 * MINUTE), abs=2)


def test_a_gap_of_one_tick_from_a_scheduled_time_meets_the_next_tick() -> None:
    tick = datetime(2026, 3, 1, 12, 1, tzinfo=UTC)
    assert next_poll_at(tick, tick - timedelta(minutes=3), POLLING, seed="a") == tick + timedelta(minutes=1)


def test_importing_the_schedule_loads_only_the_standard_library() -> None:
    program = (
        "import sys; before = set(sys.modules); import courier.builds.poll_schedule;"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)  # noqa: S603 - our own program
    assert set(process.stdout.split()) - set(sys.stdlib_module_names) == {"courier"}


@pytest.mark.parametrize("hours", [0, 1, 24, -1])
def test_age_counts_from_the_creation_time(hours: float) -> None:
    created = SEEN - timedelta(hours=hours)
    assert age_starts_at(created, SEEN, POLLING) == created


@pytest.mark.parametrize("created", [None, SEEN - timedelta(hours=25), datetime(2022, 6, 30, tzinfo=UTC)])
def test_age_counts_from_the_registration_without_a_plausible_creation_time(
    created: datetime | None,
) -> None:
    assert age_starts_at(created, SEEN, POLLING) == SEEN
