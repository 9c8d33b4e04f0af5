"""Links expire at any moment, and the artifact may be replaced: the copy continues, starts over once, or fails."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from courier.errors import ArtifactChangedError, ArtifactExpiredError, CopyUnfinishedError, SourceUnavailableError
from courier.links import ArtifactLink
from courier.transfer.options import MIB, CopyOptions
from local.simulator import (
    ErrorStatus,
    IgnoreRange,
    LinkExpired,
    LinkPolicy,
    SetHeaders,
    TokenExpired,
)
from local.simulator.faults import Fault
from tests.functional.transfer.conftest import NewHarness
from tests.functional.transfer.harness import CopyHarness, Invocation, OtherReport, S3Interceptor, other_report

DEATHS = [LinkExpired(), TokenExpired(), ErrorStatus(401), ErrorStatus(403), ErrorStatus(404)]


@pytest.mark.parametrize("death", DEATHS, ids=repr)
@pytest.mark.parametrize("nth", [1, 3])
def test_link_that_dies_is_replaced_and_the_copy_goes_on(new_harness: NewHarness, death: Fault, nth: int) -> None:
    harness = new_harness(27 * MIB)
    harness.inject(death, nth=nth)
    harness.copy()
    assert harness.stored() == harness.report
    assert len(harness.links) == 2
    assert len(harness.ranges()) == 7  # six parts and the refusal: nothing is fetched twice
    assert harness.waits == []


def test_link_that_expires_during_the_copy_is_replaced(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)
    S3Interceptor(harness.s3).call("UploadPart", lambda: harness.clock.advance(3_601), nth=2)
    harness.copy()
    assert harness.stored() == harness.report
    assert 403 in harness.statuses()
    assert len(harness.links) == 2


def test_workers_with_the_same_expired_link_request_one_link(new_harness: NewHarness) -> None:
    harness = new_harness(60 * MIB)
    links: list[ArtifactLink] = []

    def locate() -> ArtifactLink:
        links.append(harness.locate())
        harness.faults.clear()
        if len(links) == 1:
            harness.inject(LinkExpired(), nth=2, times=None)
        return links[-1]

    harness.copy(locate=locate)
    assert harness.stored() == harness.report
    assert len(links) == 2


@pytest.mark.parametrize("death", DEATHS, ids=repr)
@pytest.mark.parametrize("nth", [1, 3])
def test_same_dead_link_again_is_the_end(new_harness: NewHarness, death: Fault, nth: int) -> None:
    harness = new_harness(27 * MIB, url_policy=LinkPolicy.STORED_FOREVER)
    harness.inject(death, nth=nth, times=None)
    with pytest.raises(ArtifactExpiredError, match=r"returns the same link again"):
        harness.copy()
    assert len(harness.links) == 2
    assert harness.waits == []
    assert harness.stored() is None


def test_link_that_was_dead_on_arrival_is_the_end(new_harness: NewHarness) -> None:
    harness = new_harness(300_000, url_policy=LinkPolicy.STORED_FOREVER)
    harness.clock.advance(7_200)
    with pytest.raises(ArtifactExpiredError, match="403 AccessDenied"):
        harness.copy()


def test_fresh_links_that_are_all_refused_are_the_end(new_harness: NewHarness) -> None:
    harness = new_harness(300_000)
    harness.inject(ErrorStatus(403), times=None)
    with pytest.raises(ArtifactExpiredError, match="3 fresh links in a row"):
        harness.copy()
    assert len(harness.links) == 3


def test_links_may_die_again_and_again_while_the_copy_gets_on(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)
    for nth in (2, 4, 6, 8):
        harness.inject(LinkExpired(), nth=nth)
    harness.copy(options=CopyOptions(workers=1, part_size_bytes=5 * MIB))
    assert harness.stored() == harness.report
    assert len(harness.links) == 5


def test_expiry_that_the_api_announces_is_only_a_hint(new_harness: NewHarness) -> None:
    harness = new_harness(300_000)

    def locate() -> ArtifactLink:
        link = harness.locate()
        long_ago = datetime(2020, 1, 1, tzinfo=UTC)
        return ArtifactLink(url=link.url, size_bytes=link.size_bytes, expires_at=long_ago, filename=link.filename)

    harness.copy(locate=locate)
    assert harness.stored() == harness.report


def test_provider_that_is_away_when_a_link_dies_leaves_a_copy_to_resume(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)
    harness.inject(LinkExpired(), nth=3)
    with pytest.raises(SourceUnavailableError):
        harness.copy(locate=_responds_once(harness))
    assert len(harness.open_uploads()) == 1
    harness.copy()
    assert harness.stored() == harness.report


def _responds_once(harness: CopyHarness) -> Callable[[], ArtifactLink]:
    def locate() -> ArtifactLink:
        if harness.links:
            raise SourceUnavailableError("the provider is away")
        return harness.locate()

    return locate


def test_object_that_changes_midway_makes_the_copy_begin_anew(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)
    harness.others.append(other_report(harness.report))
    harness.inject(OtherReport(), nth=4, times=None)
    artifact = harness.copy()
    assert harness.stored() == other_report(harness.report)
    assert artifact.sha256 == hashlib.sha256(other_report(harness.report)).hexdigest()
    assert 412 in harness.statuses()


@pytest.mark.parametrize(
    "lie", [{"ETag": '"another"'}, {"Content-Range": f"bytes {5 * MIB}-{10 * MIB - 1}/{28 * MIB}"}], ids=str
)
def test_change_is_seen_although_the_store_ignores_if_match(
    new_harness: NewHarness, lie: dict[str, str | None]
) -> None:
    harness = new_harness(27 * MIB)
    harness.inject(SetHeaders(lie), nth=2)
    interceptor = S3Interceptor(harness.s3)
    harness.copy(options=CopyOptions(workers=1, part_size_bytes=5 * MIB))
    assert harness.stored() == harness.report
    assert interceptor.calls.count("CreateMultipartUpload") == 2


def test_object_that_changes_again_is_an_error(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)
    S3Interceptor(harness.s3).call("UploadPart", lambda: harness.inject(OtherReport(1), times=None), nth=2)
    S3Interceptor(harness.s3).call("CreateMultipartUpload", lambda: harness.inject(OtherReport(2), times=None), nth=2)
    with pytest.raises(ArtifactChangedError):
        harness.copy()
    assert harness.stored() is None


def test_change_that_an_earlier_invocation_saw_counts(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)
    harness.inject(OtherReport(1), nth=4, times=None)
    invocation = Invocation()

    def has_begun_anew() -> bool:
        kept = harness.checkpoints.load()
        return kept is not None and kept.restarts == 1

    S3Interceptor(harness.s3).call_when("UploadPart", has_begun_anew, invocation.nearly_end)
    with pytest.raises(CopyUnfinishedError):
        harness.copy(seconds_left=invocation)
    assert has_begun_anew()
    harness.inject(OtherReport(2), times=None)
    with pytest.raises(ArtifactChangedError):
        harness.copy()


def test_size_that_the_provider_changed_between_invocations_is_a_change(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)
    invocation = Invocation()
    S3Interceptor(client := harness.fresh_client()).call("UploadPart", invocation.nearly_end, nth=2)
    with pytest.raises(CopyUnfinishedError):
        harness.copy(s3=client, seconds_left=invocation, locate=harness.locate_without_size)
    kept = harness.checkpoints.load()
    assert kept is not None
    # What the first invocation began was another version, of another length.
    harness.checkpoints.advance(kept.model_copy(update={"size_bytes": 28 * MIB}))
    harness.copy()
    assert harness.stored() == harness.report


def test_stream_is_one_version_even_when_the_object_changes(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    harness.inject(IgnoreRange(), times=None)
    harness.inject(OtherReport(), nth=2, times=None)
    harness.copy()
    assert harness.stored() == harness.report
