"""What a tick of the poller does when all is well: claims, calls, and releases."""

from datetime import timedelta

import pytest

from courier.builds.poll_run import TickSummary
from courier.ledger import BuildLedger
from courier.ledger.table import Change
from courier.models import AccountLimits, BuildStatus, Outcome, Verdict
from tests.fakes import NOON, build_of, passage_of, ref_of, settings_of
from tests.world import World

MINUTE = timedelta(minutes=1)


def test_an_idle_tick_asks_nobody(world: World) -> None:
    assert world.tick() == TickSummary()
    assert world.provider.calls == []


def test_the_only_due_build_of_a_scope_is_asked_for_alone(world: World) -> None:
    world.wait_for(build_of("b1"))
    world.tick()
    assert world.provider.calls == ["get_build b1"]


def test_several_due_builds_of_a_scope_are_asked_for_in_one_call(world: World) -> None:
    world.wait_for(*(build_of(f"b{number}") for number in range(5)), build_of("other", scope="people"))
    world.tick()
    assert sorted(world.provider.calls) == ["get_build other", "list_builds sales"]


def test_builds_are_asked_for_singly_where_nothing_can_be_listed(world: World) -> None:
    world.provider.forget_how_to_list()
    world.wait_for(build_of("b1"), build_of("b2"))
    world.tick()
    assert world.provider.calls == ["get_build b1", "get_build b2"]


def test_a_build_that_the_list_leaves_out_is_asked_for_alone(world: World) -> None:
    world.wait_for(build_of("b1"), build_of("b2"))
    world.provider.unlisted.add("b2")
    world.tick()
    assert world.provider.calls == ["list_builds sales", "get_build b2"]


def test_a_running_build_waits_on_until_its_next_look(world: World) -> None:
    world.wait_for(build_of("b1"))
    world.tick()
    assert world.stepfunctions.released == []
    assert world.tick(seconds=1).due == 0
    assert world.tick(seconds=120).looked == 1


@pytest.mark.parametrize(
    ("status", "artifact", "verdict", "outcome"),
    [
        (BuildStatus.SUCCEEDED, True, Verdict.FETCH, None),
        (BuildStatus.SUCCEEDED, False, Verdict.RECORD, Outcome.SUCCEEDED),
        (BuildStatus.FAILED, False, Verdict.RECORD, Outcome.FAILED),
        (BuildStatus.CANCELED, False, Verdict.RECORD, Outcome.CANCELED),
    ],
)
def test_an_ended_build_releases_its_execution_with_the_news(
    world: World, status: BuildStatus, artifact: bool, verdict: Verdict, outcome: Outcome | None
) -> None:
    world.wait_for(build_of("b1"))
    world.provider.set_status("b1", status, has_artifact=artifact, completed_at=NOON)
    assert world.tick().released == 1
    (news,) = world.stepfunctions.released
    assert (news.verdict, news.outcome, news.build.status) == (verdict, outcome, status)
    assert (news.detected_at, news.polls) == (NOON, 1)
    assert not world.in_flight(ref_of("b1"))


def test_a_build_is_released_once(world: World) -> None:
    world.wait_for(build_of("b1"), build_of("b2"))
    world.provider.set_status("b1", BuildStatus.SUCCEEDED)
    for _ in range(5):
        world.tick(seconds=120)
    assert [news.build.ref.build_id for news in world.stepfunctions.released] == ["b1"]


def test_a_failed_build_brings_limits_and_advice(world: World) -> None:
    world.wait_for(build_of("b1"))
    world.provider.limits = AccountLimits(build_size_gb=8)
    world.provider.set_status("b1", BuildStatus.FAILED, error_message="out of memory")
    world.tick()
    (news,) = world.stepfunctions.released
    assert news.limits == AccountLimits(build_size_gb=8)
    assert news.problem is not None
    assert (news.problem.message, news.problem.advice) == ("out of memory", "Use less data than 8 GB.")


def test_the_next_look_is_written_before_the_provider_is_asked(world: World) -> None:
    world.wait_for(build_of("b1"))
    seen: list[bool] = []
    world.provider.on_call = lambda _: seen.append(bool(world.builds.due("insights", limit=10)))
    world.tick()
    assert seen == [False]


def test_two_pollers_at_once_release_once(world: World) -> None:
    world.wait_for(build_of("b1"))
    world.provider.set_status("b1", BuildStatus.SUCCEEDED)
    nested: list[TickSummary] = []
    world.provider.on_call = lambda _: nested.append(world.tick()) if not nested else None
    first = world.tick()
    assert (first.released, [tick.released for tick in nested]) == (1, [0])
    assert len(world.stepfunctions.released) == 1
    assert world.provider.calls == ["get_build b1"]


def test_new_builds_in_the_list_are_begun_by_the_poller(world: World) -> None:
    world.wait_for(build_of("b1"), build_of("b2"))
    world.provider.put(build_of("new"))
    assert world.tick().begun == 1
    assert len(world.stepfunctions.executions) == 1


def test_an_execution_that_does_not_wait_yet_is_tried_again_at_the_next_tick(world: World) -> None:
    build = build_of("b1")
    world.provider.put(build)
    world.builds.register(passage_of(build), next_poll_at=NOON)
    world.builds.note_execution(build.ref, "arn", waits=True)
    world.provider.set_status("b1", BuildStatus.FAILED)
    assert world.tick().released == 0
    assert world.provider.counts["account_limits"] == 0
    world.stepfunctions.arrive(build.ref)
    assert world.tick().released == 1


