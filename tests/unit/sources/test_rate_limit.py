from collections.abc import Callable

import pytest

from courier.errors import SourceThrottledError
from courier.ledger import SourceLedger, Table
from courier.ledger.table import Change, Scalar
from courier.providers import parse_source
from courier.sources.rate_limit import BLOCK_REQUESTS, RateLimit
from local.simulator import ManualClock
from tests.support.aws import rows

PER_MINUTE = 20
MakeRateLimit = Callable[[], RateLimit]


@pytest.fixture
def make(table: Table, clock: ManualClock) -> MakeRateLimit:
    settings = parse_source(
        {
            "name": "insights",
            "provider": "treasure_insights",
            "endpoint": "https://api.example.com",
            "secret": "build-courier/key",
            "data_models": "all",
            "requests_per_minute": PER_MINUTE,
        }
    )
    return lambda: RateLimit(settings, SourceLedger(table, clock), clock)


def spent(table: Table) -> int:
    return int(rows(table)["#source/insights"]["spent"]["N"])


def test_expected_requests_are_taken_with_one_write(make: MakeRateLimit, table: Table) -> None:
    rate_limit = make()
    rate_limit.expect(5)
    assert all(rate_limit.reserve() for _ in range(5))
    assert spent(table) == 5
    assert rate_limit.reserve()
    assert spent(table) == 6


def test_a_tick_takes_at_most_one_block_in_advance(make: MakeRateLimit, table: Table) -> None:
    rate_limit = make()
    rate_limit.expect(100)
    assert rate_limit.reserve()
    assert spent(table) == BLOCK_REQUESTS


@pytest.mark.parametrize("follows", [True, False])
@pytest.mark.parametrize("opened", [True, False])
def test_expect_open_minute_saves_a_write_and_changes_nothing_else(
    make: MakeRateLimit, table: Table, monkeypatch: pytest.MonkeyPatch, follows: bool, opened: bool
) -> None:
    if opened:
        assert make().reserve()
    results, update = list[bool](), Table.update

    def watched(self: Table, key: str, change: Change) -> dict[str, Scalar] | None:
        row = update(self, key, change)
        results.append(row is not None)
        return row

    monkeypatch.setattr(Table, "update", watched)
    rate_limit = make()
    if follows:
        rate_limit.expect_open_minute()
    rate_limit.take("get_build")
    assert results == ([True] if follows == opened else [False, True])
    assert spent(table) == 1 + opened


@pytest.mark.parametrize("expected", [0, 3, 100])
def test_two_invocations_never_exceed_the_rate_limit_together(make: MakeRateLimit, expected: int) -> None:
    rate_limits = [make(), make()]
    for rate_limit in rate_limits:
        rate_limit.expect(expected)
    granted = sum(rate_limit.reserve() for _ in range(2 * PER_MINUTE) for rate_limit in rate_limits)
    assert granted == PER_MINUTE
    with pytest.raises(SourceThrottledError, match="requests_per_minute"):
        make().take("get_build")


def test_requests_left_over_expire_with_their_minute(make: MakeRateLimit, table: Table, clock: ManualClock) -> None:
    rate_limit = make()
    rate_limit.expect(BLOCK_REQUESTS)
    assert rate_limit.reserve()
    clock.advance(60)
    assert sum(rate_limit.reserve() for _ in range(2 * PER_MINUTE)) == PER_MINUTE
    assert spent(table) == PER_MINUTE


def test_a_released_request_is_available_again(make: MakeRateLimit, table: Table) -> None:
    rate_limit = make()
    assert rate_limit.reserve()
    rate_limit.release()
    rate_limit.take("get_build")
    assert spent(table) == 1
