"""What a tick of the poller does when the provider does not answer as wished."""

from datetime import timedelta

import pytest

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


def test_a_build_that_stays_unknown_for_half_an_hour_is_lost(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.fake.known.clear()
    assert [container.poll(seconds=899).released for _ in range(4)] == [0, 0, 0, 1]
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


def test_many_unknown_polls_in_a_short_time_are_no_loss(container: FakeContainer) -> None:
    """A gateway answers 404 during a redeployment of some minutes, while each tick polls a young build."""
    container.wait_for(build_of("b1", created=NOON))
    container.fake.failures["get_build"] = [BuildNotFoundError("404")] * 12
    container.fake.set_status("b1", BuildStatus.SUCCEEDED)
    for _ in range(30):
        container.poll(seconds=60)
    assert outcomes(container) == [Outcome.SUCCEEDED]


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


def test_polls_that_fail_for_days_end_at_the_deadline_with_the_last_error(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.fake.failures["get_build"] = DOWN
    for _ in range(143):
        container.poll(seconds=600)
    assert outcomes(container) == []
    container.poll(seconds=1_200)
    (news,) = container.stepfunctions.released
    assert news.outcome is Outcome.TIMED_OUT
    assert news.problem is not None
    assert str(DOWN) in news.problem.message


def test_a_timed_out_build_names_the_last_status(container: FakeContainer) -> None:
    container.wait_for(build_of("b1", BuildStatus.QUEUED))
    container.poll(seconds=60)
    container.fake.set_status("b1", BuildStatus.UNKNOWN, provider_status="hibernating")
    container.poll(seconds=900)
    container.poll(seconds=24 * 3600)
    (news,) = container.stepfunctions.released
    assert news.problem is not None
    assert "'hibernating'" in news.problem.message


@pytest.mark.parametrize(("has_artifact", "outcome"), [(True, None), (False, Outcome.LOST)])
def test_a_completion_time_with_an_unknown_status_is_an_end(
    container: FakeContainer, has_artifact: bool, outcome: Outcome | None
) -> None:
    container.wait_for(build_of("b1"))
    fields = {"provider_status": "archived", "completed_at": NOON, "has_artifact": has_artifact}
    container.fake.set_status("b1", BuildStatus.UNKNOWN, **fields)
    # The status may follow the time by a moment.
    assert [container.poll(seconds=100).released for _ in range(3)] == [0, 0, 1]
    assert outcomes(container) == [outcome]
    problem = container.stepfunctions.released[0].problem
    assert problem is None or "'archived'" in problem.message


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
def test_a_source_that_only_an_operator_can_fix_is_announced_once(
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
    container.config_version = "2"
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


def test_a_scope_whose_list_fails_is_polled_build_by_build(container: FakeContainer) -> None:
    container.wait_for(*(build_of(f"{scope}{n}", scope=scope) for scope in ("bad", "good") for n in range(2)))
    container.fake.failures["list_builds bad"] = SourceRejectedError("400")
    container.poll()
    container.fake.set_status("bad1", BuildStatus.SUCCEEDED)
    assert container.poll(seconds=900).released == 1


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
    container.poll(seconds=60)
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
