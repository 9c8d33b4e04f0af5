"""One object appears, once: whatever lies there already, and whatever S3 says or does not say."""

from __future__ import annotations

import hashlib

import pytest

from courier.errors import ArtifactConflictError, ArtifactUnavailableError, SettingsError
from courier.transfer.checkpoint import MemoryCheckpointStore
from courier.transfer.options import CopyOptions
from local.simulator import IgnoreRange, NoLength
from tests.functional.transfer.conftest import OpenDesk
from tests.functional.transfer.desk import BUCKET, KEY, MIB, Desk, Seam, other_report

SIZES = [300_000, 12 * MIB]


@pytest.mark.parametrize("size_bytes", SIZES)
def test_copying_again_finds_the_same_report(open_desk: OpenDesk, size_bytes: int) -> None:
    desk = open_desk(size_bytes)
    first = desk.copy()
    assert desk.copy() == first


def test_copying_a_large_report_again_moves_nothing(open_desk: OpenDesk) -> None:
    desk = open_desk(27 * MIB)
    desk.copy()
    seam = Seam(desk.s3)
    desk.copy()
    assert set(seam.calls) == {"HeadObject", "GetObject", "ListMultipartUploads"}


@pytest.mark.parametrize("size_bytes", SIZES)
def test_same_bytes_that_somebody_else_stored_are_success(open_desk: OpenDesk, size_bytes: int) -> None:
    desk = open_desk(size_bytes)
    desk.s3.put_object(Bucket=BUCKET, Key=KEY, Body=desk.report)
    artifact = desk.copy()
    assert artifact.sha256 == hashlib.sha256(desk.report).hexdigest()


@pytest.mark.parametrize("size_bytes", SIZES)
@pytest.mark.parametrize("same_size", [True, False])
def test_other_bytes_under_the_key_are_a_conflict_and_stay(
    open_desk: OpenDesk, size_bytes: int, same_size: bool
) -> None:
    desk = open_desk(size_bytes)
    other = other_report(desk.report) if same_size else b"%PDF-1.7 something else"
    desk.others.append(other)
    desk.s3.put_object(Bucket=BUCKET, Key=KEY, Body=other)
    with pytest.raises(ArtifactConflictError, match="nothing was overwritten"):
        desk.copy()
    assert desk.stored() == other


@pytest.mark.parametrize("length", [True, False])
def test_other_bytes_are_a_conflict_for_a_stream(open_desk: OpenDesk, length: bool) -> None:
    desk = open_desk(12 * MIB)
    desk.others.append(b"something else")
    desk.s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"something else")
    desk.strike(IgnoreRange(), times=None)
    if not length:
        desk.strike(NoLength(), times=None)
    with pytest.raises(ArtifactConflictError):
        desk.copy()


def test_object_that_appears_during_the_copy_is_compared(open_desk: OpenDesk) -> None:
    desk = open_desk(12 * MIB)
    seam = Seam(desk.s3)
    other = desk.fresh_client()
    seam.call("CompleteMultipartUpload", lambda: other.put_object(Bucket=BUCKET, Key=KEY, Body=desk.report))
    assert desk.copy().sha256 == hashlib.sha256(desk.report).hexdigest()


def test_conflict_during_a_continued_copy_is_found_by_reading_it_all(open_desk: OpenDesk) -> None:
    desk = open_desk(12 * MIB)
    _store_one_part(desk)
    desk.others.append(other_report(desk.report))
    desk.s3.put_object(Bucket=BUCKET, Key=KEY, Body=other_report(desk.report))
    with pytest.raises(ArtifactConflictError):
        desk.copy()


def test_same_bytes_during_a_continued_copy_are_success(open_desk: OpenDesk) -> None:
    desk = open_desk(12 * MIB)
    _store_one_part(desk)
    desk.s3.put_object(Bucket=BUCKET, Key=KEY, Body=desk.report)
    assert desk.copy().sha256 == hashlib.sha256(desk.report).hexdigest()


@pytest.mark.parametrize("size_bytes", SIZES)
def test_answer_that_was_lost_after_publishing_is_success(open_desk: OpenDesk, size_bytes: int) -> None:
    desk = open_desk(size_bytes)
    operation = "PutObject" if size_bytes < MIB else "CompleteMultipartUpload"
    seam = Seam(desk.s3)
    seam.lose_answer(operation)
    artifact = desk.copy()
    assert desk.stored() == desk.report
    assert artifact.sha256 == hashlib.sha256(desk.report).hexdigest()
    assert seam.calls.count(operation) == 2


def test_object_that_was_made_although_s3_never_said_so_is_success(open_desk: OpenDesk) -> None:
    desk = open_desk(12 * MIB)
    seam = Seam(desk.s3)
    seam.lose_answer("CompleteMultipartUpload")
    seam.answer("CompleteMultipartUpload", 500, "InternalError", nth=2, times=None)
    assert desk.copy().sha256 == hashlib.sha256(desk.report).hexdigest()
    assert desk.stored() == desk.report


@pytest.mark.parametrize("operation", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "PutObject"])
@pytest.mark.parametrize("code", ["SlowDown", "InternalError"])
def test_trouble_with_s3_passes(open_desk: OpenDesk, operation: str, code: str) -> None:
    desk = open_desk(300_000 if operation == "PutObject" else 12 * MIB)
    Seam(desk.s3).answer(operation, 503, code, times=2)
    desk.copy(options=CopyOptions(workers=1, part_size_bytes=5 * MIB))
    assert desk.stored() == desk.report
    assert desk.waits == [0.25, 0.5]


