"""Invocations end before a copy does: the next goes on, always further, and not for ever."""

from __future__ import annotations

import hashlib

import pytest

from courier.errors import ArtifactIncompleteError, ArtifactUnavailableError, CopyUnfinishedError
from courier.transfer.checkpoint import MemoryCheckpointStore
from courier.transfer.options import CopyOptions
from courier.transfer.publisher import abort_upload
from local.simulator import ErrorStatus, IgnoreRange, SlowBody
from tests.functional.transfer.conftest import OpenDesk
from tests.functional.transfer.desk import MIB, Desk, Invocation, Seam

ONE_WORKER = CopyOptions(workers=1, part_size_bytes=5 * MIB)


def stop_after(desk: Desk, parts: int, options: CopyOptions = ONE_WORKER) -> None:
    """Copy until so many parts of this invocation are on their way."""
    client = desk.fresh_client()
    invocation = Invocation()
    Seam(client).call("UploadPart", invocation.nearly_end, nth=parts)
    with pytest.raises(CopyUnfinishedError, match=r"of \d+ bytes are stored; call again"):
        desk.copy(s3=client, seconds_left=invocation, options=options)


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 5])
def test_copy_that_runs_out_of_time_at_any_part_goes_on(open_desk: OpenDesk, parts: int) -> None:
    desk = open_desk(27 * MIB)
    stop_after(desk, parts)
    assert desk.stored() is None
    assert len(desk.open_uploads()) == 1
    seam = Seam(desk.s3)
    artifact = desk.copy()
    assert desk.stored() == desk.report
    assert seam.calls.count("UploadPart") == 6 - parts
    assert "CreateMultipartUpload" not in seam.calls
    assert artifact.sha256 == hashlib.sha256(desk.report).hexdigest()
    assert (artifact.verified, artifact.content_type) == (True, "application/pdf")


def test_copy_that_stops_after_every_part_gets_there(open_desk: OpenDesk) -> None:
    desk = open_desk(27 * MIB)
    for _ in range(5):
        stop_after(desk, 1)
    artifact = desk.copy()
    assert desk.stored() == desk.report
    assert artifact.sha256 == hashlib.sha256(desk.report).hexdigest()
    assert sum(status == 206 for status in desk.statuses()) == 6


def test_copy_with_several_workers_goes_on(open_desk: OpenDesk) -> None:
    desk = open_desk(60 * MIB)
    stop_after(desk, 3, CopyOptions(workers=4, part_size_bytes=5 * MIB))
    desk.copy()
    assert desk.stored() == desk.report


def test_time_that_is_up_when_all_parts_are_stored_leaves_only_the_reading_back(open_desk: OpenDesk) -> None:
    desk = open_desk(12 * MIB)
    stop_after(desk, 1)
    invocation = Invocation()
    seam = Seam(desk.s3)
    seam.call("CompleteMultipartUpload", invocation.end)
    with pytest.raises(CopyUnfinishedError, match="read back"):
        desk.copy(seconds_left=invocation)
    assert desk.stored() == desk.report
    artifact = desk.copy()
    assert artifact.sha256 == hashlib.sha256(desk.report).hexdigest()
    assert seam.calls.count("CompleteMultipartUpload") == 1


def test_object_that_cannot_be_read_back_in_a_whole_invocation_ends_the_loop(open_desk: OpenDesk) -> None:
    desk = open_desk(12 * MIB)
    stop_after(desk, 1)
    for error in (CopyUnfinishedError, ArtifactIncompleteError):
        invocation = Invocation()
        client = desk.fresh_client()
        Seam(client).call("GetObject", invocation.end)
        with pytest.raises(error, match="read back"):
            desk.copy(s3=client, seconds_left=invocation)
    desk.copy()


def test_nothing_begins_without_time(open_desk: OpenDesk) -> None:
    desk = open_desk(12 * MIB)
    with pytest.raises(CopyUnfinishedError, match="no time left to begin"):
        desk.copy(seconds_left=lambda: 59.0)
    assert desk.links == []
    assert desk.statuses() == []


def test_invocation_that_finishes_no_part_ends_the_loop(open_desk: OpenDesk) -> None:
    desk = open_desk(27 * MIB)
    stop_after(desk, 2)
    invocation = Invocation()
    seam = Seam(desk.s3)
    seam.call("ListParts", invocation.nearly_end)
    with pytest.raises(ArtifactIncompleteError, match=f"no part was finished.*{10 * MIB} of {27 * MIB} bytes"):
        desk.copy(seconds_left=invocation)
    assert desk.open_uploads() == []