def test_an_execution_that_never_waited_is_not_asked_about_for_ever(world: World) -> None:
    build = build_of("b1")
    world.provider.put(build)
    world.builds.register(passage_of(build), next_poll_at=NOON)
    world.builds.note_execution(build.ref, "arn", waits=True)
    world.tick(seconds=24 * 3600)
    assert world.in_flight(build.ref)
    world.tick(seconds=3600)
    assert not world.in_flight(build.ref)
    # A redrive of the execution puts it back.
    world.stepfunctions.arrive(build.ref)
    assert world.tick().released == 1


def test_a_build_whose_execution_was_not_started_gets_it(world: World) -> None:
    build = build_of("b1")
    world.provider.put(build)
    world.builds.register(passage_of(build), next_poll_at=NOON)
    world.tick()
    assert [passage.build.ref for passage in world.stepfunctions.passages()] == [build.ref]


def test_an_ended_build_whose_execution_was_not_started_gets_it_and_no_look(world: World) -> None:
    build = build_of("request-1", BuildStatus.UNKNOWN)
    passage = passage_of(build, Verdict.RECORD, outcome=Outcome.EMPTY, detected_at=NOON)
    world.builds.register(passage, next_poll_at=NOON)
    world.tick()
    assert world.stepfunctions.passages() == [passage]
    assert world.provider.calls == []
    assert not world.in_flight(build.ref)


def test_a_task_that_is_gone_takes_its_build_out_of_flight(world: World) -> None:
    world.wait_for(build_of("b1"))
    world.stepfunctions.waiting.clear()
    world.provider.set_status("b1", BuildStatus.SUCCEEDED)
    assert world.tick().released == 0
    assert not world.in_flight(ref_of("b1"))


def test_a_poller_killed_after_the_release_is_repaired_by_the_next_tick(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.wait_for(build_of("b1"))
    world.provider.set_status("b1", BuildStatus.SUCCEEDED)

    def killed(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(BuildLedger, "note_released", killed)
        with pytest.raises(KeyboardInterrupt):
            world.tick()
    assert world.in_flight(ref_of("b1"))
    assert world.tick(seconds=900).released == 0
    assert not world.in_flight(ref_of("b1"))
    assert len(world.stepfunctions.released) == 1


def test_a_wait_entered_again_during_the_release_is_not_forgotten(world: World) -> None:
    world.wait_for(build_of("b1"))
    world.provider.set_status("b1", BuildStatus.SUCCEEDED)

    def redrive() -> None:
        world.stepfunctions.waiting.clear()
        world.stepfunctions.arrive(ref_of("b1"), "token of the redrive")
        world.stepfunctions.before_release = lambda: None

    world.stepfunctions.before_release = redrive
    assert world.tick().released == 0
    assert world.in_flight(ref_of("b1"))
    assert world.tick(seconds=900).released == 1


def test_an_end_that_goes_backwards_changes_nothing(world: World) -> None:
    world.wait_for(build_of("b1"), build_of("b2"))
    world.provider.set_status("b1", BuildStatus.SUCCEEDED)
    world.tick()
    world.provider.set_status("b1", BuildStatus.RUNNING)
    for _ in range(3):
        world.tick(seconds=900)
        world.discover()
    assert len(world.stepfunctions.released) == 1
    assert not world.in_flight(ref_of("b1"))
    assert world.stepfunctions.executions == {}


def test_what_time_does_not_suffice_for_stays_due(world: World) -> None:
    world.provider.forget_how_to_list()
    world.wait_for(*(build_of(f"b{number}") for number in range(5)))
    asked = [0]

    def time_is_up() -> bool:
        return world.provider.counts["get_build"] >= 2

    asked[0] = world.tick(time_is_up=time_is_up).looked
    assert asked == [2]
    # The others are still due, now, and come first.
    assert [due.ref.build_id for due in world.builds.due("insights", limit=10)] == ["b2", "b3", "b4"]


def test_what_time_does_not_suffice_for_after_a_list_is_due_again(world: World) -> None:
    world.wait_for(*(build_of(f"b{number}") for number in range(4)))
    world.provider.unlisted |= {"b1", "b2", "b3"}
    world.tick(time_is_up=lambda: world.provider.counts["get_build"] >= 1)
    assert world.provider.calls == ["list_builds sales", "get_build b1"]
    assert {due.ref.build_id for due in world.builds.due("insights", limit=10)} == {"b2", "b3"}


def test_a_poisoned_row_does_not_stop_the_tick(world: World) -> None:
    world.wait_for(build_of("poisoned"), build_of("worse"), build_of("sound"))
    world.table.update(str(ref_of("poisoned")), Change(set={"outcome": "an outcome of tomorrow"}))
    world.table.update(str(ref_of("worse")), Change(set={"deadline_at": "never"}))
    world.provider.set_status("sound", BuildStatus.SUCCEEDED)
    assert world.tick().released == 1


def test_a_row_with_a_passage_that_nobody_can_read_does_not_stop_the_tick(world: World) -> None:
    build = build_of("poisoned")
    world.builds.register(passage_of(build), next_poll_at=NOON)
    world.table.update(str(build.ref), Change(set={"passage": "{"}))
    world.wait_for(build_of("sound"))
    world.provider.set_status("sound", BuildStatus.SUCCEEDED)
    assert world.tick().released == 1


def test_a_source_that_rests_is_not_asked(world: World) -> None:
    world.wait_for(build_of("b1"))
    world.sources.note_failure("insights", rest=MINUTE, seen=5)
    world.tick()
    assert world.provider.calls == []
    world.tick(seconds=60)
    assert world.provider.calls == ["get_build b1"]


def test_settings_of_another_source_do_not_matter(world: World) -> None:
    world.wait_for(build_of("b1"))
    world.use(settings_of("red-team"))
    assert world.tick().due == 0
