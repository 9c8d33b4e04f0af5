"""What a tick of the poller does when the provider does not answer as wished."""

from datetime import timedelta

import pytest

from courier.builds.evaluation import FAILURES_BEFORE_LOST
from courier.config.settings import PollingSettings
from courier.errors import (
    BuildNotFoundError,
    CourierError,
    SettingsError,
    SourceExhaustedError,
    SourceProtocolError,
    SourceRejectedError,
    SourceThrottledError,
    SourceUnauthorizedError,
    SourceUnavailableError,
)
from courier.models import BuildStatus, Outcome
from tests.support.container import FakeContainer
from tests.support.providers import NOON, build_of, ref_of, settings_of

DOWN = SourceUnavailableError("insights: get_build timed out waiting for the response")
FORBIDDEN = SourceUnauthorizedError("insights: get_build returned 401")


def outcomes(container: FakeContainer) -> list[Outcome | None]:
    return [news.outcome for news in container.stepfunctions.released]


def test_a_build_not_found_three_times_in_a_row_is_lost(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.fake.known.clear()
    assert [container.poll(seconds=900).released for _ in range(3)] == [0, 0, 1]
    assert outcomes(container) == [Outcome.LOST]
    problem = container.stepfunctions.released[0].problem
    assert problem is not None
    assert problem.name == "BuildNotFoundError"


def test_a_build_found_again_starts_the_count_anew(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    missing: list[CourierError] = [BuildNotFoundError("404")] * 2
    container.fake.failures["get_build"] = missing
    for _ in range(3):
        container.poll(seconds=900)
    container.fake.failures["get_build"] = [BuildNotFoundError("404")] * 2
    for _ in range(2):
        container.poll(seconds=900)
    assert outcomes(container) == []


def test_an_unknown_build_says_nothing_about_the_source(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.fake.known.clear()
    container.poll()
    assert container.source_ledger.state("insights").failures == 0


def test_a_scope_that_is_gone_is_asked_for_build_by_build(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"), build_of("b2"))
    container.fake.failures["list_builds"] = BuildNotFoundError("404")
    container.fake.set_status("b2", BuildStatus.SUCCEEDED)
    assert container.poll().released == 1


def test_an_unknown_status_waits_and_never_ends_a_build(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.fake.set_status("b1", BuildStatus.UNKNOWN)
    for _ in range(20):
        container.poll(seconds=900)
    assert outcomes(container) == []
    assert container.in_flight(ref_of("b1"))


def test_a_build_past_its_deadline_is_timed_out_and_left_alone(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.poll(seconds=24 * 3600 - 1)
    assert outcomes(container) == []
    container.poll(seconds=120)
    assert outcomes(container) == [Outcome.TIMED_OUT]
    assert container.fake.canceled == []


def test_a_build_past_its_deadline_is_canceled_where_the_source_says_so(container: FakeContainer) -> None:
    container.use(settings_of(cancel_on_timeout=True))
    container.wait_for(build_of("b1"))
    container.poll(seconds=24 * 3600)
    assert container.fake.canceled == [ref_of("b1")]
    problem = container.stepfunctions.released[0].problem
    assert problem is not None
    assert "asked to cancel" in problem.message


def test_a_cancel_that_fails_does_not_hold_up_the_outcome(container: FakeContainer) -> None:
    container.use(settings_of(cancel_on_timeout=True))
    container.wait_for(build_of("b1"))
    container.fake.failures["cancel_build"] = DOWN
    container.poll(seconds=24 * 3600)
    assert outcomes(container) == [Outcome.TIMED_OUT]


def test_a_build_that_ended_at_its_deadline_has_ended(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.fake.set_status("b1", BuildStatus.SUCCEEDED)
    container.poll(seconds=24 * 3600)
    assert outcomes(container) == [Outcome.SUCCEEDED]


def test_a_build_whose_provider_is_down_past_the_deadline_is_timed_out(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.fake.failures["get_build"] = DOWN
    container.poll(seconds=24 * 3600)
    assert outcomes(container) == [Outcome.TIMED_OUT]


def test_a_build_that_does_not_move_is_given_up_where_the_source_says_so(container: FakeContainer) -> None:
    container.use(settings_of(polling=PollingSettings(stall_after_hours=2)))
    container.wait_for(build_of("b1"))
    container.poll(seconds=7199)
    assert outcomes(container) == []
    container.poll(seconds=900)
    assert outcomes(container) == [Outcome.TIMED_OUT]


def test_a_build_that_moved_just_now_has_not_stalled(container: FakeContainer) -> None:
    container.use(settings_of(polling=PollingSettings(stall_after_hours=2)))
    container.wait_for(build_of("b1", BuildStatus.QUEUED))
    container.fake.set_status("b1", BuildStatus.RUNNING)
    container.poll(seconds=7300)
    assert outcomes(container) == []


def test_a_build_that_fails_to_be_looked_at_for_too_long_is_lost(container: FakeContainer) -> None:
    container.use(settings_of(polling=PollingSettings(give_up_after_hours=8_000)))
    container.wait_for(build_of("b1"))
    row = container.builds.find(ref_of("b1"))
    assert row is not None
    for _ in range(FAILURES_BEFORE_LOST - 1):
        container.builds.count_failure(row, not_found=False)
    container.fake.failures["get_build"] = DOWN
    container.poll()
    assert outcomes(container) == [Outcome.LOST]


def test_a_dead_provider_costs_one_failing_call_a_tick(container: FakeContainer) -> None:
    container.wait_for(*(build_of(f"b{n}", scope=f"scope-{n % 3}") for n in range(9)), build_of("alone", scope="x"))
    container.fake.failures |= {"list_builds": DOWN, "get_build": DOWN}
    container.poll()
    assert len(container.fake.calls) == 1


def test_builds_that_were_not_asked_for_count_no_failure(container: FakeContainer) -> None:
    container.fake.forget_how_to_list()
    container.wait_for(build_of("b1"), build_of("b2"))
    container.fake.failures["get_build"] = DOWN
    container.poll()
    rows = container.builds.find_many([ref_of("b1"), ref_of("b2")])
    assert sorted(row.failures for row in rows.values() if row) == [0, 1]


def test_a_source_that_is_down_rests_longer_each_time_and_is_asked_again(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.fake.failures["get_build"] = DOWN
    for _ in range(3):
        container.poll(seconds=900)
    first = container.source_ledger.state("insights").backoff_until
    assert first == container.clock() + timedelta(minutes=1)
    asked = len(container.fake.calls)
    container.poll(seconds=30)
    assert len(container.fake.calls) == asked
    container.poll(seconds=900)
    assert container.source_ledger.state("insights").backoff_until == container.clock() + timedelta(minutes=2)
    container.fake.failures.clear()
    container.poll(seconds=900)
    state = container.source_ledger.state("insights")
    assert (state.failures, state.backoff_until) == (0, None)
    assert container.published == []


def test_one_build_with_a_senseless_answer_does_not_stop_the_others(container: FakeContainer) -> None:
    container.fake.forget_how_to_list()
    container.wait_for(build_of("a-bad"), build_of("b1"), build_of("b2"))
    container.fake.failures["get_build a-bad"] = SourceProtocolError("no usable job")
    container.fake.set_status("b2", BuildStatus.SUCCEEDED)
    assert container.poll().released == 1
    assert container.source_ledger.state("insights").failures == 0
    row = container.builds.find(ref_of("a-bad"))
    assert row is not None
    assert row.failures == 1


def test_one_build_that_is_refused_does_not_stop_the_others(container: FakeContainer) -> None:
    container.fake.forget_how_to_list()
    container.wait_for(build_of("a-bad"), build_of("b1"))
    container.fake.failures["get_build a-bad"] = SourceRejectedError("400")
    container.fake.set_status("b1", BuildStatus.SUCCEEDED)
    assert container.poll().released == 1


def test_one_build_that_always_fails_does_not_starve_the_others(container: FakeContainer) -> None:
    container.fake.forget_how_to_list()
    container.wait_for(build_of("a-bad"), *(build_of(f"b{n}") for n in range(3)))
    container.fake.failures["get_build a-bad"] = DOWN
    for n in range(3):
        container.fake.set_status(f"b{n}", BuildStatus.SUCCEEDED)
    for _ in range(4):
        container.poll(seconds=60)
    assert len(container.stepfunctions.released) == 3


def test_a_source_that_answers_only_nonsense_is_down(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.fake.failures["get_build"] = SourceProtocolError("something that is not JSON")
    container.poll()
    assert container.source_ledger.state("insights").failures == 1


def test_a_broken_scope_does_not_stop_the_others(container: FakeContainer) -> None:
    container.wait_for(*(build_of(f"{scope}{n}", scope=scope) for scope in ("bad", "good") for n in range(2)))
    container.fake.failures["list_builds bad"] = SourceRejectedError("400")
    container.fake.set_status("good1", BuildStatus.SUCCEEDED)
    assert container.poll().released == 1


@pytest.mark.parametrize(
    "error", [FORBIDDEN, SourceExhaustedError("out of credits"), SettingsError("secret x does not exist")]
)
def test_a_source_that_only_an_operator_can_heal_is_announced_once(
    container: FakeContainer, error: CourierError
) -> None:
    container.wait_for(build_of("b1"), build_of("b2"))
    container.fake.failures["list_builds"] = error
    for _ in range(5):
        container.poll(seconds=900)
    (notice,) = container.published
    assert notice.attributes["health"]["StringValue"] == "unhealthy"
    assert type(error).__name__ in notice.message["email"]
    assert container.source_ledger.state("insights").backoff_until == container.clock() + timedelta(minutes=15)
    assert outcomes(container) == []


def test_a_source_that_is_well_again_is_announced_once(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.fake.failures["get_build"] = [FORBIDDEN]
    for _ in range(4):
        container.poll(seconds=900)
    assert [notice.attributes["health"]["StringValue"] for notice in container.published] == ["unhealthy", "recovered"]


def test_a_dead_key_says_nothing_about_the_builds(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.fake.failures["get_build"] = FORBIDDEN
    container.poll()
    row = container.builds.find(ref_of("b1"))
    assert row is not None
    assert (row.failures, row.not_found) == (0, 0)


def test_a_forbidden_scope_among_others_is_no_illness(container: FakeContainer) -> None:
    container.wait_for(*(build_of(f"{scope}{n}", scope=scope) for scope in ("closed", "open") for n in range(2)))
    container.fake.failures["list_builds closed"] = FORBIDDEN
    container.fake.set_status("open0", BuildStatus.SUCCEEDED)
    assert container.poll().released == 1
    assert container.published == []


def test_a_dead_key_is_not_tried_on_every_scope(container: FakeContainer) -> None:
    container.wait_for(*(build_of(f"b{n}", scope=f"scope-{n}") for n in range(9)))
    container.fake.failures["get_build"] = FORBIDDEN
    container.poll()
    assert len(container.fake.calls) == 3
    assert len(container.published) == 1


@pytest.mark.parametrize(("asked_for", "rest_seconds"), [(120, 120), (None, 60), (86_400, 3600), (1e300, 3600)])
def test_a_throttled_source_rests_as_long_as_it_asks_for(
    container: FakeContainer, asked_for: float | None, rest_seconds: int
) -> None:
    container.wait_for(*(build_of(f"b{n}", scope=f"scope-{n}") for n in range(3)))
    container.fake.failures["get_build"] = SourceThrottledError("429", retry_after_seconds=asked_for)
    container.poll()
    assert len(container.fake.calls) == 1
    assert container.source_ledger.state("insights").backoff_until == NOON + timedelta(seconds=rest_seconds)
    container.poll(seconds=rest_seconds - 1)
    assert len(container.fake.calls) == 1


def test_limits_that_cannot_be_read_do_not_delay_the_news(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.fake.failures["account_limits"] = DOWN
    container.fake.set_status("b1", BuildStatus.FAILED)
    container.poll()
    assert outcomes(container) == [Outcome.FAILED]
