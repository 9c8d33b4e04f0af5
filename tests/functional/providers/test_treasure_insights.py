"""Treasure Insights as documented, over a real connection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import pytest

from courier.errors import (
    BuildNotFoundError,
    RequestUncertainError,
    SourceThrottledError,
    SourceUnauthorizedError,
    SourceUnavailableError,
)
from courier.models import AccountLimits, BuildRef, BuildStatus
from local.simulator import (
    HTML_PAGE,
    ErrorStatus,
    FloodList,
    ManualClock,
    ProviderName,
    ReorderItems,
    Reply,
    RequestKind,
    SetFields,
    Unanswered,
)
from tests.functional.providers.conftest import scenario
from tests.functional.providers.world import BUILD_WISH, MODEL, OTHER_MODEL, World


def test_a_build_goes_through_its_statuses(world: World) -> None:
    insights = world.insights()
    ref = insights.start_build(BUILD_WISH).ref
    statuses = []
    for seconds in (0, 10, 60):
        world.clock.advance(seconds)
        statuses.append(insights.get_build(ref).status)
    assert statuses == [BuildStatus.QUEUED, BuildStatus.RUNNING, BuildStatus.SUCCEEDED]


@pytest.mark.parametrize("unset_times", ["null", "absent"])
def test_times_that_did_not_come_yet_are_none(
    make_world: Callable[..., World], unset_times: Literal["null", "absent"]
) -> None:
    played = scenario()
    world = make_world(played=replace(played, treasure=replace(played.treasure, unset_times=unset_times)))
    build = world.insights().start_build(BUILD_WISH)
    build = world.insights().get_build(build.ref)
    assert build.created_at is not None
    assert (build.started_at, build.completed_at) == (None, None)


def test_the_whole_history_comes_in_any_order(world: World) -> None:
    insights = world.insights()
    refs = {insights.start_build(BUILD_WISH).ref for _ in range(5)}
    world.break_with(ReorderItems(), RequestKind.LIST_BUILDS, times=None)
    assert {build.ref for build in insights.list_builds(MODEL)} == refs
    assert insights.list_builds(OTHER_MODEL) == []


def test_a_history_of_thousands_is_read(world: World) -> None:
    insights = world.insights()
    insights.start_build(BUILD_WISH)
    world.break_with(FloodList(5_000), RequestKind.LIST_BUILDS)
    assert len(insights.list_builds(MODEL)) == 5_001


def test_one_wrong_build_hides_no_other(world: World) -> None:
    insights = world.insights()
    wrong, right = (insights.start_build(BUILD_WISH).ref for _ in range(2))
    world.break_with(SetFields({"status": 5}, build_id=wrong.build_id), RequestKind.LIST_BUILDS)
    assert [build.ref for build in insights.list_builds(MODEL)] == [right]


def test_all_data_models_are_the_scopes(world: World) -> None:
    assert set(world.insights().scopes()) == {MODEL, OTHER_MODEL}


def test_the_accounts_limits_are_read(world: World) -> None:
    assert world.insights(account_id=1234).account_limits() == AccountLimits(build_size_gb=8, query_size_gb=4)


def test_an_unknown_model_is_not_found(world: World) -> None:
    with pytest.raises(BuildNotFoundError, match=r"insights: list_builds returned 404: .*datamodel not found"):
        world.insights().list_builds("00000000-0000-0000-0000-000000000000")


@pytest.mark.parametrize(("key", "status"), [("1/wrong", 401), ("1/weakling", 403)])
def test_a_wrong_or_weak_key_is_unauthorized(world: World, key: str, status: int) -> None:
    with pytest.raises(SourceUnauthorizedError, match=f"insights: list_models returned {status}"):
        world.insights(key=key).scopes()


def test_a_rotated_key_is_not_used_any_more(world: World) -> None:
    insights = world.insights()
    insights.scopes()
    world.providers.rotate_key(ProviderName.TREASURE_INSIGHTS, "1234/" + "f" * 40)
    with pytest.raises(SourceUnauthorizedError):
        insights.scopes()
    assert len(world.insights(key="1234/" + "f" * 40).scopes()) == 2


def test_a_lost_answer_is_cleared_up_by_listing(world: World) -> None:
    insights = world.insights()
    world.break_with(Unanswered(carried_out=True), RequestKind.START_BUILD)
    asked_at = world.clock()
    with pytest.raises(RequestUncertainError):
        insights.start_build(BUILD_WISH)
    assert world.asked(RequestKind.START_BUILD) == 1
    (twin,) = insights.list_builds(MODEL)
    assert twin.created_at is not None
    assert twin.created_at >= asked_at


def test_a_gateways_page_breaks_nothing(world: World) -> None:
    world.break_with(Reply(502, HTML_PAGE), RequestKind.LIST_MODELS, times=2)
    assert len(world.insights().scopes()) == 2
    world.break_with(Reply(502, HTML_PAGE), RequestKind.LIST_MODELS, times=None)
    with pytest.raises(SourceUnavailableError, match="list_models returned 502: ") as caught:
        world.insights().scopes()
    assert "<" not in str(caught.value)


def test_a_long_pause_is_handed_to_the_caller(world: World) -> None:
    world.break_with(ErrorStatus(429, retry_after=90), RequestKind.LIST_BUILDS)
    with pytest.raises(SourceThrottledError) as caught:
        world.insights().list_builds(MODEL)
    assert caught.value.retry_after_seconds == 90


def test_a_build_that_is_over_cannot_be_confused_with_another(world: World) -> None:
    ref = BuildRef(source="insights", scope=OTHER_MODEL, build_id=world.insights().start_build(BUILD_WISH).ref.build_id)
    with pytest.raises(BuildNotFoundError):
        world.insights().get_build(ref)


def test_the_clock_of_these_tests_stands_still(world: World) -> None:
    assert isinstance(world.clock, ManualClock)
    assert world.insights().start_build(BUILD_WISH).created_at == world.clock()
