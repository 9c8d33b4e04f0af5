from datetime import timedelta

import pytest
from botocore.exceptions import ClientError

from courier.errors import (
    BuildNotFoundError,
    SourceRejectedError,
    SourceThrottledError,
    SourceUnauthorizedError,
    SourceUnavailableError,
)
from courier.ledger.table import Change
from courier.models import BuildStatus, NextStep, Outcome
from tests.support.container import FakeContainer
from tests.support.providers import HOUR, NOON, build_of, passage_of, ref_of, settings_of

DAY = timedelta(days=1)


def begun(container: FakeContainer) -> list[str]:
    return [passage.build.ref.build_id for passage in container.stepfunctions.passages()]


def test_a_new_build_gets_one_execution_however_often_it_is_seen(container: FakeContainer) -> None:
    container.fake.put(build_of("b1"))
    assert [container.discover() for _ in range(3)] == [1, 0, 0]
    assert begun(container) == ["b1"]
    row = container.builds.find(ref_of("b1"))
    assert row is not None
    assert row.execution is not None
    assert row.next_poll_at is not None


def test_a_running_build_is_waited_for(container: FakeContainer) -> None:
    container.fake.put(build_of("b1"))
    container.discover()
    (passage,) = container.stepfunctions.passages()
    assert (passage.verdict, passage.outcome, passage.detected_at) == (NextStep.WAIT, None, None)
    assert passage.wait_seconds == 24 * 3600


@pytest.mark.parametrize("leaves", [True, False])
def test_the_passage_says_whether_the_build_can_leave_a_report(container: FakeContainer, leaves: bool) -> None:
    container.fake.leaves_reports = leaves  # type: ignore[misc]  # tests want both kinds
    container.fake.put(build_of("b1"))
    container.discover()
    (passage,) = container.stepfunctions.passages()
    assert passage.leaves_report is leaves


def test_a_build_that_has_ended_already_skips_the_wait_and_is_never_polled(container: FakeContainer) -> None:
    container.discover()
    container.fake.put(build_of("b1", BuildStatus.SUCCEEDED, completed=NOON, has_artifact=True))
    container.discover()
    (passage,) = container.stepfunctions.passages()
    assert (passage.verdict, passage.detected_at) == (NextStep.FETCH, NOON)
    assert container.poll(seconds=3600).due == 0


def test_builds_begin_in_the_order_of_their_making(container: FakeContainer) -> None:
    container.fake.put(
        build_of("new", created=NOON), build_of("old", created=NOON - HOUR), build_of("undated", created=None)
    )
    container.discover()
    assert begun(container) == ["undated", "old", "new"]


def test_what_had_ended_before_the_first_sight_is_history(container: FakeContainer) -> None:
    container.fake.put(build_of("history", BuildStatus.FAILED, completed=NOON - HOUR))
    assert container.discover() == 0
    assert container.builds.find(ref_of("history")) is None


def test_backfill_takes_in_so_many_hours_of_history(container: FakeContainer) -> None:
    container.use(settings_of(backfill_hours=2))
    container.fake.put(
        build_of("recent", BuildStatus.SUCCEEDED, completed=NOON - HOUR),
        build_of("history", BuildStatus.SUCCEEDED, completed=NOON - 3 * HOUR),
    )
    container.discover()
    assert begun(container) == ["recent"]


def test_what_ends_between_two_discoveries_is_no_history(container: FakeContainer) -> None:
    container.discover()
    container.manual_clock.advance(300)
    container.fake.put(build_of("quick", BuildStatus.FAILED, created=NOON + HOUR / 30, completed=NOON + HOUR / 20))
    container.discover()
    assert begun(container) == ["quick"]


def test_a_running_build_is_looked_after_however_old_it_is(container: FakeContainer) -> None:
    container.fake.put(build_of("old", created=NOON - 30 * DAY))
    container.discover()
    assert begun(container) == ["old"]


def test_an_ended_build_beyond_the_horizon_is_left_alone_for_ever(container: FakeContainer) -> None:
    container.discover()
    container.manual_clock.advance(201 * 24 * 3600)
    container.fake.put(build_of("forgotten", BuildStatus.SUCCEEDED, created=NOON, completed=NOON + DAY))
    assert container.discover() == 0


def test_a_running_build_is_waited_for_however_old_it_says_it_is(container: FakeContainer) -> None:
    container.fake.put(build_of("ancient", created=NOON - 201 * DAY), build_of("zero", created=NOON.replace(year=1)))
    assert container.discover() == 2


def test_an_unknown_word_with_a_time_of_completion_is_history_too(container: FakeContainer) -> None:
    container.fake.put(
        build_of("expired", BuildStatus.UNKNOWN, completed=NOON - DAY), build_of("new", BuildStatus.UNKNOWN)
    )
    container.discover()
    assert begun(container) == ["new"]


def test_a_build_without_any_time_is_begun_once(container: FakeContainer) -> None:
    container.fake.put(build_of("undated", BuildStatus.SUCCEEDED, created=None))
    assert [container.discover(), container.discover()] == [1, 0]


def test_a_failed_build_brings_its_problem(container: FakeContainer) -> None:
    container.discover()
    container.fake.put(build_of("b1", BuildStatus.FAILED, completed=NOON, error_message="no memory"))
    container.discover()
    (passage,) = container.stepfunctions.passages()
    assert passage.outcome is Outcome.FAILED
    assert passage.problem is not None
    assert passage.problem.message == "no memory"


