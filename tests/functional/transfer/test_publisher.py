"""One object appears, once: whatever is stored already, and whether or not S3 responds."""

from __future__ import annotations

import hashlib

import pytest

from courier.errors import ArtifactConflictError, ArtifactRefusedError, ArtifactUnavailableError, SettingsError
from courier.transfer.checkpoint import MemoryCheckpointStore
from courier.transfer.options import MIB, CopyOptions
from local.simulator import IgnoreRange, NoLength
from tests.functional.transfer.conftest import NewHarness
from tests.functional.transfer.harness import BUCKET, KEY, CopyHarness, S3Interceptor, other_report

SIZES = [300_000, 12 * MIB]


@pytest.mark.parametrize("size_bytes", SIZES)
def test_copying_again_finds_the_same_report(new_harness: NewHarness, size_bytes: int) -> None:
    harness = new_harness(size_bytes)
    first = harness.copy()
    assert harness.copy() == first


def test_copying_a_large_report_again_moves_nothing(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)
    harness.copy()
    interceptor = S3Interceptor(harness.s3)
    harness.copy()
    assert set(interceptor.calls) == {"HeadObject", "GetObject", "ListMultipartUploads"}


@pytest.mark.parametrize("size_bytes", SIZES)
def test_same_bytes_that_another_copier_stored_are_success(new_harness: NewHarness, size_bytes: int) -> None:
    harness = new_harness(size_bytes)
    harness.s3.put_object(Bucket=BUCKET, Key=KEY, Body=harness.report)
    artifact = harness.copy()
    assert artifact.sha256 == hashlib.sha256(harness.report).hexdigest()


@pytest.mark.parametrize("size_bytes", SIZES)
@pytest.mark.parametrize("same_size", [True, False])
def test_other_bytes_under_the_key_are_a_conflict_and_stay(
    new_harness: NewHarness, size_bytes: int, same_size: bool
) -> None:
    harness = new_harness(size_bytes)
    other = other_report(harness.report) if same_size else b"%PDF-1.7 something else"
    harness.others.append(other)
    harness.s3.put_object(Bucket=BUCKET, Key=KEY, Body=other)
    with pytest.raises(ArtifactConflictError, match="nothing was overwritten"):
        harness.copy()
    assert harness.stored() == other


@pytest.mark.parametrize("length", [True, False])
def test_other_bytes_are_a_conflict_for_a_stream(new_harness: NewHarness, length: bool) -> None:
    harness = new_harness(12 * MIB)
    harness.others.append(b"something else")
    harness.s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"something else")
    harness.inject(IgnoreRange(), times=None)
    if not length:
        harness.inject(NoLength(), times=None)
    with pytest.raises(ArtifactConflictError):
        harness.copy()


