"""Invocations end before a copy does: the next one resumes it, makes progress, and gives up in the end."""

from __future__ import annotations

import hashlib

import pytest

from courier.errors import ArtifactIncompleteError, ArtifactUnavailableError, CopyUnfinishedError
from courier.transfer.checkpoint import MemoryCheckpointStore
from courier.transfer.options import MIB, CopyOptions
from courier.transfer.upload_cleanup import abort_upload
from local.simulator import ErrorStatus, IgnoreRange, SlowBody
from tests.functional.transfer.conftest import NewHarness
from tests.functional.transfer.harness import CopyHarness, Invocation, S3Interceptor

ONE_WORKER = CopyOptions(workers=1, part_size_bytes=5 * MIB)


def stop_after(harness: CopyHarness, parts: int, options: CopyOptions = ONE_WORKER) -> None:
    """Copy until so many parts of this invocation are on their way."""
    client = harness.fresh_client()
    invocation = Invocation()
    S3Interceptor(client).call("UploadPart", invocation.nearly_end, nth=parts)
    with pytest.raises(CopyUnfinishedError, match=r"of \d+ bytes are stored; call again"):
        harness.copy(s3=client, seconds_left=invocation, options=options)


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 5])
def test_copy_that_runs_out_of_time_at_any_part_goes_on(new_harness: NewHarness, parts: int) -> None:
    harness = new_harness(27 * MIB)
    stop_after(harness, parts)
    assert harness.stored() is None
    assert len(harness.open_uploads()) == 1
    interceptor = S3Interceptor(harness.s3)
    artifact = harness.copy()
    assert harness.stored() == harness.report
    assert interceptor.calls.count("UploadPart") == 6 - parts
    assert "CreateMultipartUpload" not in interceptor.calls
    assert artifact.sha256 == hashlib.sha256(harness.report).hexdigest()
    assert (artifact.verified, artifact.content_type) == (True, "application/pdf")


def test_copy_that_stops_after_every_part_gets_there(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)
    for _ in range(5):
        stop_after(harness, 1)
    artifact = harness.copy()
    assert harness.stored() == harness.report
    assert artifact.sha256 == hashlib.sha256(harness.report).hexdigest()
    assert sum(status == 206 for status in harness.statuses()) == 6


def test_copy_with_several_workers_goes_on(new_harness: NewHarness) -> None:
    harness = new_harness(60 * MIB)
    stop_after(harness, 3, CopyOptions(workers=4, part_size_bytes=5 * MIB))
    harness.copy()
    assert harness.stored() == harness.report


