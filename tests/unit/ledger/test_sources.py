from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from courier.errors import LedgerError
from courier.ledger import RequestLedger, SourceLedger, SourceState, Table
from courier.ledger.sources import DURATION_SLOTS
from courier.ledger.table import Change
from local.simulator import ManualClock
from tests.support.aws import AtomicTable
from tests.support.providers import NOON, ref_of

BACKOFF = timedelta(minutes=15)


@pytest.fixture
def sources(table: Table, clock: ManualClock) -> SourceLedger:
    return SourceLedger(table, clock)


@pytest.fixture
def requests(table: Table, clock: ManualClock) -> RequestLedger:
    return RequestLedger(table, clock)


def test_the_first_discovery_time_is_kept(sources: SourceLedger, clock: ManualClock) -> None:
    assert sources.first_discovery_at("insights") == NOON
    clock.advance(3600)
    assert sources.first_discovery_at("insights") == NOON


def test_an_unhealthy_period_keeps_its_start_time(sources: SourceLedger, clock: ManualClock) -> None:
    assert sources.mark_unhealthy("insights", "SourceUnauthorizedError", "401", backoff=BACKOFF) == NOON
    clock.advance(60)
    assert sources.mark_unhealthy("insights", "SourceExhaustedError", "401", backoff=BACKOFF) == NOON
    state = sources.state("insights")
    assert (state.unhealthy_error, state.unhealthy_since) == ("SourceUnauthorizedError", NOON)
    assert state.backoff_until == clock() + BACKOFF


def test_one_invocation_claims_the_notice_and_another_after_the_timeout(
    sources: SourceLedger, clock: ManualClock
) -> None:
    timeout = timedelta(minutes=1)
    sources.mark_unhealthy("insights", "E", "401", backoff=BACKOFF)
    assert sources.claim_announcement("insights", since=NOON, timeout=timeout)
    assert not sources.claim_announcement("insights", since=NOON, timeout=timeout)
    clock.advance(60)
    assert sources.claim_announcement("insights", since=NOON, timeout=timeout)
    sources.mark_announced("insights", since=NOON)
    clock.advance(60)
    assert not sources.claim_announcement("insights", since=NOON, timeout=timeout)


def test_a_recovery_is_marked_once_and_resets_the_health(sources: SourceLedger) -> None:
    sources.mark_unhealthy("insights", "E", "401", backoff=BACKOFF)
    sources.mark_announced("insights", since=NOON)
    assert sources.mark_recovered("insights")
    assert not sources.mark_recovered("insights")
    state = sources.state("insights")
    assert (state.unhealthy_error, state.backoff_until, state.announced_at) == (None, None, None)


def test_only_the_present_unhealthy_period_is_announced(sources: SourceLedger, clock: ManualClock) -> None:
    sources.mark_unhealthy("insights", "E", "401", backoff=BACKOFF)
    assert sources.mark_recovered("insights")
    assert not sources.claim_announcement("insights", since=NOON, timeout=BACKOFF)
    assert not sources.mark_announced("insights", since=NOON)
    clock.advance(60)
    since = sources.mark_unhealthy("insights", "E", "401", backoff=BACKOFF)
    assert not sources.claim_announcement("insights", since=NOON, timeout=BACKOFF)
    assert sources.claim_announcement("insights", since=since, timeout=BACKOFF)
    assert sources.mark_announced("insights", since=since)


def test_concurrent_failures_count_once(sources: SourceLedger) -> None:
    sources.count_failure("insights", "500", backoff=None, seen=SourceState())
    sources.count_failure("insights", "500", backoff=None, seen=SourceState())
    assert sources.state("insights").failures == 1


def test_reset_failures_does_not_end_an_unhealthy_period(sources: SourceLedger) -> None:
    sources.mark_unhealthy("insights", "E", "401", backoff=BACKOFF)
    sources.reset_failures("insights", unhealthy=False)
    assert sources.state("insights").backoff_until is not None


def test_an_unreadable_row_is_an_error_that_names_the_source(sources: SourceLedger, table: Table) -> None:
    table.update("#source/insights", Change(set={"rest_until": "soon"}))
    with pytest.raises(LedgerError, match="insights"):
        sources.state("insights")


def test_concurrent_requests_never_exceed_the_rate_limit(table: Table, clock: ManualClock) -> None:
    sources = SourceLedger(AtomicTable(table.name, table._client), clock)
    with ThreadPoolExecutor(8) as pool:
        granted = list(
            pool.map(lambda wanted: sources.take_requests("insights", wanted=wanted, limit=20), [3, 1, 2] * 8)
        )
    assert 0 < sum(granted) <= 20
    sources.take_requests("insights", wanted=20, limit=20)
    assert sources.take_requests("insights", wanted=1, limit=20) == 0


def test_each_minute_has_the_same_rate_limit(sources: SourceLedger, clock: ManualClock) -> None:
    assert sources.take_requests("insights", wanted=9, limit=5) == 5
    clock.advance(60)
    assert sources.take_requests("insights", wanted=9, limit=5) == 5


def test_requests_returned_late_are_no_credit_for_the_next_minute(table: Table, clock: ManualClock) -> None:
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


def test_each_source_has_its_own_rate_limit(sources: SourceLedger) -> None:
    assert sources.take_requests("insights", wanted=5, limit=5) == 5
    assert sources.take_requests("red-team", wanted=5, limit=5) == 5


def test_a_duration_stored_twice_counts_once(sources: SourceLedger) -> None:
    sources.store_duration(ref_of("b1"), 42.25)
    sources.store_duration(ref_of("b1"), 42.25)
    assert sources.durations("insights", "sales") == [42.2]


def test_the_number_of_stored_durations_is_bounded(sources: SourceLedger) -> None:
    for number in range(200):
        sources.store_duration(ref_of(f"b{number}"), number)
    assert 0 < len(sources.durations("insights", "sales")) <= DURATION_SLOTS
    assert sources.durations("insights", "elsewhere") == []