def test_a_crash_between_row_and_execution_is_healed_by_the_next_discovery(container: FakeContainer) -> None:
    container.fake.put(build_of("b1"))
    container.stepfunctions.failures = [ClientError({"Error": {"Code": "ThrottlingException"}}, "StartExecution")]
    with pytest.raises(ClientError):
        container.discover()
    assert begun(container) == []
    container.discover()
    assert begun(container) == ["b1"]


def test_a_crash_between_row_and_execution_is_healed_by_the_poller(container: FakeContainer) -> None:
    container.fake.put(build_of("b1"))
    container.stepfunctions.failures = [ClientError({"Error": {"Code": "ThrottlingException"}}, "StartExecution")]
    with pytest.raises(ClientError):
        container.discover()
    container.poll(seconds=120)
    assert begun(container) == ["b1"]


def test_an_execution_that_runs_already_is_noted(container: FakeContainer) -> None:
    container.fake.put(build_of("b1"))
    container.discover()
    (passage,) = container.stepfunctions.executions.values()
    # As it is when the function was killed before it had noted the execution.
    container.table.update(str(ref_of("b1")), Change(set={"passage": passage}, remove=("execution",)))
    container.discover()
    assert begun(container) == ["b1"]
    row = container.builds.find(ref_of("b1"))
    assert row is not None
    assert (row.execution or "").startswith("arn:aws:states:eu-central-1:123456789012:execution:build-courier")


def test_an_ended_build_is_not_started_again(container: FakeContainer) -> None:
    container.fake.put(build_of("b1"))
    container.builds.register(passage_of(), next_poll_at=NOON)
    container.builds.close(ref_of("b1"), Outcome.SUCCEEDED, record_key="k", build={})
    container.discover()
    assert begun(container) == []


def test_a_row_that_cannot_be_read_is_known_all_the_same(container: FakeContainer) -> None:
    container.fake.put(build_of("b1"), build_of("b2"))
    container.builds.register(passage_of(build_of("b1")), next_poll_at=NOON)
    container.table.update(str(ref_of("b1")), Change(set={"outcome": "an outcome of tomorrow"}))
    assert container.discover() == 1
    assert begun(container) == ["b2"]


@pytest.mark.parametrize(
    "error", [BuildNotFoundError("404"), SourceRejectedError("400"), SourceUnauthorizedError("403")]
)
@pytest.mark.parametrize("broken", ["a", "b"])
def test_one_broken_scope_does_not_stop_the_others(
    container: FakeContainer, error: SourceRejectedError, broken: str
) -> None:
    container.fake.scope_names = ("a", "b", "c")
    container.fake.put(*(build_of(scope, scope=scope) for scope in "abc"))
    container.fake.failures[f"list_builds {broken}"] = error
    assert container.discover() == 2


@pytest.mark.parametrize("error", [SourceUnavailableError("down"), SourceThrottledError("429")])
def test_a_source_that_is_down_is_not_asked_scope_by_scope(
    container: FakeContainer, error: SourceUnavailableError
) -> None:
    container.fake.scope_names = ("a", "b", "c")
    container.fake.failures["list_builds"] = error
    with pytest.raises(type(error)):
        container.discover()
    assert container.fake.calls == ["scopes", "list_builds a"]


def test_a_dead_key_is_not_tried_on_every_scope(container: FakeContainer) -> None:
    container.fake.scope_names = tuple("abcdefgh")
    container.fake.failures["list_builds"] = SourceUnauthorizedError("401")
    with pytest.raises(SourceUnauthorizedError):
        container.discover()
    assert container.fake.counts["list_builds"] == 3


def test_scopes_that_time_did_not_suffice_for_have_their_turn(container: FakeContainer) -> None:
    container.fake.scope_names = ("a", "b", "c", "d", "e")
    for _ in range(3):
        container.discover(scopes_left=2)
    assert [call for call in container.fake.calls if call != "scopes"] == [
        f"list_builds {scope}" for scope in ("a", "b", "c", "d", "e", "a")
    ]


def test_a_scope_that_is_gone_meanwhile_does_not_hold_up_the_turn(container: FakeContainer) -> None:
    container.fake.scope_names = ("a", "b", "c")
    container.discover(scopes_left=1)
    container.fake.scope_names = ("a", "c")
    container.discover()
    assert container.fake.calls[-2:] == ["list_builds a", "list_builds c"]
    assert container.source_ledger.state("insights").next_scope is None


def test_a_provider_that_cannot_list_is_not_asked(container: FakeContainer) -> None:
    container.fake.forget_how_to_list()
    assert container.discover() is None
    assert container.fake.calls == []


def test_the_same_id_in_two_scopes_is_two_builds(container: FakeContainer) -> None:
    container.fake.scope_names = ("a", "b")
    container.fake.put(build_of("b1", scope="a"), build_of("b1", scope="b"))
    assert container.discover() == 2


def test_a_passage_that_nobody_can_read_does_not_stop_the_others(container: FakeContainer) -> None:
    container.fake.put(build_of("poisoned"), build_of("sound"))
    container.builds.register(passage_of(build_of("poisoned")), next_poll_at=NOON)
    container.table.update(str(ref_of("poisoned")), Change(set={"passage": "{"}))
    assert container.discover() == 1


def test_the_list_tells_the_end_of_known_builds_too(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"), build_of("b2"))
    container.fake.set_status("b1", BuildStatus.SUCCEEDED)
    container.discover()
    assert [news.build.ref.build_id for news in container.stepfunctions.released] == ["b1"]
    assert [container.in_flight(ref_of(build_id)) for build_id in ("b1", "b2")] == [False, True]
