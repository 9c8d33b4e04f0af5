"""What a poll result means: a status, a failure, the deadline."""

import pytest

from courier.config.settings import PollingSettings
from courier.errors import (
    BuildNotFoundError,
    CourierError,
    SourceUnavailableError,
)
from courier.models import AccountLimits, BuildStatus, NextStep, Outcome
from tests.support.container import FakeContainer
from tests.support.providers import NOON, build_of, passage_of, ref_of, settings_of

DOWN = SourceUnavailableError("insights: get_build timed out waiting for the response")


def outcomes(container: FakeContainer) -> list[Outcome | None]:
    return [payload.outcome for payload in container.stepfunctions.released]


@pytest.mark.parametrize(
    ("status", "artifact", "verdict", "outcome"),
    [
        (BuildStatus.SUCCEEDED, True, NextStep.FETCH, None),
        (BuildStatus.SUCCEEDED, False, NextStep.RECORD, Outcome.SUCCEEDED),
        (BuildStatus.FAILED, False, NextStep.RECORD, Outcome.FAILED),
        (BuildStatus.CANCELED, False, NextStep.RECORD, Outcome.CANCELED),
    ],
)
def test_an_ended_build_releases_its_execution_with_the_payload(
    container: FakeContainer, status: BuildStatus, artifact: bool, verdict: NextStep, outcome: Outcome | None
) -> None:
    container.wait_for(build_of("b1"))
    container.fake.set_status("b1", status, has_artifact=artifact, completed_at=NOON)
    assert container.poll().released == 1
    (payload,) = container.stepfunctions.released
    assert (payload.verdict, payload.outcome, payload.build.status) == (verdict, outcome, status)
    assert (payload.detected_at, payload.polls) == (NOON, 1)
    assert not container.in_flight(ref_of("b1"))


