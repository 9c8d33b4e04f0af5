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
from courier.observability.provider_events import UnexpectedKind
from local.simulator import (
    CHALLENGE_HEADERS,
    GATEWAY_TEXT,
    HTML_PAGE,
    AddText,
    CapitalIds,
    ErrorStatus,
    Fault,
    FloodList,
    ManualClock,
    Paginate,
    ProviderName,
    ReorderItems,
    Reply,
    RequestKind,
    SetFields,
    ShiftTimes,
    Unanswered,
    WriteTimes,
)
from tests.functional.providers.conftest import scenario
from tests.functional.providers.simulated_apis import BUILD_REQUEST, MODEL, OTHER_MODEL, SimulatedApis


def test_a_build_goes_through_its_statuses(apis: SimulatedApis) -> None:
    insights = apis.insights()
    ref = insights.start_build(BUILD_REQUEST).ref
    statuses = []
    for seconds in (0, 10, 60):
        apis.clock.advance(seconds)
        statuses.append(insights.get_build(ref).status)
    assert statuses == [BuildStatus.QUEUED, BuildStatus.RUNNING, BuildStatus.SUCCEEDED]


@pytest.mark.parametrize("unset_times", ["null", "absent"])
def test_unset_times_are_none(make_apis: Callable[..., SimulatedApis], unset_times: Literal["null", "absent"]) -> None:
    played = scenario()
    apis = make_apis(played=replace(played, treasure=replace(played.treasure, unset_times=unset_times)))
    build = apis.insights().start_build(BUILD_REQUEST)
    build = apis.insights().get_build(build.ref)
    assert build.created_at is not None
    assert (build.started_at, build.completed_at) == (None, None)


def test_the_whole_history_comes_in_any_order(apis: SimulatedApis) -> None:
    insights = apis.insights()
    refs = {insights.start_build(BUILD_REQUEST).ref for _ in range(5)}
    apis.break_with(ReorderItems(), RequestKind.LIST_BUILDS, times=None)
    assert {build.ref for build in insights.list_builds(MODEL)} == refs
    assert insights.list_builds(OTHER_MODEL) == []


def test_a_history_of_thousands_is_read(apis: SimulatedApis) -> None:
    insights = apis.insights()
    insights.start_build(BUILD_REQUEST)
    apis.break_with(FloodList(5_000), RequestKind.LIST_BUILDS)
    assert len(insights.list_builds(MODEL)) == 5_001


def test_one_malformed_build_hides_no_other(apis: SimulatedApis) -> None:
    insights = apis.insights()
    wrong, right = (insights.start_build(BUILD_REQUEST).ref for _ in range(2))
    apis.break_with(SetFields({"status": 5}, build_id=wrong.build_id), RequestKind.LIST_BUILDS)
    assert [build.ref for build in insights.list_builds(MODEL)] == [right]


def test_all_data_models_are_the_scopes(apis: SimulatedApis) -> None:
    assert set(apis.insights().scopes()) == {MODEL, OTHER_MODEL}


def test_the_accounts_limits_are_read(apis: SimulatedApis) -> None:
    assert apis.insights(account_id=1234).account_limits() == AccountLimits(build_size_gb=8, query_size_gb=4)


def test_an_unknown_model_is_not_found(apis: SimulatedApis) -> None:
    with pytest.raises(BuildNotFoundError, match=r"insights: list_builds returned 404: .*datamodel not found"):
        apis.insights().list_builds("00000000-0000-0000-0000-000000000000")


@pytest.mark.parametrize(("key", "status"), [("1/wrong", 401), ("1/weakling", 403)])
def test_a_wrong_or_weak_key_is_unauthorized(apis: SimulatedApis, key: str, status: int) -> None:
    with pytest.raises(SourceUnauthorizedError, match=f"insights: list_models returned {status}"):
        apis.insights(key=key).scopes()


def test_a_rotated_key_is_not_used_any_more(apis: SimulatedApis) -> None:
    insights = apis.insights()
    insights.scopes()
    apis.providers.rotate_key(ProviderName.TREASURE_INSIGHTS, "1234/" + "f" * 40)
    with pytest.raises(SourceUnauthorizedError):
        insights.scopes()
    assert len(apis.insights(key="1234/" + "f" * 40).scopes()) == 2


def test_a_lost_response_is_resolved_by_listing(apis: SimulatedApis) -> None:
    insights = apis.insights()
    apis.break_with(Unanswered(carried_out=True), RequestKind.START_BUILD)
    requested_at = apis.clock()
    with pytest.raises(RequestUncertainError):
        insights.start_build(BUILD_REQUEST)
    assert apis.request_count(RequestKind.START_BUILD) == 1
    (found,) = insights.list_builds(MODEL)
    assert found.created_at is not None
    assert found.created_at >= requested_at


def test_a_gateways_error_page_is_tolerated(apis: SimulatedApis) -> None:
    apis.break_with(Reply(502, HTML_PAGE), RequestKind.LIST_MODELS, times=2)
    assert len(apis.insights().scopes()) == 2
    apis.break_with(Reply(502, HTML_PAGE), RequestKind.LIST_MODELS, times=None)
    with pytest.raises(SourceUnavailableError, match="list_models returned 502: ") as caught:
        apis.insights().scopes()
    assert "<" not in str(caught.value)


