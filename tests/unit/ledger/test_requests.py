import pytest

from courier.ledger import RequestLedger, SourceLedger, Table
from courier.ledger.requests import KEEP_REQUESTS
from local.simulator import ManualClock
from tests.support.aws import rows
from tests.support.providers import NOON, ref_of


@pytest.fixture
def sources(table: Table, clock: ManualClock) -> SourceLedger:
    return SourceLedger(table, clock)


@pytest.fixture
def requests(table: Table, clock: ManualClock) -> RequestLedger:
    return RequestLedger(table, clock)


def test_a_request_is_claimed_once_and_expires(requests: RequestLedger, table: Table) -> None:
    assert requests.claim("insights", "r1") == NOON
    assert requests.claim("insights", "r1") is None
    assert requests.claim("red-team", "r1") == NOON
    expires = int(rows(table)["#request/insights/r1"]["expires_at"]["N"])
    assert expires == int((NOON + KEEP_REQUESTS).timestamp())


def test_a_withdrawn_request_can_be_claimed_again(requests: RequestLedger) -> None:
    requests.claim("insights", "r1")
    requests.withdraw("insights", "r1")
    assert requests.claim("insights", "r1") == NOON


def test_a_request_stores_the_build_that_it_started(requests: RequestLedger, clock: ManualClock) -> None:
    requests.claim("insights", "r1")
    clock.advance(60)
    assert requests.started_build("insights", "r1") is None
    requests.set_started_build("r1", ref_of("b9"))
    assert requests.started_build("insights", "r1") == ref_of("b9")
    assert requests.claimed_at("insights", "r1") == NOON
    assert requests.claimed_at("insights", "unknown") == clock()
