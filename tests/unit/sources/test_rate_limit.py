from collections.abc import Callable

import pytest

from courier.errors import SourceThrottledError
from courier.ledger import SourceLedger, Table
from courier.ledger.table import Change, Scalar
from courier.providers import parse_source
from courier.sources.rate_limit import BLOCK_REQUESTS, RateLimit
from local.simulator import ManualClock
from tests.support.aws import rows

BUDGET = 20
MakeBudget = Callable[[], RateLimit]


@pytest.fixture
def make(table: Table, clock: ManualClock) -> MakeBudget:
    settings = parse_source(
        {
            "name": "insights",
            "provider": "treasure_insights",
            "endpoint": "https://api.example.com",
            "secret": "build-courier/key",
            "data_models": "all",
            "requests_per_minute": BUDGET,
        }
    )
    return lambda: RateLimit(settings, SourceLedger(table, clock), clock)


def spent(table: Table) -> int:
    return int(rows(table)["#source/insights"]["spent"]["N"])


def test_requests_that_are_to_come_are_taken_together(make: MakeBudget, table: Table) -> None:
    budget = make()
    budget.expect(5)
    assert all(budget.reserve() for _ in range(5))
    assert spent(table) == 5
    assert budget.reserve()
    assert spent(table) == 6


def test_a_tick_takes_no_more_than_a_block_ahead(make: MakeBudget, table: Table) -> None:
    budget = make()
    budget.expect(100)
    assert budget.reserve()
    assert spent(table) == BLOCK_REQUESTS


@pytest.mark.parametrize("follows", [True, False])
@pytest.mark.parametrize("opened", [True, False])
def test_who_follows_a_tick_has_no_write_refused_and_the_same_answer(
    make: MakeBudget, table: Table, monkeypatch: pytest.MonkeyPatch, follows: bool, opened: bool
) -> None:
    if opened:
        assert make().reserve()
    results, update = list[bool](), Table.update

    def watched(self: Table, key: str, change: Change) -> dict[str, Scalar] | None:
        row = update(self, key, change)
        results.append(row is not None)
        return row

    monkeypatch.setattr(Table, "update", watched)
    budget = make()
    if follows:
        budget.expect_open_minute()
    budget.take("get_build")
    assert results == ([True] if follows == opened else [False, True])
    assert spent(table) == 1 + opened


@pytest.mark.parametrize("expected", [0, 3, 100])
def test_two_at_once_never_get_more_than_a_minute_has(make: MakeBudget, expected: int) -> None:
    budgets = [make(), make()]
    for budget in budgets:
        budget.expect(expected)
    granted = sum(budget.reserve() for _ in range(2 * BUDGET) for budget in budgets)
    assert granted == BUDGET
    with pytest.raises(SourceThrottledError, match="requests_per_minute"):
        make().take("get_build")


def test_what_a_minute_left_is_worth_nothing_in_the_next(make: MakeBudget, table: Table, clock: ManualClock) -> None:
    budget = make()
    budget.expect(BLOCK_REQUESTS)
    assert budget.reserve()
    clock.advance(60)
    assert sum(budget.reserve() for _ in range(2 * BUDGET)) == BUDGET
    assert spent(table) == BUDGET


def test_a_reserved_request_that_is_given_back_is_there_for_another(make: MakeBudget, table: Table) -> None:
    budget = make()
    assert budget.reserve()
    budget.release()
    budget.take("get_build")
    assert spent(table) == 1