def test_time_that_is_up_when_all_parts_are_stored_leaves_only_the_reading_back(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    stop_after(harness, 1)
    invocation = Invocation()
    interceptor = S3Interceptor(harness.s3)
    interceptor.call("CompleteMultipartUpload", invocation.end)
    with pytest.raises(CopyUnfinishedError, match="read back"):
        harness.copy(seconds_left=invocation)
    assert harness.stored() == harness.report
    artifact = harness.copy()
    assert artifact.sha256 == hashlib.sha256(harness.report).hexdigest()
    assert interceptor.calls.count("CompleteMultipartUpload") == 1


def test_object_that_cannot_be_read_back_in_a_whole_invocation_ends_the_loop(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    stop_after(harness, 1)
    for error in (CopyUnfinishedError, ArtifactIncompleteError):
        invocation = Invocation()
        client = harness.fresh_client()
        S3Interceptor(client).call("GetObject", invocation.end)
        with pytest.raises(error, match="read back"):
            harness.copy(s3=client, seconds_left=invocation)
    harness.copy()


def test_nothing_begins_without_time(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    with pytest.raises(CopyUnfinishedError, match="no time left to begin"):
        harness.copy(seconds_left=lambda: 59.0)
    assert harness.links == []
    assert harness.statuses() == []


def test_invocation_that_finishes_no_part_ends_the_loop(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)
    stop_after(harness, 2)
    invocation = Invocation()
    interceptor = S3Interceptor(harness.s3)
    interceptor.call("ListParts", invocation.nearly_end)
    with pytest.raises(ArtifactIncompleteError, match=f"no part was finished.*{10 * MIB} of {27 * MIB} bytes"):
        harness.copy(seconds_left=invocation)
    assert harness.open_uploads() == []


def test_part_that_takes_longer_than_the_invocation_is_cut_off(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)
    harness.inject(SlowBody(piece_bytes=1_000, pause_seconds=30.0), nth=2, times=None)
    invocation = Invocation()
    S3Interceptor(harness.s3).call("UploadPart", invocation.end, nth=1)
    with pytest.raises(CopyUnfinishedError, match=f"{5 * MIB} of"):
        harness.copy(seconds_left=invocation, options=CopyOptions(workers=2, part_size_bytes=5 * MIB))
    harness.faults.clear()
    harness.copy()
    assert harness.stored() == harness.report


def test_copy_is_not_resumed_for_ever(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)
    options = CopyOptions(workers=1, part_size_bytes=5 * MIB, most_continuations=2)
    for _ in range(3):
        stop_after(harness, 1, options)
    with pytest.raises(ArtifactIncompleteError, match="resumed 2 times"):
        harness.copy(options=options)
    assert harness.stored() is None


def test_copy_has_a_limit_over_all_invocations(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)
    stop_after(harness, 1)
    harness.clock.advance(24 * 3_600 + 1)
    with pytest.raises(ArtifactIncompleteError, match="began at 2026-04-15 12:00 UTC"):
        harness.copy()


def test_limit_that_is_reached_within_an_invocation_ends_the_copy(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)
    S3Interceptor(harness.s3).call("UploadPart", lambda: harness.clock.advance(24 * 3_600 + 1), nth=2)
    with pytest.raises(ArtifactIncompleteError, match="takes too long"):
        harness.copy(options=ONE_WORKER)


def test_stream_cannot_go_on_in_another_invocation(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)
    harness.inject(IgnoreRange(), times=None)
    invocation = Invocation()
    S3Interceptor(harness.s3).call("UploadPart", invocation.end, nth=2)
    with pytest.raises(ArtifactIncompleteError, match="read in one go"):
        harness.copy(seconds_left=invocation)
    assert harness.stored() is None


def test_copy_that_must_be_verified_beforehand_is_not_resumed(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)
    stop_after(harness, 2)
    interceptor = S3Interceptor(harness.s3)
    harness.copy(sha256=hashlib.sha256(harness.report).hexdigest())
    assert interceptor.calls.count("UploadPart") == 6
    assert harness.stored() == harness.report


def test_permanent_failure_leaves_a_copy_to_resume(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)
    harness.inject(ErrorStatus(503), nth=3, times=5)
    with pytest.raises(ArtifactUnavailableError):
        harness.copy(options=ONE_WORKER)
    assert len(harness.open_uploads()) == 1
    harness.copy()
    assert sum(status == 206 for status in harness.statuses()) == 6
    assert harness.stored() == harness.report


def test_permanent_failure_leaves_nothing_of_a_stream(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)
    harness.inject(IgnoreRange(), times=None)
    client = harness.fresh_client()
    S3Interceptor(client).respond("UploadPart", 503, "SlowDown", nth=2, times=None)
    with pytest.raises(ArtifactUnavailableError):
        harness.copy(s3=client)
    assert harness.open_uploads() == []


def test_permanent_failure_without_a_durable_checkpoint_leaves_nothing(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)
    harness.checkpoints = MemoryCheckpointStore(outlives_process=False)
    harness.inject(ErrorStatus(503), nth=3, times=None)
    with pytest.raises(ArtifactUnavailableError):
        harness.copy()
    assert harness.open_uploads() == []


def test_copy_that_was_given_up_can_begin_anew(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)
    stop_after(harness, 2)
    upload_id = harness.open_uploads()[0]
    harness.discard_upload()
    assert harness.open_uploads() == []
    abort_upload(harness.s3, harness.destination, upload_id)
    harness.copy()
    assert harness.stored() == harness.report


def test_upload_that_was_aborted_from_outside_begins_anew(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)
    stop_after(harness, 2)
    harness.s3.abort_multipart_upload(Bucket="reports", Key=harness.destination.key, UploadId=harness.open_uploads()[0])
    harness.copy()
    assert harness.stored() == harness.report
