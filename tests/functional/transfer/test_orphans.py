"""Uploads that no checkpoint points to: whoever created one was killed, or never learned its id."""

from __future__ import annotations

import pytest

from courier.errors import ArtifactConflictError
from courier.transfer.checkpoint import MemoryCheckpointStore
from courier.transfer.options import CopyOptions
from local.simulator import IgnoreRange, SetHeaders
from tests.functional.transfer.conftest import OpenDesk
from tests.functional.transfer.desk import BUCKET, KEY, MIB, Desk, Invocation, Seam


def leave_behind(desk: Desk, key: str = KEY) -> str:
    return desk.s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]


@pytest.mark.parametrize("ranged", [True, False])
def test_upload_of_a_killed_copier_is_gone_after_the_next_copy(open_desk: OpenDesk, ranged: bool) -> None:
    desk = open_desk(12 * MIB)
    if not ranged:
        desk.strike(IgnoreRange(), times=None)
    leave_behind(desk)
    desk.copy()
    assert desk.open_uploads() == []


def test_upload_whose_id_was_never_told_is_gone(open_desk: OpenDesk) -> None:
    desk = open_desk(12 * MIB)
    Seam(desk.s3).lose_answer("CreateMultipartUpload")
    desk.copy()
    assert desk.open_uploads() == []


def test_copier_that_was_killed_before_sweeping_sweeps_the_next_time(open_desk: OpenDesk) -> None:
    desk = open_desk(12 * MIB)
    desk.copy()
    leave_behind(desk)
    desk.copy(checkpoints=MemoryCheckpointStore(outlives_process=True))
    assert desk.open_uploads() == []


@pytest.mark.parametrize("ranged", [True, False])
def test_copy_by_hand_leaves_uploads_alone_that_may_be_anybodys(open_desk: OpenDesk, ranged: bool) -> None:
    desk = open_desk(12 * MIB)
    if not ranged:
        desk.strike(IgnoreRange(), times=None)
    other = leave_behind(desk)
    for _ in range(2):
        desk.copy(checkpoints=MemoryCheckpointStore(outlives_process=False))
        assert desk.open_uploads() == [other]
    desk.s3.abort_multipart_upload(Bucket=BUCKET, Key=KEY, UploadId=other)


def test_uploads_of_other_keys_stay(open_desk: OpenDesk) -> None:
    desk = open_desk(12 * MIB)
    other = leave_behind(desk, f"{KEY}.other")
    desk.copy()
    assert desk.open_uploads() == [other]
    desk.s3.abort_multipart_upload(Bucket=BUCKET, Key=f"{KEY}.other", UploadId=other)


def test_conflict_leaves_other_copiers_alone(open_desk: OpenDesk) -> None:
    desk = open_desk(12 * MIB)
    desk.others.append(b"something else")
    desk.s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"something else")
    other = leave_behind(desk)
    with pytest.raises(ArtifactConflictError):
        desk.copy()
    assert desk.open_uploads() == [other]
    desk.s3.abort_multipart_upload(Bucket=BUCKET, Key=KEY, UploadId=other)


@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (503, "SlowDown")])
def test_sweeping_in_vain_does_not_cost_the_report(open_desk: OpenDesk, status: int, code: str) -> None:
    desk = open_desk(12 * MIB)
    client = desk.fresh_client()
    Seam(client).answer("ListMultipartUploads", status, code, times=None)
    assert desk.copy(s3=client).size_bytes == len(desk.report)


def test_twin_that_could_not_tell_the_report_from_another_keeps_its_upload(open_desk: OpenDesk) -> None:
    """It would have to read all of it again, and may have no time for that. The twin had begun before us."""
    desk = open_desk(12 * MIB)
    desk.strike(IgnoreRange(), times=None)
    desk.strike(SetHeaders({"ETag": None}), times=None)
    seam, ours = Seam(desk.s3), Invocation()
    older = MemoryCheckpointStore(outlives_process=True)
    seam.call("UploadPart", lambda: desk.copy(s3=desk.fresh_client(), checkpoints=older), nth=2)
    seam.call("CreateMultipartUpload", ours.end, nth=2)
    options = CopyOptions(workers=1, part_size_bytes=5 * MIB)
    assert desk.copy(seconds_left=ours, options=options).size_bytes == len(desk.report)
    assert desk.open_uploads() == []