def test_part_that_takes_longer_than_the_invocation_is_cut_off(open_desk: OpenDesk) -> None:
    desk = open_desk(27 * MIB)
    desk.strike(SlowBody(piece_bytes=1_000, pause_seconds=30.0), nth=2, times=None)
    invocation = Invocation()
    Seam(desk.s3).call("UploadPart", invocation.end, nth=1)
    with pytest.raises(CopyUnfinishedError, match=f"{5 * MIB} of"):
        desk.copy(seconds_left=invocation, options=CopyOptions(workers=2, part_size_bytes=5 * MIB))
    desk.faults.clear()
    desk.copy()
    assert desk.stored() == desk.report


def test_copy_is_not_taken_up_for_ever(open_desk: OpenDesk) -> None:
    desk = open_desk(27 * MIB)
    options = CopyOptions(workers=1, part_size_bytes=5 * MIB, most_continuations=2)
    for _ in range(3):
        stop_after(desk, 1, options)
    with pytest.raises(ArtifactIncompleteError, match="resumed 2 times"):
        desk.copy(options=options)
    assert desk.stored() is None


def test_copy_has_a_limit_over_all_invocations(open_desk: OpenDesk) -> None:
    desk = open_desk(27 * MIB)
    stop_after(desk, 1)
    desk.clock.advance(24 * 3_600 + 1)
    with pytest.raises(ArtifactIncompleteError, match="began at 2026-04-15 12:00 UTC"):
        desk.copy()


def test_limit_that_is_reached_within_an_invocation_ends_the_copy(open_desk: OpenDesk) -> None:
    desk = open_desk(27 * MIB)
    Seam(desk.s3).call("UploadPart", lambda: desk.clock.advance(24 * 3_600 + 1), nth=2)
    with pytest.raises(ArtifactIncompleteError, match="takes too long"):
        desk.copy(options=ONE_WORKER)


def test_stream_cannot_go_on_in_another_invocation(open_desk: OpenDesk) -> None:
    desk = open_desk(27 * MIB)
    desk.strike(IgnoreRange(), times=None)
    invocation = Invocation()
    Seam(desk.s3).call("UploadPart", invocation.end, nth=2)
    with pytest.raises(ArtifactIncompleteError, match="read in one go"):
        desk.copy(seconds_left=invocation)
    assert desk.stored() is None


def test_copy_that_must_be_proven_beforehand_is_not_taken_up(open_desk: OpenDesk) -> None:
    desk = open_desk(27 * MIB)
    stop_after(desk, 2)
    seam = Seam(desk.s3)
    desk.copy(sha256=hashlib.sha256(desk.report).hexdigest())
    assert seam.calls.count("UploadPart") == 6
    assert desk.stored() == desk.report


def test_trouble_that_lasts_leaves_a_copy_to_take_up(open_desk: OpenDesk) -> None:
    desk = open_desk(27 * MIB)
    desk.strike(ErrorStatus(503), nth=3, times=5)
    with pytest.raises(ArtifactUnavailableError):
        desk.copy(options=ONE_WORKER)
    assert len(desk.open_uploads()) == 1
    desk.copy()
    assert sum(status == 206 for status in desk.statuses()) == 6
    assert desk.stored() == desk.report


def test_trouble_that_lasts_leaves_nothing_of_a_stream(open_desk: OpenDesk) -> None:
    desk = open_desk(27 * MIB)
    desk.strike(IgnoreRange(), times=None)
    client = desk.fresh_client()
    Seam(client).answer("UploadPart", 503, "SlowDown", nth=2, times=None)
    with pytest.raises(ArtifactUnavailableError):
        desk.copy(s3=client)
    assert desk.open_uploads() == []


def test_trouble_that_lasts_leaves_nothing_where_nobody_comes_back(open_desk: OpenDesk) -> None:
    desk = open_desk(27 * MIB)
    desk.checkpoints = MemoryCheckpointStore(outlives_process=False)
    desk.strike(ErrorStatus(503), nth=3, times=None)
    with pytest.raises(ArtifactUnavailableError):
        desk.copy()
    assert desk.open_uploads() == []


def test_copy_that_was_given_up_can_begin_anew(open_desk: OpenDesk) -> None:
    desk = open_desk(27 * MIB)
    stop_after(desk, 2)
    upload_id = desk.open_uploads()[0]
    desk.discard_upload()
    assert desk.open_uploads() == []
    abort_upload(desk.s3, desk.destination, upload_id)
    desk.copy()
    assert desk.stored() == desk.report


def test_upload_that_was_aborted_from_outside_begins_anew(open_desk: OpenDesk) -> None:
    desk = open_desk(27 * MIB)
    stop_after(desk, 2)
    desk.s3.abort_multipart_upload(Bucket="reports", Key=desk.destination.key, UploadId=desk.open_uploads()[0])
    desk.copy()
    assert desk.stored() == desk.report
