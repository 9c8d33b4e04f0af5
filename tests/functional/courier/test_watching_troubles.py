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
from tests.fakes import NOON, build_of, ref_of, settings_of
from tests.world import World

DOWN = SourceUnavailableError("insights: get_build timed out waiting for the response")
FORBIDDEN = SourceUnauthorizedError("insights: get_build returned 401")


def outcomes(world: World) -> list[Outcome | None]:
    return [news.outcome for news in world.stepfunctions.released]


def test_a_build_not_found_three_times_in_a_row_is_lost(world: World) -> None:
    world.wait_for(build_of("b1"))
    world.provider.known.clear()
    assert [world.tick(seconds=900).released for _ in range(3)] == [0, 0, 1]
    assert outcomes(world) == [Outcome.LOST]
    problem = world.stepfunctions.released[0].problem
    assert problem is not None
    assert problem.name == "BuildNotFoundError"


def test_a_build_found_again_starts_the_count_anew(world: World) -> None:
    world.wait_for(build_of("b1"))
    missing: list[CourierError] = [BuildNotFoundError("404")] * 2
    world.provider.failures["get_build"] = missing
    for _ in range(3):
        world.tick(seconds=900)
    world.provider.failures["get_build"] = [BuildNotFoundError("404")] * 2
    for _ in range(2):
        world.tick(seconds=900)
    assert outcomes(world) == []


def test_an_unknown_build_says_nothing_about_the_source(world: World) -> None:
    world.wait_for(build_of("b1"))
    world.provider.known.clear()
    world.tick()
    assert world.sources.state("insights").failures == 0


def test_a_scope_that_is_gone_is_asked_for_build_by_build(world: World) -> None:
    world.wait_for(build_of("b1"), build_of("b2"))
    world.provider.failures["list_builds"] = BuildNotFoundError("404")
    world.provider.set_status("b2", BuildStatus.SUCCEEDED)
    assert world.tick().released == 1


def test_an_unknown_status_waits_and_never_ends_a_build(world: World) -> None:
    world.wait_for(build_of("b1"))
    world.provider.set_status("b1", BuildStatus.UNKNOWN)
    for _ in range(20):
        world.tick(seconds=900)
    assert outcomes(world) == []
    assert world.in_flight(ref_of("b1"))


def test_a_build_past_its_deadline_is_timed_out_and_left_alone(world: World) -> None:
    world.wait_for(build_of("b1"))
    world.tick(seconds=24 * 3600 - 1)
    assert outcomes(world) == []
    world.tick(seconds=120)
    assert outcomes(world) == [Outcome.TIMED_OUT]
    assert world.provider.canceled == []


def test_a_build_past_its_deadline_is_canceled_where_the_source_says_so(world: World) -> None:
    world.use(settings_of(cancel_on_timeout=True))
    world.wait_for(build_of("b1"))
    world.tick(seconds=24 * 3600)
    assert world.provider.canceled == [ref_of("b1")]
    problem = world.stepfunctions.released[0].problem
    assert problem is not None
    assert "asked to cancel" in problem.message


def test_a_cancel_that_fails_does_not_hold_up_the_outcome(world: World) -> None:
    world.use(settings_of(cancel_on_timeout=True))
    world.wait_for(build_of("b1"))
    world.provider.failures["cancel_build"] = DOWN
    world.tick(seconds=24 * 3600)
    assert outcomes(world) == [Outcome.TIMED_OUT]


def test_a_build_that_ended_at_its_deadline_has_ended(world: World) -> None:
    world.wait_for(build_of("b1"))
    world.provider.set_status("b1", BuildStatus.SUCCEEDED)
    world.tick(seconds=24 * 3600)
    assert outcomes(world) == [Outcome.SUCCEEDED]


def test_a_build_whose_provider_is_down_past_the_deadline_is_timed_out(world: World) -> None:
    world.wait_for(build_of("b1"))
    world.provider.failures["get_build"] = DOWN
    world.tick(seconds=24 * 3600)
    assert outcomes(world) == [Outcome.TIMED_OUT]


