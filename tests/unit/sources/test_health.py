"""When a source backs off, becomes unhealthy, and recovers."""

from datetime import timedelta
from typing import Any

import pytest

from courier.errors import (
    CourierError,
    SettingsError,
    SourceExhaustedError,
    SourceProtocolError,
    SourceThrottledError,
    SourceUnauthorizedError,
    SourceUnavailableError,
)
from courier.ledger import SourceState
from courier.models import BuildStatus, Outcome
from tests.support.container import FakeContainer
from tests.support.providers import NOON, build_of, ref_of

MINUTE = timedelta(minutes=1)
DOWN = SourceUnavailableError("insights: get_build timed out waiting for the response")
FORBIDDEN = SourceUnauthorizedError("insights: get_build returned 401")


def outcomes(container: FakeContainer) -> list[Outcome | None]:
    return [payload.outcome for payload in container.stepfunctions.released]


def test_a_source_that_is_backing_off_is_not_called(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.source_ledger.count_failure("insights", "500", backoff=MINUTE, seen=SourceState(failures=5))
    container.poll()
    assert container.fake.calls == []
    container.poll(seconds=60)
    assert container.fake.calls == ["get_build b1"]


def test_a_build_that_is_not_found_counts_no_failure_of_the_source(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.fake.known.clear()
    container.poll()
    assert container.source_ledger.state("insights").failures == 0


def test_an_api_that_knows_none_of_several_builds_is_down(container: FakeContainer) -> None:
    container.fake.forget_how_to_list()
    container.wait_for(*(build_of(f"b{n}") for n in range(3)))
    container.fake.known.clear()
    for _ in range(6):
        container.poll(seconds=900)
    assert outcomes(container) == []
    assert container.source_ledger.state("insights").failures > 0
    row = container.builds.find(ref_of("b1"))
    assert row is not None
    assert row.not_found == 0


def test_a_source_that_is_down_backs_off_longer_each_time_and_is_called_again(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.fake.failures["get_build"] = DOWN
    for _ in range(3):
        container.poll(seconds=900)
    first = container.source_ledger.state("insights").backoff_until
    assert first == container.clock() + timedelta(minutes=1)
    calls = len(container.fake.calls)
    container.poll(seconds=30)
    assert len(container.fake.calls) == calls
    container.poll(seconds=900)
    assert container.source_ledger.state("insights").backoff_until == container.clock() + timedelta(minutes=2)
    container.fake.failures.clear()
    container.poll(seconds=900)
    state = container.source_ledger.state("insights")
    assert (state.failures, state.backoff_until) == (0, None)
    assert container.published == []


def test_a_source_with_only_unparsable_responses_counts_a_failure(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.fake.failures["get_build"] = SourceProtocolError("something that is not JSON")
    container.poll()
    assert container.source_ledger.state("insights").failures == 1


@pytest.mark.parametrize(
    "error", [FORBIDDEN, SourceExhaustedError("out of credits"), SettingsError("secret x does not exist")]
)
def test_a_source_that_only_an_operator_can_fix_is_announced_once(
    container: FakeContainer, error: CourierError
) -> None:
    container.wait_for(build_of("b1"), build_of("b2"))
    container.fake.failures |= {"list_builds": error, "get_build": error}
    for _ in range(5):
        container.poll(seconds=900)
    (notice,) = container.published
    assert notice.attributes["health"]["StringValue"] == "unhealthy"
    assert type(error).__name__ in notice.message["email"]
    assert container.source_ledger.state("insights").backoff_until == container.clock() + timedelta(minutes=15)
    assert outcomes(container) == []


def test_one_refusal_of_the_key_is_no_alarm(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.fake.failures["get_build"] = [FORBIDDEN]
    container.poll()
    calls = len(container.fake.calls)
    container.poll(seconds=60)
    assert len(container.fake.calls) == calls + 1
    container.fake.failures["get_build"] = [FORBIDDEN]
    container.poll(seconds=900)
    assert container.published == []


def test_a_new_secret_or_new_settings_are_tried_at_once(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.fake.failures["get_build"] = [FORBIDDEN] * 2
    for _ in range(2):
        container.poll(seconds=60)
    calls = len(container.fake.calls)
    container.poll(seconds=60)
    assert len(container.fake.calls) == calls
    container.version = "2"
    container.poll(seconds=60)
    assert len(container.fake.calls) == calls + 1
    assert [notice.attributes["health"]["StringValue"] for notice in container.published] == ["unhealthy", "recovered"]


def test_a_known_failing_scope_does_not_make_its_source_alternate(container: FakeContainer) -> None:
    container.fake.scope_names = ("closed", "open")
    closed = SourceUnauthorizedError("403", forbidden=True)
    container.fake.failures["list_builds closed"] = closed
    container.wait_for(*(build_of(f"b{n}", scope="closed") for n in range(2)), build_of("other", scope="open"))
    for n in range(2):
        container.fake.failures[f"get_build b{n}"] = closed
    for _ in range(10):
        container.discover()
        container.poll(seconds=450)
    assert [notice.attributes["health"]["StringValue"] for notice in container.published] == ["unhealthy"]
    assert container.source_ledger.state("insights").backoff_until is None


@pytest.mark.parametrize("retry_after", [120.0, 0.0, 1e9])
def test_retry_after_counts_with_any_status(container: FakeContainer, retry_after: float) -> None:
    container.wait_for(build_of("b1"))
    container.fake.failures["get_build"] = SourceUnavailableError("503", retry_after_seconds=retry_after)
    container.poll()
    backoff_until = container.source_ledger.state("insights").backoff_until
    assert backoff_until == (NOON + timedelta(seconds=min(retry_after, 3_600)) if retry_after else None)


def test_a_recovered_source_is_announced_once(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.fake.failures["get_build"] = [FORBIDDEN] * 2
    for _ in range(4):
        container.poll(seconds=900)
    assert [notice.attributes["health"]["StringValue"] for notice in container.published] == ["unhealthy", "recovered"]


@pytest.mark.parametrize("moment", ["mark_unhealthy", "claim_announcement"])
def test_a_source_that_recovers_while_it_is_announced_is_not_left_unhealthy(
    container: FakeContainer, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Discovery may be refused in the same moment in which the poller gets a good response."""
    ledger = container.source_ledger
    original = getattr(ledger, moment)

    def then_recovered(*arguments: Any, **options: Any) -> object:  # noqa: ANN401 - as the original
        returned = original(*arguments, **options)
        assert ledger.mark_recovered("insights")
        return returned

    monkeypatch.setattr(ledger, moment, then_recovered)
    container.health.record_failure(
        container.settings, container.health.state("insights"), SourceExhaustedError("insights: no credits")
    )
    health = [publication.attributes["health"]["StringValue"] for publication in container.published]
    assert health == ([] if moment == "mark_unhealthy" else ["unhealthy", "recovered"])
    assert not ledger.state("insights").is_unhealthy
    assert ledger.state("insights").announced_at is None


def test_a_dead_key_counts_no_failure_of_the_builds(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.fake.failures["get_build"] = FORBIDDEN
    container.poll()
    row = container.builds.find(ref_of("b1"))
    assert row is not None
    assert (row.failures, row.not_found) == (0, 0)


def test_one_forbidden_scope_among_others_does_not_make_the_source_unhealthy(container: FakeContainer) -> None:
    container.wait_for(*(build_of(f"{scope}{n}", scope=scope) for scope in ("closed", "open") for n in range(2)))
    container.fake.failures["list_builds closed"] = FORBIDDEN
    container.fake.set_status("open0", BuildStatus.SUCCEEDED)
    assert container.poll().released == 1
    assert container.published == []


@pytest.mark.parametrize(("retry_after", "backoff_seconds"), [(120, 120), (None, 60), (86_400, 3600), (1e300, 3600)])
def test_a_throttled_source_backs_off_for_its_retry_after(
    container: FakeContainer, retry_after: float | None, backoff_seconds: int
) -> None:
    container.wait_for(*(build_of(f"b{n}", scope=f"scope-{n}") for n in range(3)))
    container.fake.failures["get_build"] = SourceThrottledError("429", retry_after_seconds=retry_after)
    container.poll()
    assert len(container.fake.calls) == 1
    assert container.source_ledger.state("insights").backoff_until == NOON + timedelta(seconds=backoff_seconds)
    container.poll(seconds=backoff_seconds - 1)
    assert len(container.fake.calls) == 1