def test_the_payload_of_a_failed_build_has_limits_and_advice(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.fake.limits = AccountLimits(build_size_gb=8)
    container.fake.set_status("b1", BuildStatus.FAILED, error_message="out of memory")
    container.poll()
    (payload,) = container.stepfunctions.released
    assert payload.limits == AccountLimits(build_size_gb=8)
    assert payload.problem is not None
    assert (payload.problem.message, payload.problem.advice) == ("out of memory", "Use less data than 8 GB.")


def test_an_execution_that_does_not_wait_yet_is_released_at_the_next_tick(container: FakeContainer) -> None:
    build = build_of("b1")
    container.fake.put(build)
    container.builds.register(passage_of(build), next_poll_at=NOON)
    container.builds.set_execution(build.ref, "arn", waits=True)
    container.fake.set_status("b1", BuildStatus.FAILED)
    assert container.poll().released == 0
    assert container.fake.counts["account_limits"] == 0
    container.stepfunctions.arrive(build.ref)
    assert container.poll().released == 1


def test_a_build_whose_execution_never_waited_leaves_flight_after_the_grace_period(container: FakeContainer) -> None:
    build = build_of("b1")
    container.fake.put(build)
    container.builds.register(passage_of(build), next_poll_at=NOON)
    container.builds.set_execution(build.ref, "arn", waits=True)
    container.poll(seconds=24 * 3600)
    assert container.in_flight(build.ref)
    container.poll(seconds=3600)
    assert not container.in_flight(build.ref)
    # A redrive of the execution puts it back.
    container.stepfunctions.arrive(build.ref)
    assert container.poll().released == 1


def test_a_build_that_stays_unknown_for_half_an_hour_is_lost(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.fake.known.clear()
    assert [container.poll(seconds=899).released for _ in range(4)] == [0, 0, 0, 1]
    assert outcomes(container) == [Outcome.LOST]
    problem = container.stepfunctions.released[0].problem
    assert problem is not None
    assert problem.name == "BuildNotFoundError"


def test_a_found_build_resets_the_not_found_count(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    missing: list[CourierError] = [BuildNotFoundError("404")] * 2
    container.fake.failures["get_build"] = missing
    for _ in range(3):
        container.poll(seconds=900)
    container.fake.failures["get_build"] = [BuildNotFoundError("404")] * 2
    for _ in range(2):
        container.poll(seconds=900)
    assert outcomes(container) == []


def test_an_unknown_status_waits_and_never_ends_a_build(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.fake.set_status("b1", BuildStatus.UNKNOWN)
    for _ in range(20):
        container.poll(seconds=900)
    assert outcomes(container) == []
    assert container.in_flight(ref_of("b1"))


def test_a_build_past_its_deadline_times_out_without_a_cancel_request(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.poll(seconds=24 * 3600 - 1)
    assert outcomes(container) == []
    container.poll(seconds=120)
    assert outcomes(container) == [Outcome.TIMED_OUT]
    assert container.fake.canceled == []


def test_a_build_past_its_deadline_is_canceled_if_the_settings_say_so(container: FakeContainer) -> None:
    container.use(settings_of(cancel_on_timeout=True))
    container.wait_for(build_of("b1"))
    container.poll(seconds=24 * 3600)
    assert container.fake.canceled == [ref_of("b1")]
    problem = container.stepfunctions.released[0].problem
    assert problem is not None
    assert "asked to cancel" in problem.message


def test_a_failed_cancel_request_does_not_delay_the_outcome(container: FakeContainer) -> None:
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


def test_a_status_that_does_not_change_times_out_if_the_settings_say_so(container: FakeContainer) -> None:
    container.use(settings_of(polling=PollingSettings(stall_after_hours=2)))
    container.wait_for(build_of("b1"))
    container.poll(seconds=7199)
    assert outcomes(container) == []
    container.poll(seconds=900)
    assert outcomes(container) == [Outcome.TIMED_OUT]


def test_a_status_that_has_just_changed_has_not_stalled(container: FakeContainer) -> None:
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


@pytest.mark.long
def test_polls_that_fail_for_days_end_at_the_deadline_with_the_last_error(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.fake.failures["get_build"] = DOWN
    for _ in range(143):
        container.poll(seconds=600)
    assert outcomes(container) == []
    container.poll(seconds=1_200)
    (payload,) = container.stepfunctions.released
    assert payload.outcome is Outcome.TIMED_OUT
    assert payload.problem is not None
    assert str(DOWN) in payload.problem.message


def test_a_timed_out_build_names_the_last_status(container: FakeContainer) -> None:
    container.wait_for(build_of("b1", BuildStatus.QUEUED))
    container.poll(seconds=60)
    container.fake.set_status("b1", BuildStatus.UNKNOWN, provider_status="hibernating")
    container.poll(seconds=900)
    container.poll(seconds=24 * 3600)
    (payload,) = container.stepfunctions.released
    assert payload.problem is not None
    assert "'hibernating'" in payload.problem.message


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


def test_a_failed_limits_request_does_not_delay_the_payload(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.fake.failures["account_limits"] = DOWN
    container.fake.set_status("b1", BuildStatus.FAILED)
    container.poll()
    assert outcomes(container) == [Outcome.FAILED]


@pytest.mark.parametrize(
    ("ended_as", "error_message", "problem"),
    [
        (Outcome.EMPTY, None, "EmptyBuild: the provider reports that the build has ended and left nothing to fetch"),
        (Outcome.EMPTY, "no rows", "EmptyBuild: no rows"),
        (Outcome.LOST, None, "BuildGone: the provider reports that the build, or its file, is no longer there"),
    ],
)
def test_a_build_may_end_in_a_way_that_its_status_does_not_say(
    container: FakeContainer, ended_as: Outcome, error_message: str | None, problem: str
) -> None:
    container.wait_for(build_of("b1"))
    status = BuildStatus.SUCCEEDED if ended_as is Outcome.EMPTY else BuildStatus.FAILED
    container.fake.set_status("b1", status, ended_as=ended_as, error_message=error_message)
    assert container.poll().released == 1
    (payload,) = container.stepfunctions.released
    assert (payload.verdict, payload.outcome) == (NextStep.RECORD, ended_as)
    assert payload.problem is not None
    assert f"{payload.problem.name}: {payload.problem.message}" == problem
    assert "ended_as" not in payload.model_dump_json()


def test_the_provider_may_move_the_next_poll_later_and_never_earlier(container: FakeContainer) -> None:
    def next_poll(retry_after_seconds: float | None) -> str | None:
        build_id = f"b{retry_after_seconds}"
        container.wait_for(build_of(build_id))
        container.fake.set_status(build_id, BuildStatus.RUNNING, retry_after_seconds=retry_after_seconds)
        container.poll()
        row = container.builds.find(ref_of(build_id))
        assert row is not None
        return row.next_poll_at

    usual = next_poll(None)
    assert usual is not None
    assert next_poll(5.0) == usual
    later = next_poll(1200.0)
    assert later == "2026-04-15T12:20:00.000Z"
    assert next_poll(10.0**9) == "2026-04-15T13:00:00.000Z", "an hour at most"


def test_a_poll_is_not_moved_beyond_the_deadline(container: FakeContainer) -> None:
    container.fake.settings = settings_of(polling=PollingSettings(give_up_after_hours=0.5))
    container.wait_for(build_of("b1"))
    container.fake.set_status("b1", BuildStatus.RUNNING, retry_after_seconds=3600.0)
    container.poll()
    row = container.builds.find(ref_of("b1"))
    assert row is not None
    assert row.next_poll_at is not None
    assert row.next_poll_at <= row.deadline_at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