def test_a_build_that_does_not_move_is_given_up_where_the_source_says_so(world: World) -> None:
    world.use(settings_of(polling=PollingSettings(stall_after_hours=2)))
    world.wait_for(build_of("b1"))
    world.tick(seconds=7199)
    assert outcomes(world) == []
    world.tick(seconds=900)
    assert outcomes(world) == [Outcome.TIMED_OUT]


def test_a_build_that_moved_just_now_has_not_stalled(world: World) -> None:
    world.use(settings_of(polling=PollingSettings(stall_after_hours=2)))
    world.wait_for(build_of("b1", BuildStatus.QUEUED))
    world.provider.set_status("b1", BuildStatus.RUNNING)
    world.tick(seconds=7300)
    assert outcomes(world) == []


def test_a_build_that_fails_to_be_looked_at_for_too_long_is_lost(world: World) -> None:
    world.use(settings_of(polling=PollingSettings(give_up_after_hours=8_000)))
    world.wait_for(build_of("b1"))
    row = world.builds.find(ref_of("b1"))
    assert row is not None
    for _ in range(FAILURES_BEFORE_LOST - 1):
        world.builds.note_miss(row, not_found=False)
    world.provider.failures["get_build"] = DOWN
    world.tick()
    assert outcomes(world) == [Outcome.LOST]


def test_a_dead_provider_costs_one_failing_call_a_tick(world: World) -> None:
    world.wait_for(*(build_of(f"b{n}", scope=f"scope-{n % 3}") for n in range(9)), build_of("alone", scope="x"))
    world.provider.failures |= {"list_builds": DOWN, "get_build": DOWN}
    world.tick()
    assert len(world.provider.calls) == 1


def test_builds_that_were_not_asked_for_count_no_failure(world: World) -> None:
    world.provider.forget_how_to_list()
    world.wait_for(build_of("b1"), build_of("b2"))
    world.provider.failures["get_build"] = DOWN
    world.tick()
    rows = world.builds.find_many([ref_of("b1"), ref_of("b2")])
    assert sorted(row.failures for row in rows.values() if row) == [0, 1]


def test_a_source_that_is_down_rests_longer_each_time_and_is_asked_again(world: World) -> None:
    world.wait_for(build_of("b1"))
    world.provider.failures["get_build"] = DOWN
    for _ in range(3):
        world.tick(seconds=900)
    first = world.sources.state("insights").rest_until
    assert first == world.clock() + timedelta(minutes=1)
    asked = len(world.provider.calls)
    world.tick(seconds=30)
    assert len(world.provider.calls) == asked
    world.tick(seconds=900)
    assert world.sources.state("insights").rest_until == world.clock() + timedelta(minutes=2)
    world.provider.failures.clear()
    world.tick(seconds=900)
    state = world.sources.state("insights")
    assert (state.failures, state.rest_until) == (0, None)
    assert world.published == []


def test_one_build_with_a_senseless_answer_does_not_stop_the_others(world: World) -> None:
    world.provider.forget_how_to_list()
    world.wait_for(build_of("a-bad"), build_of("b1"), build_of("b2"))
    world.provider.failures["get_build a-bad"] = SourceProtocolError("no usable job")
    world.provider.set_status("b2", BuildStatus.SUCCEEDED)
    assert world.tick().released == 1
    assert world.sources.state("insights").failures == 0
    row = world.builds.find(ref_of("a-bad"))
    assert row is not None
    assert row.failures == 1


def test_one_build_that_is_refused_does_not_stop_the_others(world: World) -> None:
    world.provider.forget_how_to_list()
    world.wait_for(build_of("a-bad"), build_of("b1"))
    world.provider.failures["get_build a-bad"] = SourceRejectedError("400")
    world.provider.set_status("b1", BuildStatus.SUCCEEDED)
    assert world.tick().released == 1


def test_one_build_that_always_fails_does_not_starve_the_others(world: World) -> None:
    world.provider.forget_how_to_list()
    world.wait_for(build_of("a-bad"), *(build_of(f"b{n}") for n in range(3)))
    world.provider.failures["get_build a-bad"] = DOWN
    for n in range(3):
        world.provider.set_status(f"b{n}", BuildStatus.SUCCEEDED)
    for _ in range(4):
        world.tick(seconds=60)
    assert len(world.stepfunctions.released) == 3