def test_object_that_appears_during_the_copy_is_compared(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    interceptor = S3Interceptor(harness.s3)
    other = harness.fresh_client()
    interceptor.call("CompleteMultipartUpload", lambda: other.put_object(Bucket=BUCKET, Key=KEY, Body=harness.report))
    assert harness.copy().sha256 == hashlib.sha256(harness.report).hexdigest()


def test_conflict_during_a_continued_copy_is_found_by_reading_it_all(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    _store_one_part(harness)
    harness.others.append(other_report(harness.report))
    harness.s3.put_object(Bucket=BUCKET, Key=KEY, Body=other_report(harness.report))
    with pytest.raises(ArtifactConflictError):
        harness.copy()


def test_same_bytes_during_a_continued_copy_are_success(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    _store_one_part(harness)
    harness.s3.put_object(Bucket=BUCKET, Key=KEY, Body=harness.report)
    assert harness.copy().sha256 == hashlib.sha256(harness.report).hexdigest()


@pytest.mark.parametrize("size_bytes", SIZES)
def test_response_that_was_lost_after_publishing_is_success(new_harness: NewHarness, size_bytes: int) -> None:
    harness = new_harness(size_bytes)
    operation = "PutObject" if size_bytes < MIB else "CompleteMultipartUpload"
    interceptor = S3Interceptor(harness.s3)
    interceptor.lose_response(operation)
    artifact = harness.copy()
    assert harness.stored() == harness.report
    assert artifact.sha256 == hashlib.sha256(harness.report).hexdigest()
    assert interceptor.calls.count(operation) == 2


def test_object_that_was_created_without_a_response_is_success(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    interceptor = S3Interceptor(harness.s3)
    interceptor.lose_response("CompleteMultipartUpload")
    interceptor.respond("CompleteMultipartUpload", 500, "InternalError", nth=2, times=None)
    assert harness.copy().sha256 == hashlib.sha256(harness.report).hexdigest()
    assert harness.stored() == harness.report


@pytest.mark.parametrize("operation", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "PutObject"])
@pytest.mark.parametrize("code", ["SlowDown", "InternalError"])
def test_transient_failure_of_s3_is_retried(new_harness: NewHarness, operation: str, code: str) -> None:
    harness = new_harness(300_000 if operation == "PutObject" else 12 * MIB)
    S3Interceptor(harness.s3).respond(operation, 503, code, times=2)
    harness.copy(options=CopyOptions(workers=1, part_size_bytes=5 * MIB))
    assert harness.stored() == harness.report
    assert harness.waits == [0.25, 0.5]


def test_part_that_was_damaged_on_the_way_is_sent_again(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    S3Interceptor(harness.s3).respond("UploadPart", 400, "BadDigest", nth=2)
    harness.copy()
    assert harness.stored() == harness.report


def test_create_that_meets_another_write_begins_anew(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    interceptor = S3Interceptor(harness.s3)
    interceptor.respond("CompleteMultipartUpload", 409, "ConditionalRequestConflict")
    harness.copy()
    assert harness.stored() == harness.report
    # S3 does not complete such an upload any more: every part is uploaded again.
    assert interceptor.calls.count("CreateMultipartUpload") == 2


@pytest.mark.parametrize("same", [True, False])
def test_create_that_met_another_write_is_compared_with_it(new_harness: NewHarness, same: bool) -> None:
    harness = new_harness(12 * MIB)
    written = harness.report if same else other_report(harness.report)
    harness.others.append(written)
    other, interceptor = harness.fresh_client(), S3Interceptor(harness.s3)
    interceptor.call("CompleteMultipartUpload", lambda: other.put_object(Bucket=BUCKET, Key=KEY, Body=written))
    interceptor.respond("CompleteMultipartUpload", 409, "ConditionalRequestConflict")
    if same:
        assert harness.copy().sha256 == hashlib.sha256(harness.report).hexdigest()
    else:
        with pytest.raises(ArtifactConflictError, match="nothing was overwritten"):
            harness.copy()


def test_small_create_that_meets_another_is_tried_again(new_harness: NewHarness) -> None:
    harness = new_harness(300_000)
    S3Interceptor(harness.s3).respond("PutObject", 409, "ConditionalRequestConflict")
    harness.copy()
    assert harness.stored() == harness.report


@pytest.mark.parametrize("size_bytes", SIZES)
@pytest.mark.parametrize("same_size", [True, False])
def test_nothing_is_overwritten_where_the_store_ignores_the_condition(
    new_harness: NewHarness, size_bytes: int, same_size: bool
) -> None:
    harness = new_harness(size_bytes)
    S3Interceptor(harness.s3).ignore_conditions()
    other = other_report(harness.report) if same_size else b"%PDF-1.7 something else"
    harness.others.append(other)
    harness.s3.put_object(Bucket=BUCKET, Key=KEY, Body=other)
    existing: list[bool] = []
    with pytest.raises(ArtifactConflictError, match="nothing was overwritten"):
        harness.copy(honours_conditions=None, on_existing=lambda: existing.append(True))
    assert harness.stored() == other
    assert existing == []


@pytest.mark.parametrize("size_bytes", SIZES)
def test_same_bytes_are_compared_where_the_store_ignores_the_condition(
    new_harness: NewHarness, size_bytes: int
) -> None:
    harness = new_harness(size_bytes)
    interceptor = S3Interceptor(harness.s3)
    interceptor.ignore_conditions()
    harness.s3.put_object(Bucket=BUCKET, Key=KEY, Body=harness.report)
    existing: list[bool] = []
    harness.copy(honours_conditions=None, on_existing=lambda: existing.append(True))
    assert existing == [True]
    assert "CompleteMultipartUpload" not in interceptor.calls
    assert interceptor.calls.count("PutObject") == 1  # the one above


@pytest.mark.parametrize("size_bytes", SIZES)
def test_writer_at_the_same_moment_is_found_where_the_store_ignores_the_condition(
    new_harness: NewHarness, size_bytes: int
) -> None:
    harness = new_harness(size_bytes)
    interceptor, other = S3Interceptor(harness.s3), harness.fresh_client()
    interceptor.ignore_conditions()
    theirs = other_report(harness.report)
    harness.others.append(theirs)
    # The look after the write; the looks before it are one and, where parts are copied, two.
    nth = 2 if size_bytes < MIB else 3
    interceptor.call("HeadObject", lambda: other.put_object(Bucket=BUCKET, Key=KEY, Body=theirs), nth=nth)
    with pytest.raises(ArtifactConflictError, match="another writer was here, and the store ignores If-None-Match"):
        harness.copy(honours_conditions=None)


@pytest.mark.parametrize("size_bytes", SIZES)
def test_report_that_is_not_wanted_any_more_is_not_published(new_harness: NewHarness, size_bytes: int) -> None:
    harness = new_harness(size_bytes)
    interceptor = S3Interceptor(harness.s3)
    with pytest.raises(ArtifactRefusedError, match="recorded as undeliverable already"):
        harness.copy(still_wanted=lambda: False)
    assert harness.stored() is None
    assert not {"PutObject", "CompleteMultipartUpload"} & set(interceptor.calls)


@pytest.mark.parametrize(
    ("operation", "status", "code", "error"),
    [
        ("CreateMultipartUpload", 403, "AccessDenied", SettingsError),
        ("UploadPart", 403, "AccessDenied", SettingsError),
        ("UploadPart", 503, "SlowDown", ArtifactUnavailableError),
        ("CompleteMultipartUpload", 403, "AccessDenied", SettingsError),
        ("CompleteMultipartUpload", 500, "InternalError", ArtifactUnavailableError),
        ("CompleteMultipartUpload", 501, "NotImplemented", SettingsError),
        ("CompleteMultipartUpload", 400, "EntityTooSmall", SettingsError),
    ],
)
def test_copy_that_fails_for_good_leaves_nothing(
    new_harness: NewHarness, operation: str, status: int, code: str, error: type[Exception]
) -> None:
    harness = new_harness(12 * MIB)
    harness.checkpoints = MemoryCheckpointStore(outlives_process=False)
    S3Interceptor(harness.s3).respond(operation, status, code, times=None)
    with pytest.raises(error, match=code):
        harness.copy()
    assert harness.stored() is None


def test_upload_that_cannot_be_aborted_stays_in_the_checkpoint(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    client = harness.fresh_client()
    interceptor = S3Interceptor(client)
    interceptor.respond("UploadPart", 403, "AccessDenied", times=None)
    interceptor.respond("AbortMultipartUpload", 503, "SlowDown", times=None)
    with pytest.raises(SettingsError) as caught:
        harness.copy(s3=client)
    assert "could not be aborted" in caught.value.__notes__[0]
    assert harness.checkpoints.load() is not None
    harness.copy()
    assert harness.stored() == harness.report


def test_parts_that_another_copier_stored_again_are_listed_again(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    S3Interceptor(harness.s3).respond("CompleteMultipartUpload", 400, "InvalidPart")
    harness.copy()
    assert harness.stored() == harness.report


def test_read_back_that_fails_midway_is_continued(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    harness.copy()
    S3Interceptor(harness.s3).respond("GetObject", 503, "SlowDown", times=2)
    assert harness.copy().sha256 == hashlib.sha256(harness.report).hexdigest()


def test_report_that_cannot_be_read_back_is_tried_again_later(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    harness.copy()
    client = harness.fresh_client()
    S3Interceptor(client).respond("GetObject", 503, "SlowDown", times=None)
    with pytest.raises(ArtifactUnavailableError):
        harness.copy(s3=client)


@pytest.mark.parametrize("ranges", [True, False])
def test_upload_that_is_gone_on_complete_is_found_under_the_key(new_harness: NewHarness, ranges: bool) -> None:
    harness = new_harness(12 * MIB)
    if not ranges:
        harness.inject(IgnoreRange(), times=None)
    interceptor = S3Interceptor(harness.s3)
    interceptor.call("CompleteMultipartUpload", lambda: harness.copy(s3=harness.fresh_client()))
    interceptor.respond("CompleteMultipartUpload", 404, "NoSuchUpload")
    assert harness.copy().sha256 == hashlib.sha256(harness.report).hexdigest()
    assert interceptor.calls.count("CompleteMultipartUpload") == 1


def test_upload_that_is_gone_on_complete_without_an_object_begins_anew(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    S3Interceptor(harness.s3).respond("CompleteMultipartUpload", 404, "NoSuchUpload")
    harness.copy()
    assert harness.stored() == harness.report


def test_interrupt_leaves_nothing(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)

    def interrupt() -> None:
        raise KeyboardInterrupt

    S3Interceptor(harness.s3).call("UploadPart", interrupt, nth=2)
    with pytest.raises(KeyboardInterrupt):
        harness.copy()
    assert harness.open_uploads() == []


def _store_one_part(harness: CopyHarness) -> None:
    """Leave a copy behind of which one part is stored."""
    client = harness.fresh_client()
    S3Interceptor(client).respond("UploadPart", 503, "SlowDown", nth=2, times=None)
    with pytest.raises(ArtifactUnavailableError):
        harness.copy(s3=client, options=CopyOptions(workers=1, part_size_bytes=5 * MIB))