def test_a_gateways_404_says_nothing_about_a_build(apis: SimulatedApis) -> None:
    insights = apis.insights()
    ref = insights.start_build(BUILD_REQUEST).ref
    apis.break_with(Reply(404, GATEWAY_TEXT, content_type="text/plain; charset=utf-8"), RequestKind.GET_BUILD)
    with pytest.raises(SourceUnavailableError, match="a gateway responded 404 with text/plain: 404 page not found"):
        insights.get_build(ref)
    assert insights.get_build(ref).ref == ref


def test_a_challenge_says_nothing_about_the_key(apis: SimulatedApis) -> None:
    apis.break_with(Reply(403, HTML_PAGE, headers=CHALLENGE_HEADERS), RequestKind.LIST_MODELS)
    with pytest.raises(SourceUnavailableError, match="a gateway responded 403 with text/html, a challenge: Sign in"):
        apis.insights().scopes()


def test_a_read_that_is_not_ready_names_its_time(apis: SimulatedApis) -> None:
    apis.break_with(Reply(202, b"", headers={"Retry-After": "40"}), RequestKind.LIST_BUILDS)
    with pytest.raises(SourceThrottledError, match="returned 202") as caught:
        apis.insights().list_builds(MODEL)
    assert caught.value.retry_after_seconds == 40


@pytest.mark.parametrize("form", ["text", "epoch", "epoch_ms"])
def test_the_history_is_the_same_in_every_form_of_time(
    apis: SimulatedApis, form: Literal["text", "epoch", "epoch_ms"]
) -> None:
    insights = apis.insights()
    insights.start_build(BUILD_REQUEST)
    apis.clock.advance(60)
    (usual,) = insights.list_builds(MODEL)
    apis.break_with(WriteTimes(form), RequestKind.LIST_BUILDS)
    assert insights.list_builds(MODEL) == [usual]
    assert apis.unexpected == []


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (WriteTimes("words"), UnexpectedKind.UNREADABLE_TIME),
        (WriteTimes("local", offset_hours=-8), UnexpectedKind.NAIVE_TIME),
        (ShiftTimes(9 * 3600), UnexpectedKind.FUTURE_TIME),
        (Paginate(1, linked=False), UnexpectedKind.UNREAD_PAGE),
    ],
)
def test_what_would_hide_builds_is_reported(apis: SimulatedApis, fault: Fault, kind: UnexpectedKind) -> None:
    insights = apis.insights()
    insights.start_build(BUILD_REQUEST)
    insights.start_build(BUILD_REQUEST)
    apis.break_with(fault, RequestKind.LIST_BUILDS)
    assert insights.list_builds(MODEL)
    assert {value.kind for value in apis.unexpected} == {kind}


def test_pages_are_read_to_the_last(apis: SimulatedApis) -> None:
    insights = apis.insights()
    refs = {insights.start_build(BUILD_REQUEST).ref for _ in range(5)}
    apis.break_with(Paginate(2), RequestKind.LIST_BUILDS, times=None)
    assert {build.ref for build in insights.list_builds(MODEL)} == refs
    assert apis.request_count(RequestKind.LIST_BUILDS) == 3
    assert apis.unexpected == []


def test_a_build_has_one_identity_in_capitals_and_in_lower_case(apis: SimulatedApis) -> None:
    insights = apis.insights()
    ref = insights.start_build(BUILD_REQUEST).ref
    apis.break_with(CapitalIds(), RequestKind.LIST_BUILDS)
    assert [build.ref for build in insights.list_builds(MODEL)] == [ref]


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "utf-16"])
def test_unread_fields_may_be_anything(apis: SimulatedApis, charset: str) -> None:
    insights = apis.insights()
    build = insights.start_build(BUILD_REQUEST)
    apis.break_with(AddText(charset=charset), RequestKind.GET_BUILD)
    assert insights.get_build(build.ref).ref == build.ref


def test_a_long_retry_after_is_passed_to_the_caller(apis: SimulatedApis) -> None:
    apis.break_with(ErrorStatus(429, retry_after=90), RequestKind.LIST_BUILDS)
    with pytest.raises(SourceThrottledError) as caught:
        apis.insights().list_builds(MODEL)
    assert caught.value.retry_after_seconds == 90


def test_a_build_of_another_model_is_not_found(apis: SimulatedApis) -> None:
    ref = BuildRef(
        source="insights", scope=OTHER_MODEL, build_id=apis.insights().start_build(BUILD_REQUEST).ref.build_id
    )
    with pytest.raises(BuildNotFoundError):
        apis.insights().get_build(ref)


def test_the_clock_of_these_tests_stands_still(apis: SimulatedApis) -> None:
    assert isinstance(apis.clock, ManualClock)
    assert apis.insights().start_build(BUILD_REQUEST).created_at == apis.clock()
