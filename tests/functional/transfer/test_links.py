"""Links die at any moment, and the source object may be replaced: the copy goes on, begins anew once, or says so."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from courier.errors import ArtifactChangedError, ArtifactExpiredError, CopyUnfinishedError, SourceUnavailableError
from courier.links import ArtifactLink
from courier.transfer.options import CopyOptions
from local.simulator import (
    ErrorStatus,
    IgnoreRange,
    LinkExpired,
    LinkPolicy,
    SetHeaders,
    TokenExpired,
)
from local.simulator.faults import Fault
from tests.functional.transfer.conftest import OpenDesk
from tests.functional.transfer.desk import MIB, Desk, Invocation, OtherReport, Seam, other_report

DEATHS = [LinkExpired(), TokenExpired(), ErrorStatus(401), ErrorStatus(403), ErrorStatus(404)]


@pytest.mark.parametrize("death", DEATHS, ids=repr)
@pytest.mark.parametrize("nth", [1, 3])
def test_link_that_dies_is_replaced_and_the_copy_goes_on(open_desk: OpenDesk, death: Fault, nth: int) -> None:
    desk = open_desk(27 * MIB)
    desk.strike(death, nth=nth)
    desk.copy()
    assert desk.stored() == desk.report
    assert len(desk.links) == 2
    assert len(desk.ranges()) == 7  # six parts and the refusal: nothing is fetched twice
    assert desk.waits == []


def test_link_that_expires_during_the_copy_is_replaced(open_desk: OpenDesk) -> None:
    desk = open_desk(27 * MIB)
    Seam(desk.s3).call("UploadPart", lambda: desk.clock.advance(3_601), nth=2)
    desk.copy()
    assert desk.stored() == desk.report
    assert 403 in desk.statuses()
    assert len(desk.links) == 2


def test_workers_that_meet_the_same_dead_link_ask_once(open_desk: OpenDesk) -> None:
    desk = open_desk(60 * MIB)
    links: list[ArtifactLink] = []

    def locate() -> ArtifactLink:
        links.append(desk.locate())
        desk.faults.clear()
        if len(links) == 1:
            desk.strike(LinkExpired(), nth=2, times=None)
        return links[-1]

    desk.copy(locate=locate)
    assert desk.stored() == desk.report
    assert len(links) == 2


@pytest.mark.parametrize("death", DEATHS, ids=repr)
@pytest.mark.parametrize("nth", [1, 3])
def test_same_dead_link_again_is_the_end(open_desk: OpenDesk, death: Fault, nth: int) -> None:
    desk = open_desk(27 * MIB, url_policy=LinkPolicy.STORED_FOREVER)
    desk.strike(death, nth=nth, times=None)
    with pytest.raises(ArtifactExpiredError, match=r"gives the same again"):
        desk.copy()
    assert len(desk.links) == 2
    assert desk.waits == []
    assert desk.stored() is None


def test_link_that_was_dead_on_arrival_is_the_end(open_desk: OpenDesk) -> None:
    desk = open_desk(300_000, url_policy=LinkPolicy.STORED_FOREVER)
    desk.clock.advance(7_200)
    with pytest.raises(ArtifactExpiredError, match="403 AccessDenied"):
        desk.copy()


def test_fresh_links_that_are_all_refused_are_the_end(open_desk: OpenDesk) -> None:
    desk = open_desk(300_000)
    desk.strike(ErrorStatus(403), times=None)
    with pytest.raises(ArtifactExpiredError, match="3 fresh links in a row"):
        desk.copy()
    assert len(desk.links) == 3


def test_links_may_die_again_and_again_while_the_copy_gets_on(open_desk: OpenDesk) -> None:
    desk = open_desk(27 * MIB)
    for nth in (2, 4, 6, 8):
        desk.strike(LinkExpired(), nth=nth)
    desk.copy(options=CopyOptions(workers=1, part_size_bytes=5 * MIB))
    assert desk.stored() == desk.report
    assert len(desk.links) == 5


def test_expiry_that_the_api_announces_is_only_a_hint(open_desk: OpenDesk) -> None:
    desk = open_desk(300_000)

    def locate() -> ArtifactLink:
        link = desk.locate()
        long_ago = datetime(2020, 1, 1, tzinfo=UTC)
        return ArtifactLink(url=link.url, size_bytes=link.size_bytes, expires_at=long_ago, filename=link.filename)

    desk.copy(locate=locate)
    assert desk.stored() == desk.report


def test_provider_that_is_away_when_a_link_dies_leaves_a_copy_to_take_up(open_desk: OpenDesk) -> None:
    desk = open_desk(27 * MIB)
    desk.strike(LinkExpired(), nth=3)
    with pytest.raises(SourceUnavailableError):
        desk.copy(locate=_answers_once(desk))
    assert len(desk.open_uploads()) == 1
    desk.copy()
    assert desk.stored() == desk.report


def _answers_once(desk: Desk) -> Callable[[], ArtifactLink]:
    def locate() -> ArtifactLink:
        if desk.links:
            raise SourceUnavailableError("the provider is away")
        return desk.locate()

    return locate


def test_object_that_changes_midway_makes_the_copy_begin_anew(open_desk: OpenDesk) -> None:
    desk = open_desk(27 * MIB)
    desk.others.append(other_report(desk.report))
    desk.strike(OtherReport(), nth=4, times=None)
    artifact = desk.copy()
    assert desk.stored() == other_report(desk.report)
    assert artifact.sha256 == hashlib.sha256(other_report(desk.report)).hexdigest()
    assert 412 in desk.statuses()


@pytest.mark.parametrize(
    "lie", [{"ETag": '"another"'}, {"Content-Range": f"bytes {5 * MIB}-{10 * MIB - 1}/{28 * MIB}"}], ids=str
)
def test_change_is_seen_although_the_store_ignores_if_match(open_desk: OpenDesk, lie: dict[str, str | None]) -> None:
    desk = open_desk(27 * MIB)
    desk.strike(SetHeaders(lie), nth=2)
    seam = Seam(desk.s3)
    desk.copy(options=CopyOptions(workers=1, part_size_bytes=5 * MIB))
    assert desk.stored() == desk.report
    assert seam.calls.count("CreateMultipartUpload") == 2


def test_object_that_changes_again_is_an_error(open_desk: OpenDesk) -> None:
    desk = open_desk(27 * MIB)
    Seam(desk.s3).call("UploadPart", lambda: desk.strike(OtherReport(1), times=None), nth=2)
    Seam(desk.s3).call("CreateMultipartUpload", lambda: desk.strike(OtherReport(2), times=None), nth=2)
    with pytest.raises(ArtifactChangedError):
        desk.copy()
    assert desk.stored() is None


def test_change_that_an_earlier_invocation_saw_counts(open_desk: OpenDesk) -> None:
    desk = open_desk(27 * MIB)
    desk.strike(OtherReport(1), nth=4, times=None)
    invocation = Invocation()

    def has_begun_anew() -> bool:
        kept = desk.checkpoints.load()
        return kept is not None and kept.restarts == 1

    Seam(desk.s3).call_when("UploadPart", has_begun_anew, invocation.nearly_end)
    with pytest.raises(CopyUnfinishedError):
        desk.copy(seconds_left=invocation)
    assert has_begun_anew()
    desk.strike(OtherReport(2), times=None)
    with pytest.raises(ArtifactChangedError):
        desk.copy()


def test_size_that_the_provider_changed_between_invocations_is_a_change(open_desk: OpenDesk) -> None:
    desk = open_desk(27 * MIB)
    invocation = Invocation()
    Seam(client := desk.fresh_client()).call("UploadPart", invocation.nearly_end, nth=2)
    with pytest.raises(CopyUnfinishedError):
        desk.copy(s3=client, seconds_left=invocation, locate=desk.locate_without_size)
    kept = desk.checkpoints.load()
    assert kept is not None
    # What the first invocation began was another version, of another length.
    desk.checkpoints.advance(kept.model_copy(update={"size_bytes": 28 * MIB}))
    desk.copy()
    assert desk.stored() == desk.report


def test_stream_is_one_version_even_when_the_object_changes(open_desk: OpenDesk) -> None:
    desk = open_desk(12 * MIB)
    desk.strike(IgnoreRange(), times=None)
    desk.strike(OtherReport(), nth=2, times=None)
    desk.copy()
    assert desk.stored() == desk.report