def test_a_source_that_answers_only_nonsense_is_down(world: World) -> None:
    world.wait_for(build_of("b1"))
    world.provider.failures["get_build"] = SourceProtocolError("something that is not JSON")
    world.tick()
    assert world.sources.state("insights").failures == 1


def test_a_broken_scope_does_not_stop_the_others(world: World) -> None:
    world.wait_for(*(build_of(f"{scope}{n}", scope=scope) for scope in ("bad", "good") for n in range(2)))
    world.provider.failures["list_builds bad"] = SourceRejectedError("400")
    world.provider.set_status("good1", BuildStatus.SUCCEEDED)
    assert world.tick().released == 1


@pytest.mark.parametrize(
    "error", [FORBIDDEN, SourceExhaustedError("out of credits"), SettingsError("secret x does not exist")]
)
def test_a_source_that_only_an_operator_can_heal_is_announced_once(world: World, error: CourierError) -> None:
    world.wait_for(build_of("b1"), build_of("b2"))
    world.provider.failures["list_builds"] = error
    for _ in range(5):
        world.tick(seconds=900)
    (notice,) = world.published
    assert notice.attributes["health"]["StringValue"] == "ill"
    assert type(error).__name__ in notice.message["email"]
    assert world.sources.state("insights").rest_until == world.clock() + timedelta(minutes=15)
    assert outcomes(world) == []


def test_a_source_that_is_well_again_is_announced_once(world: World) -> None:
    world.wait_for(build_of("b1"))
    world.provider.failures["get_build"] = [FORBIDDEN]
    for _ in range(4):
        world.tick(seconds=900)
    assert [notice.attributes["health"]["StringValue"] for notice in world.published] == ["ill", "well"]


def test_a_dead_key_says_nothing_about_the_builds(world: World) -> None:
    world.wait_for(build_of("b1"))
    world.provider.failures["get_build"] = FORBIDDEN
    world.tick()
    row = world.builds.find(ref_of("b1"))
    assert row is not None
    assert (row.failures, row.not_found) == (0, 0)


def test_a_forbidden_scope_among_others_is_no_illness(world: World) -> None:
    world.wait_for(*(build_of(f"{scope}{n}", scope=scope) for scope in ("closed", "open") for n in range(2)))
    world.provider.failures["list_builds closed"] = FORBIDDEN
    world.provider.set_status("open0", BuildStatus.SUCCEEDED)
    assert world.tick().released == 1
    assert world.published == []


def test_a_dead_key_is_not_tried_on_every_scope(world: World) -> None:
    world.wait_for(*(build_of(f"b{n}", scope=f"scope-{n}") for n in range(9)))
    world.provider.failures["get_build"] = FORBIDDEN
    world.tick()
    assert len(world.provider.calls) == 3
    assert len(world.published) == 1


@pytest.mark.parametrize(("asked_for", "rest_seconds"), [(120, 120), (None, 60), (86_400, 3600), (1e300, 3600)])
def test_a_throttled_source_rests_as_long_as_it_asks_for(
    world: World, asked_for: float | None, rest_seconds: int
) -> None:
    world.wait_for(*(build_of(f"b{n}", scope=f"scope-{n}") for n in range(3)))
    world.provider.failures["get_build"] = SourceThrottledError("429", retry_after_seconds=asked_for)
    world.tick()
    assert len(world.provider.calls) == 1
    assert world.sources.state("insights").rest_until == NOON + timedelta(seconds=rest_seconds)
    world.tick(seconds=rest_seconds - 1)
    assert len(world.provider.calls) == 1


def test_limits_that_cannot_be_read_do_not_delay_the_news(world: World) -> None:
    world.wait_for(build_of("b1"))
    world.provider.failures["account_limits"] = DOWN
    world.provider.set_status("b1", BuildStatus.FAILED)
    world.tick()
    assert outcomes(world) == [Outcome.FAILED]
