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
from tests.functional.providers.world import EMPTY_TEMPLATE, REPORT_WISH, World


def test_a_job_goes_through_its_statuses(world: World) -> None:
    red_team = world.red_team()
    ref = red_team.start_build(REPORT_WISH).ref
    statuses = []
    for seconds in (0, 10, 60):
        world.clock.advance(seconds)
        statuses.append(red_team.get_build(ref).status)
    assert statuses == [BuildStatus.QUEUED, BuildStatus.RUNNING, BuildStatus.SUCCEEDED]


def test_a_failed_job_tells_why(world: World) -> None:
    red_team = world.red_team()
    red_team.start_build(REPORT_WISH)
    ref = red_team.start_build(REPORT_WISH).ref
    world.clock.advance(60)
    build = red_team.get_build(ref)
    assert (build.status, build.error_message, build.artifact_bytes) == (BuildStatus.FAILED, "renderer failed", None)


def test_the_size_is_unknown_until_the_report_is_there(world: World) -> None:
    red_team = world.red_team()
    ref = red_team.start_build(REPORT_WISH).ref
    assert red_team.get_build(ref).artifact_bytes is None
    world.clock.advance(60)
    assert red_team.get_build(ref).artifact_bytes == len(world.providers.artifact_bytes(ref.build_id))


def test_each_location_is_a_fresh_link(world: World) -> None:
    red_team = world.red_team()
    ref = red_team.start_build(REPORT_WISH).ref
    world.clock.advance(60)
    first = red_team.locate_artifact(ref)
    world.clock.advance(60)
    second = red_team.locate_artifact(ref)
    assert first.url != second.url
    assert second.expires_at is not None
    assert second.expires_at > world.clock()
    assert second.filename == f"{ref.build_id}.pdf"


@pytest.mark.parametrize("shape", ["flat", "in_detail"])
@pytest.mark.parametrize(
    ("report", "section"),
    [
        ({"preset": {"format": "pdf", "sections": ["findings"]}}, "findings"),
        ({"template_id": EMPTY_TEMPLATE}, "Findings"),
    ],
)
def test_an_empty_report_is_told_before_anything_is_started(
    make_world: Callable[..., World], shape: Literal["flat", "in_detail"], report: dict[str, object], section: str
) -> None:
    played = scenario()
    world = make_world(played=replace(played, airt=replace(played.airt, empty_sections_shape=shape)))
    with pytest.raises(EmptyReportError) as caught:
        world.red_team().start_build(BuildRequest.model_validate({"source": "red-team", "report": report}))
    assert caught.value.sections == (section,)
    assert world.asked(RequestKind.START_JOB) == 0


def test_an_empty_report_is_told_by_the_build_where_no_dry_run_exists(world: World) -> None:
    world.break_with(ErrorStatus(404), RequestKind.PREFLIGHT)
    report = {"preset": {"format": "pdf", "sections": ["findings"]}}
    with pytest.raises(EmptyReportError) as caught:
        world.red_team().start_build(BuildRequest.model_validate({"source": "red-team", "report": report}))
    assert caught.value.sections == ("findings",)
    assert world.asked(RequestKind.START_JOB) == 1


def test_a_validation_error_is_no_empty_report(world: World) -> None:
    report = {"preset": {"format": 7, "sections": "risk"}}
    with pytest.raises(SourceRejectedError, match="red-team: start_build returned 422: ") as caught:
        world.red_team().start_build(BuildRequest.model_validate({"source": "red-team", "report": report}))
    assert type(caught.value) is SourceRejectedError


def test_an_upgrade_is_permanent_and_told(world: World) -> None:
    world.break_with(ErrorStatus(426, "this client is too old"), RequestKind.GET_JOB, times=None)
    ref = world.red_team().start_build(REPORT_WISH).ref
    with pytest.raises(SourceRejectedError, match="returned 426: this client is too old"):
        world.red_team().get_build(ref)
    assert world.asked(RequestKind.GET_JOB) == 1


def test_being_out_of_credits_is_not_a_rate_limit(world: World) -> None:
    world.break_with(ErrorStatus(429, "insufficient credits"), RequestKind.START_JOB)
    with pytest.raises(SourceExhaustedError, match="insufficient credits"):
        world.red_team().start_build(REPORT_WISH)
    assert world.asked(RequestKind.START_JOB) == 1


def test_a_lost_answer_stays_uncertain_and_is_asked_once(world: World) -> None:
    world.break_with(Unanswered(carried_out=True), RequestKind.START_JOB)
    with pytest.raises(RequestUncertainError):
        world.red_team().start_build(REPORT_WISH)
    assert world.asked(RequestKind.START_JOB) == 1
    assert len(world.providers.builds) == 1


@pytest.mark.parametrize("auth", ["bearer", "x-api-key"])
def test_the_key_travels_in_either_header(world: World, auth: str) -> None:
    assert world.red_team(auth=auth).start_build(REPORT_WISH).status is BuildStatus.QUEUED
    with pytest.raises(SourceUnauthorizedError, match=r"returned 401: .*authentication_error"):
        world.red_team(auth=auth, key="dn_key_wrong").check()


@pytest.mark.parametrize("suffix", ["", "/", "/api/v1"])
def test_the_endpoint_may_name_the_version_or_not(world: World, suffix: str) -> None:
    red_team = world.red_team(endpoint=f"{world.providers.url}{suffix}")
    assert red_team.start_build(REPORT_WISH).status is BuildStatus.QUEUED
