import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from courier.errors import LedgerError
from courier.ledger import RequestLedger, SourceLedger, Table
from courier.ledger.sources import DURATION_SLOTS
from courier.ledger.table import Change
from local.simulator import ManualClock
from tests.support.providers import NOON, ref_of

REST = timedelta(minutes=15)


@pytest.fixture
def sources(table: Table, clock: ManualClock) -> SourceLedger:
    return SourceLedger(table, clock)


@pytest.fixture
def requests(table: Table, clock: ManualClock) -> RequestLedger:
    return RequestLedger(table, clock)


def test_the_first_sight_of_a_source_stays(sources: SourceLedger, clock: ManualClock) -> None:
    assert sources.first_discovery_at("insights") == NOON
    clock.advance(3600)
    assert sources.first_discovery_at("insights") == NOON


def test_an_illness_keeps_its_beginning(sources: SourceLedger, clock: ManualClock) -> None:
    assert sources.mark_unhealthy("insights", "SourceUnauthorizedError", "401", backoff=REST) == NOON
    clock.advance(60)
    assert sources.mark_unhealthy("insights", "SourceExhaustedError", "401", backoff=REST) == NOON
    state = sources.state("insights")
    assert (state.unhealthy_error, state.unhealthy_since) == ("SourceUnauthorizedError", NOON)
    assert state.backoff_until == clock() + REST


def test_one_of_two_announces_an_illness_and_another_if_it_was_cut_off(
    sources: SourceLedger, clock: ManualClock
) -> None:
    takes = timedelta(minutes=1)
    sources.mark_unhealthy("insights", "E", "401", backoff=REST)
    assert sources.claim_announcement("insights", timeout=takes)
    assert not sources.claim_announcement("insights", timeout=takes)
    clock.advance(60)
    assert sources.claim_announcement("insights", timeout=takes)
    sources.mark_announced("insights")
    clock.advance(60)
    assert not sources.claim_announcement("insights", timeout=takes)


def test_recovery_is_noted_once_and_forgets_all_of_the_illness(sources: SourceLedger) -> None:
    sources.mark_unhealthy("insights", "E", "401", backoff=REST)
    sources.mark_announced("insights")
    assert sources.mark_recovered("insights")
    assert not sources.mark_recovered("insights")
    state = sources.state("insights")
    assert (state.unhealthy_error, state.backoff_until, state.announced_at) == (None, None, None)
    assert sources.claim_announcement("insights", timeout=REST)


def test_many_failures_at_once_count_as_one(sources: SourceLedger) -> None:
    sources.count_failure("insights", "500", backoff=None, seen=0)
    sources.count_failure("insights", "500", backoff=None, seen=0)
    assert sources.state("insights").failures == 1


def test_an_answer_does_not_end_an_illness(sources: SourceLedger) -> None:
    sources.mark_unhealthy("insights", "E", "401", backoff=REST)
    sources.reset_failures("insights", unhealthy=False)
    assert sources.state("insights").backoff_until is not None


def test_a_broken_row_of_a_source_says_so(sources: SourceLedger, table: Table) -> None:
    table.update("#source/insights", Change(set={"rest_until": "soon"}))
    with pytest.raises(LedgerError, match="insights"):
        sources.state("insights")


def test_the_budget_of_a_minute_is_never_overspent(table: Table, clock: ManualClock) -> None:
    class AtomicTable(Table):
        """One write at a time, as in DynamoDB; moto's writes are not atomic."""

        lock = threading.Lock()

        def update(self, key: str, change: Change) -> dict[str, str | int | float | bool] | None:
            with self.lock:
                return super().update(key, change)

    sources = SourceLedger(AtomicTable(table.name, table._client), clock)
    with ThreadPoolExecutor(8) as pool:
        granted = list(
            pool.map(lambda wanted: sources.take_requests("insights", wanted=wanted, limit=20), [3, 1, 2] * 8)
        )
    assert 0 < sum(granted) <= 20
    sources.take_requests("insights", wanted=20, limit=20)
    assert sources.take_requests("insights", wanted=1, limit=20) == 0


def test_a_new_minute_has_a_new_budget_of_the_same_size(sources: SourceLedger, clock: ManualClock) -> None:
    assert sources.take_requests("insights", wanted=9, limit=5) == 5
    clock.advance(60)
    assert sources.take_requests("insights", wanted=9, limit=5) == 5


def test_what_is_given_back_late_is_no_credit_for_the_next_minute(table: Table, clock: ManualClock) -> None:
    class LateTable(Table):
        """The minute ends between taking too much and giving it back."""

        def update(self, key: str, change: Change) -> dict[str, str | int | float | bool] | None:
            if change.add.get("spent", 0) < 0:
                clock.advance(60)
                assert SourceLedger(table, clock).take_requests("insights", wanted=5, limit=5) == 5
            return super().update(key, change)

    late = SourceLedger(LateTable(table.name, table._client), clock)
    assert late.take_requests("insights", wanted=9, limit=5) == 5
    assert SourceLedger(table, clock).take_requests("insights", wanted=5, limit=5) == 0


def test_budgets_of_sources_are_their_own(sources: SourceLedger) -> None:
    assert sources.take_requests("insights", wanted=5, limit=5) == 5
    assert sources.take_requests("red-team", wanted=5, limit=5) == 5


def test_a_duration_noted_twice_is_one(sources: SourceLedger) -> None:
    sources.store_duration(ref_of("b1"), 42.25)
    sources.store_duration(ref_of("b1"), 42.25)
    assert sources.durations("insights", "sales") == [42.2]


def test_only_so_many_durations_are_kept(sources: SourceLedger) -> None:
    for number in range(200):
        sources.store_duration(ref_of(f"b{number}"), number)
    assert 0 < len(sources.durations("insights", "sales")) <= DURATION_SLOTS
    assert sources.durations("insights", "elsewhere") == []
