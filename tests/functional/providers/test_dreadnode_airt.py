"""Dreadnode AIRT as documented, over a real connection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import pytest

from courier.errors import (
    EmptyReportError,
    RequestUncertainError,
    SourceExhaustedError,
    SourceRejectedError,
    SourceUnauthorizedError,
)
from courier.models import BuildRequest, BuildStatus
from local.simulator import ErrorStatus, RequestKind, Unanswered
from tests.functional.providers.conftest import scenario
from tests.functional.providers.simulated_apis import EMPTY_TEMPLATE, REPORT_REQUEST, SimulatedApis


def test_a_job_goes_through_its_statuses(apis: SimulatedApis) -> None:
    red_team = apis.red_team()
    ref = red_team.start_build(REPORT_REQUEST).ref
    statuses = []
    for seconds in (0, 10, 60):
        apis.clock.advance(seconds)
        statuses.append(red_team.get_build(ref).status)
    assert statuses == [BuildStatus.QUEUED, BuildStatus.RUNNING, BuildStatus.SUCCEEDED]


def test_a_failed_job_carries_its_error_message(apis: SimulatedApis) -> None:
    red_team = apis.red_team()
    red_team.start_build(REPORT_REQUEST)
    ref = red_team.start_build(REPORT_REQUEST).ref
    apis.clock.advance(60)
    build = red_team.get_build(ref)
    assert (build.status, build.error_message, build.artifact_bytes) == (BuildStatus.FAILED, "renderer failed", None)


def test_the_size_is_unknown_until_the_report_is_there(apis: SimulatedApis) -> None:
    red_team = apis.red_team()
    ref = red_team.start_build(REPORT_REQUEST).ref
    assert red_team.get_build(ref).artifact_bytes is None
    apis.clock.advance(60)
    assert red_team.get_build(ref).artifact_bytes == len(apis.providers.artifact_bytes(ref.build_id))


def test_each_location_is_a_fresh_link(apis: SimulatedApis) -> None:
    red_team = apis.red_team()
    ref = red_team.start_build(REPORT_REQUEST).ref
    apis.clock.advance(60)
    first = red_team.locate_artifact(ref)
    apis.clock.advance(60)
    second = red_team.locate_artifact(ref)
    assert first.url != second.url
    assert second.expires_at is not None
    assert second.expires_at > apis.clock()
    assert second.filename == f"{ref.build_id}.pdf"


@pytest.mark.parametrize("shape", ["flat", "in_detail"])
@pytest.mark.parametrize(
    ("report", "section"),
    [
        ({"preset": {"format": "pdf", "sections": ["findings"]}}, "findings"),
        ({"template_id": EMPTY_TEMPLATE}, "Findings"),
    ],
)
def test_an_empty_report_is_found_before_anything_is_started(
    make_apis: Callable[..., SimulatedApis],
    shape: Literal["flat", "in_detail"],
    report: dict[str, object],
    section: str,
) -> None:
    played = scenario()
    apis = make_apis(played=replace(played, airt=replace(played.airt, empty_sections_shape=shape)))
    with pytest.raises(EmptyReportError) as caught:
        apis.red_team().start_build(BuildRequest.model_validate({"source": "red-team", "report": report}))
    assert caught.value.sections == (section,)
    assert apis.request_count(RequestKind.START_JOB) == 0


def test_an_empty_report_is_found_by_the_build_where_no_dry_run_exists(apis: SimulatedApis) -> None:
    apis.break_with(ErrorStatus(404), RequestKind.PREFLIGHT)
    report = {"preset": {"format": "pdf", "sections": ["findings"]}}
    with pytest.raises(EmptyReportError) as caught:
        apis.red_team().start_build(BuildRequest.model_validate({"source": "red-team", "report": report}))
    assert caught.value.sections == ("findings",)
    assert apis.request_count(RequestKind.START_JOB) == 1


def test_a_validation_error_is_no_empty_report(apis: SimulatedApis) -> None:
    report = {"preset": {"format": 7, "sections": "risk"}}
    with pytest.raises(SourceRejectedError, match="red-team: start_build returned 422: ") as caught:
        apis.red_team().start_build(BuildRequest.model_validate({"source": "red-team", "report": report}))
    assert type(caught.value) is SourceRejectedError


def test_a_required_upgrade_is_permanent_and_reported(apis: SimulatedApis) -> None:
    apis.break_with(ErrorStatus(426, "this client is too old"), RequestKind.GET_JOB, times=None)
    ref = apis.red_team().start_build(REPORT_REQUEST).ref
    with pytest.raises(SourceRejectedError, match="returned 426: this client is too old"):
        apis.red_team().get_build(ref)
    assert apis.request_count(RequestKind.GET_JOB) == 1


def test_being_out_of_credits_is_not_a_rate_limit(apis: SimulatedApis) -> None:
    apis.break_with(ErrorStatus(429, "insufficient credits"), RequestKind.START_JOB)
    with pytest.raises(SourceExhaustedError, match="insufficient credits"):
        apis.red_team().start_build(REPORT_REQUEST)
    assert apis.request_count(RequestKind.START_JOB) == 1


def test_a_lost_response_stays_uncertain_and_is_requested_once(apis: SimulatedApis) -> None:
    apis.break_with(Unanswered(carried_out=True), RequestKind.START_JOB)
    with pytest.raises(RequestUncertainError):
        apis.red_team().start_build(REPORT_REQUEST)
    assert apis.request_count(RequestKind.START_JOB) == 1
    assert len(apis.providers.builds) == 1


@pytest.mark.parametrize("auth", ["bearer", "x-api-key"])
def test_the_key_travels_in_either_header(apis: SimulatedApis, auth: str) -> None:
    assert apis.red_team(auth=auth).start_build(REPORT_REQUEST).status is BuildStatus.QUEUED
    with pytest.raises(SourceUnauthorizedError, match=r"returned 401: .*authentication_error"):
        apis.red_team(auth=auth, key="dn_key_wrong").check()


@pytest.mark.parametrize("suffix", ["", "/", "/api/v1"])
def test_the_endpoint_may_name_the_version_or_not(apis: SimulatedApis, suffix: str) -> None:
    red_team = apis.red_team(endpoint=f"{apis.providers.url}{suffix}")
    assert red_team.start_build(REPORT_REQUEST).status is BuildStatus.QUEUED