def test_part_that_was_damaged_on_the_way_is_sent_again(open_desk: OpenDesk) -> None:
    desk = open_desk(12 * MIB)
    Seam(desk.s3).answer("UploadPart", 400, "BadDigest", nth=2)
    desk.copy()
    assert desk.stored() == desk.report


def test_create_that_meets_another_is_tried_again(open_desk: OpenDesk) -> None:
    desk = open_desk(12 * MIB)
    Seam(desk.s3).answer("CompleteMultipartUpload", 409, "ConditionalRequestConflict")
    desk.copy()
    assert desk.stored() == desk.report


@pytest.mark.parametrize(
    ("operation", "status", "code", "error"),
    [
        ("CreateMultipartUpload", 403, "AccessDenied", SettingsError),
        ("UploadPart", 403, "AccessDenied", SettingsError),
        ("HeadObject", 403, "s3:ListBucket", SettingsError),
        ("UploadPart", 503, "SlowDown", ArtifactUnavailableError),
        ("CompleteMultipartUpload", 403, "AccessDenied", SettingsError),
        ("CompleteMultipartUpload", 500, "InternalError", ArtifactUnavailableError),
        ("CompleteMultipartUpload", 501, "NotImplemented", SettingsError),
        ("CompleteMultipartUpload", 400, "EntityTooSmall", SettingsError),
    ],
)
def test_copy_that_fails_for_good_leaves_nothing(
    open_desk: OpenDesk, operation: str, status: int, code: str, error: type[Exception]
) -> None:
    desk = open_desk(12 * MIB)
    desk.checkpoints = MemoryCheckpointStore(outlives_process=False)
    Seam(desk.s3).answer(operation, status, code, times=None)
    with pytest.raises(error, match=code):
        desk.copy()
    assert desk.stored() is None


def test_upload_that_cannot_be_aborted_stays_in_the_checkpoint(open_desk: OpenDesk) -> None:
    desk = open_desk(12 * MIB)
    client = desk.fresh_client()
    seam = Seam(client)
    seam.answer("UploadPart", 403, "AccessDenied", times=None)
    seam.answer("AbortMultipartUpload", 503, "SlowDown", times=None)
    with pytest.raises(SettingsError) as caught:
        desk.copy(s3=client)
    assert "could not be aborted" in caught.value.__notes__[0]
    assert desk.checkpoints.load() is not None
    desk.copy()
    assert desk.stored() == desk.report


def test_parts_that_another_copier_stored_again_are_listed_again(open_desk: OpenDesk) -> None:
    desk = open_desk(12 * MIB)
    Seam(desk.s3).answer("CompleteMultipartUpload", 400, "InvalidPart")
    desk.copy()
    assert desk.stored() == desk.report


def test_report_that_is_read_back_with_trouble_is_read_on(open_desk: OpenDesk) -> None:
    desk = open_desk(12 * MIB)
    desk.copy()
    Seam(desk.s3).answer("GetObject", 503, "SlowDown", times=2)
    assert desk.copy().sha256 == hashlib.sha256(desk.report).hexdigest()


def test_report_that_cannot_be_read_back_is_tried_again_later(open_desk: OpenDesk) -> None:
    desk = open_desk(12 * MIB)
    desk.copy()
    client = desk.fresh_client()
    Seam(client).answer("GetObject", 503, "SlowDown", times=None)
    with pytest.raises(ArtifactUnavailableError):
        desk.copy(s3=client)


@pytest.mark.parametrize("ranges", [True, False])
def test_upload_that_is_gone_on_complete_is_looked_for_under_the_key(open_desk: OpenDesk, ranges: bool) -> None:
    desk = open_desk(12 * MIB)
    if not ranges:
        desk.strike(IgnoreRange(), times=None)
    seam = Seam(desk.s3)
    seam.call("CompleteMultipartUpload", lambda: desk.copy(s3=desk.fresh_client()))
    seam.answer("CompleteMultipartUpload", 404, "NoSuchUpload")
    assert desk.copy().sha256 == hashlib.sha256(desk.report).hexdigest()
    assert seam.calls.count("CompleteMultipartUpload") == 1


def test_upload_that_is_gone_on_complete_without_an_object_begins_anew(open_desk: OpenDesk) -> None:
    desk = open_desk(12 * MIB)
    Seam(desk.s3).answer("CompleteMultipartUpload", 404, "NoSuchUpload")
    desk.copy()
    assert desk.stored() == desk.report


def test_interrupt_leaves_nothing(open_desk: OpenDesk) -> None:
    desk = open_desk(27 * MIB)

    def interrupt() -> None:
        raise KeyboardInterrupt

    Seam(desk.s3).call("UploadPart", interrupt, nth=2)
    with pytest.raises(KeyboardInterrupt):
        desk.copy()
    assert desk.open_uploads() == []


def _store_one_part(desk: Desk) -> None:
    """Leave a copy behind of which one part is stored."""
    client = desk.fresh_client()
    Seam(client).answer("UploadPart", 503, "SlowDown", nth=2, times=None)
    with pytest.raises(ArtifactUnavailableError):
        desk.copy(s3=client, options=CopyOptions(workers=1, part_size_bytes=5 * MIB))
