"""The lower bounds that the schedule is compared with, checked against known values."""

from math import exp, log

import pytest

from local.polling_study.durations import LogNormal, Mixture, Sample
from local.polling_study.lower_bound import KellerLimit, best_on_ticks
from local.polling_study.workload import TWENTY_MINUTES


@pytest.mark.parametrize(("lag", "requests"), [(45, 8.1), (60, 6.1), (75, 4.9)])
def test_kellers_limit_has_the_known_requests_for_builds_of_twenty_minutes(lag: float, requests: float) -> None:
    limit = KellerLimit.of(TWENTY_MINUTES)
    assert limit.requests(lag) == pytest.approx(requests, abs=0.05)
    assert limit.lag_seconds(limit.requests(lag)) == pytest.approx(lag)


def test_keller_grows_with_the_duration() -> None:
    """Four times the duration is four times requests times lag: time has only another unit."""
    long = LogNormal(4800, 0.35)
    assert KellerLimit.of(long).product_seconds == pytest.approx(4 * KellerLimit.of(TWENTY_MINUTES).product_seconds)


@pytest.mark.parametrize("price", [3.0, 6.0, 12.0])
def test_the_best_polls_at_any_moment_meet_keller(price: float) -> None:
    best = best_on_ticks(TWENTY_MINUTES, price_seconds=price, tick_seconds=10, phases=1)
    assert best.requests * best.lag_seconds == pytest.approx(KellerLimit.of(TWENTY_MINUTES).product_seconds, rel=0.02)


def test_ticks_of_a_minute_cost_a_little_more_than_the_limit() -> None:
    best = best_on_ticks(TWENTY_MINUTES, price_seconds=6)
    above = best.requests / KellerLimit.of(TWENTY_MINUTES).requests(best.lag_seconds)
    assert 1.0 < above < 1.04


def test_free_requests_buy_every_useful_poll() -> None:
    best = best_on_ticks(TWENTY_MINUTES, price_seconds=1e-9)
    assert best.lag_seconds == pytest.approx(30, abs=0.5)


def test_the_longest_gap_bounds_what_is_best() -> None:
    free = best_on_ticks(LogNormal(7200, 0.1), price_seconds=6, longest_seconds=1e9)
    bound = best_on_ticks(LogNormal(7200, 0.1), price_seconds=6, longest_seconds=900)
    assert bound.requests > free.requests + 3


def test_a_smoothed_sample_has_the_distribution_that_it_came_from() -> None:
    quantiles = Sample([TWENTY_MINUTES.median_seconds * exp(0.35 * z / 10) for z in range(-15, 16)])
    total = sum(quantiles.density(age) for age in range(1, 6000))
    assert total == pytest.approx(1, abs=0.01)
    assert quantiles.survival(1200) == pytest.approx(0.5, abs=0.03)
    assert quantiles.survival(quantiles.horizon_seconds) < 1e-6


def test_a_mixture_keeps_its_shares() -> None:
    mixture = Mixture([(0.25, LogNormal(60, 0.1)), (0.75, LogNormal(6000, 0.1))])
    assert mixture.survival(600) == pytest.approx(0.75)
    assert mixture.survival(0) == 1
    assert sum(mixture.density(exp(step / 1000)) * exp(step / 1000) for step in range(int(log(1e5) * 1000))) == (
        pytest.approx(1000, rel=0.01)
    )
