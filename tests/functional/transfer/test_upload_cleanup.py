"""Uploads that no checkpoint points to: their copier was killed, or never received the id."""

from __future__ import annotations

import pytest

from courier.errors import ArtifactConflictError
from courier.transfer.checkpoint import MemoryCheckpointStore
from courier.transfer.options import MIB, CopyOptions
from local.simulator import IgnoreRange, SetHeaders
from tests.functional.transfer.conftest import NewHarness
from tests.functional.transfer.harness import BUCKET, KEY, CopyHarness, Invocation, S3Interceptor


def leave_behind(harness: CopyHarness, key: str = KEY) -> str:
    return harness.s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]


@pytest.mark.parametrize("ranged", [True, False])
def test_upload_of_a_killed_copier_is_gone_after_the_next_copy(new_harness: NewHarness, ranged: bool) -> None:
    harness = new_harness(12 * MIB)
    if not ranged:
        harness.inject(IgnoreRange(), times=None)
    leave_behind(harness)
    harness.copy()
    assert harness.open_uploads() == []


def test_upload_whose_id_never_arrived_is_gone(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    S3Interceptor(harness.s3).lose_response("CreateMultipartUpload")
    harness.copy()
    assert harness.open_uploads() == []


def test_copier_that_was_killed_before_sweeping_sweeps_the_next_time(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    harness.copy()
    leave_behind(harness)
    harness.copy(checkpoints=MemoryCheckpointStore(outlives_process=True))
    assert harness.open_uploads() == []


@pytest.mark.parametrize("ranged", [True, False])
def test_copy_by_hand_leaves_uploads_of_others_alone(new_harness: NewHarness, ranged: bool) -> None:
    harness = new_harness(12 * MIB)
    if not ranged:
        harness.inject(IgnoreRange(), times=None)
    other = leave_behind(harness)
    for _ in range(2):
        harness.copy(checkpoints=MemoryCheckpointStore(outlives_process=False))
        assert harness.open_uploads() == [other]
    harness.s3.abort_multipart_upload(Bucket=BUCKET, Key=KEY, UploadId=other)


def test_uploads_of_other_keys_stay(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    other = leave_behind(harness, f"{KEY}.other")
    harness.copy()
    assert harness.open_uploads() == [other]
    harness.s3.abort_multipart_upload(Bucket=BUCKET, Key=f"{KEY}.other", UploadId=other)


def test_conflict_leaves_other_copiers_alone(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    harness.others.append(b"something else")
    harness.s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"something else")
    other = leave_behind(harness)
    with pytest.raises(ArtifactConflictError):
        harness.copy()
    assert harness.open_uploads() == [other]
    harness.s3.abort_multipart_upload(Bucket=BUCKET, Key=KEY, UploadId=other)


@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (503, "SlowDown")])
def test_sweep_that_fails_does_not_cost_the_report(new_harness: NewHarness, status: int, code: str) -> None:
    harness = new_harness(12 * MIB)
    client = harness.fresh_client()
    S3Interceptor(client).respond("ListMultipartUploads", status, code, times=None)
    assert harness.copy(s3=client).size_bytes == len(harness.report)


def test_concurrent_copy_that_could_not_compare_the_report_keeps_its_upload(new_harness: NewHarness) -> None:
    """It would have to read all of it again, and may have no time for that. The concurrent copy began before ours."""
    harness = new_harness(12 * MIB)
    harness.inject(IgnoreRange(), times=None)
    harness.inject(SetHeaders({"ETag": None}), times=None)
    interceptor, ours = S3Interceptor(harness.s3), Invocation()
    older = MemoryCheckpointStore(outlives_process=True)
    interceptor.call("UploadPart", lambda: harness.copy(s3=harness.fresh_client(), checkpoints=older), nth=2)
    interceptor.call("CreateMultipartUpload", ours.end, nth=2)
    options = CopyOptions(workers=1, part_size_bytes=5 * MIB)
    assert harness.copy(seconds_left=ours, options=options).size_bytes == len(harness.report)
    assert harness.open_uploads() == []
