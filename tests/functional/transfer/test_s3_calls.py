"""What S3 and its imitations respond: a success counts only with what S3 promises, and a refusal names its cause."""

from __future__ import annotations

import hashlib

import pytest

from courier.errors import ArtifactUnavailableError, SettingsError
from courier.transfer.checkpoint import MemoryCheckpointStore
from courier.transfer.options import MIB, CopyOptions
from tests.functional.transfer.conftest import NewHarness
from tests.functional.transfer.harness import CopyHarness, S3Interceptor

ONE_WORKER = CopyOptions(workers=1, part_size_bytes=5 * MIB)
NOTHING = {
    "empty": b"",
    "page": b"<html><body>Please sign in</body></html>",
    "page that is no XML": b"<html><body>Please sign in<br></body></html>",
    "empty result": b"<CompleteMultipartUploadResult></CompleteMultipartUploadResult>",
}
CREATES = {300_000: "PutObject", 12 * MIB: "CompleteMultipartUpload"}


@pytest.mark.parametrize("body", NOTHING.values(), ids=NOTHING)
@pytest.mark.parametrize("size_bytes", CREATES)
def test_success_that_proves_nothing_is_not_believed(new_harness: NewHarness, size_bytes: int, body: bytes) -> None:
    harness = new_harness(size_bytes)
    client = harness.fresh_client()
    S3Interceptor(client).respond_with(CREATES[size_bytes], body, times=None)
    with pytest.raises(ArtifactUnavailableError, match=f"{CREATES[size_bytes]} on s3://reports failed 5 times"):
        harness.copy(s3=client)
    assert harness.stored() is None
    _ends_without_sending_a_part_again(harness)


@pytest.mark.parametrize("size_bytes", CREATES)
def test_success_that_proves_nothing_is_tried_again(new_harness: NewHarness, size_bytes: int) -> None:
    harness = new_harness(size_bytes)
    interceptor = S3Interceptor(harness.s3)
    interceptor.respond_with(CREATES[size_bytes], NOTHING["page"], times=2)
    assert harness.copy().sha256 == hashlib.sha256(harness.report).hexdigest()
    assert harness.stored() == harness.report
    assert interceptor.calls.count("HeadObject") == (2 if size_bytes < MIB else 3)


@pytest.mark.parametrize("size_bytes", CREATES)
def test_success_that_proves_nothing_is_proven_by_the_object(new_harness: NewHarness, size_bytes: int) -> None:
    harness = new_harness(size_bytes)
    interceptor = S3Interceptor(harness.s3)
    interceptor.lose_response(CREATES[size_bytes], status=200, body=b"")
    assert harness.copy().sha256 == hashlib.sha256(harness.report).hexdigest()
    assert interceptor.calls.count(CREATES[size_bytes]) == 1


@pytest.mark.parametrize("body", NOTHING.values(), ids=NOTHING)
@pytest.mark.parametrize("operation", ["CreateMultipartUpload", "UploadPart", "HeadObject"])
def test_page_in_the_place_of_a_response_is_a_failure_of_one_line(
    new_harness: NewHarness, operation: str, body: bytes
) -> None:
    harness = new_harness(12 * MIB)
    harness.checkpoints = MemoryCheckpointStore(outlives_process=False)
    interceptor = S3Interceptor(harness.s3)
    interceptor.respond_with(operation, body, times=2)
    harness.copy(options=ONE_WORKER)
    assert harness.stored() == harness.report
    harness.s3.delete_object(Bucket=harness.destination.bucket, Key=harness.destination.key)
    interceptor.respond_with(operation, body, nth=1, times=None)
    with pytest.raises(ArtifactUnavailableError, match=f"{operation} on s3://reports failed 5 times"):
        harness.copy(options=ONE_WORKER)


def test_page_in_the_place_of_the_list_of_parts_costs_no_part(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    client = harness.fresh_client()
    S3Interceptor(client).respond("UploadPart", 503, "SlowDown", nth=2, times=None)
    with pytest.raises(ArtifactUnavailableError):
        harness.copy(s3=client, options=ONE_WORKER)
    interceptor = S3Interceptor(harness.s3)
    interceptor.respond_with("ListParts", NOTHING["page"])
    harness.copy()
    assert interceptor.calls.count("UploadPart") == 2


def test_abort_that_is_not_confirmed_is_repeated(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    interceptor = S3Interceptor(harness.s3)
    interceptor.respond("UploadPart", 403, "AccessDenied", times=None)
    interceptor.respond_with("AbortMultipartUpload", NOTHING["page"])
    with pytest.raises(SettingsError):
        harness.copy()
    assert harness.open_uploads() == []


@pytest.mark.parametrize("body", NOTHING.values(), ids=NOTHING)
def test_page_is_not_hashed_in_the_place_of_the_object(new_harness: NewHarness, body: bytes) -> None:
    harness = new_harness(12 * MIB)
    harness.copy()
    S3Interceptor(harness.s3).respond_with("GetObject", body)
    assert harness.copy().sha256 == hashlib.sha256(harness.report).hexdigest()


@pytest.mark.parametrize("operation", ["PutObject", "UploadPart", "CompleteMultipartUpload"])
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "IncompleteBody"),
        (400, "RequestTimeout"),
        (400, "BadDigest"),
        (400, "XAmzContentSHA256Mismatch"),
        (400, "MissingRequestBodyError"),
        (408, "anything"),
        (429, "anything"),
        (499, "ClientDisconnected"),
        (400, "ThrottlingException"),
        (403, "RequestLimitExceeded"),
    ],
)
def test_request_that_was_lost_or_throttled_is_sent_again(
    new_harness: NewHarness, operation: str, status: int, code: str
) -> None:
    harness = new_harness(300_000 if operation == "PutObject" else 12 * MIB)
    interceptor = S3Interceptor(harness.s3)
    interceptor.respond(operation, status, code, times=2)
    harness.copy(options=ONE_WORKER)
    assert harness.stored() == harness.report
    assert harness.waits == [0.25, 0.5]


@pytest.mark.parametrize("size_bytes", CREATES)
def test_header_that_the_store_refuses_is_named_with_the_option(new_harness: NewHarness, size_bytes: int) -> None:
    harness = new_harness(size_bytes)
    operation = "PutObject" if size_bytes < MIB else "CreateMultipartUpload"
    message = "Unsupported header 'x-amz-checksum-sha256' received for this API call."
    body = f"<Error><Code>InvalidArgument</Code><Message>{message}</Message></Error>".encode()
    S3Interceptor(harness.s3).respond_with(operation, body, status=400)
    with pytest.raises(SettingsError, match=r"does not take x-amz-checksum-sha256: `courier copy --content-md5`"):
        harness.copy()


def test_condition_that_the_store_refuses_is_named_without_a_way_round(new_harness: NewHarness) -> None:
    harness = new_harness(300_000)
    body = b"<Error><Code>NotImplemented</Code><Header>If-None-Match</Header><Message>not implemented</Message></Error>"
    S3Interceptor(harness.s3).respond_with("PutObject", body, status=501)
    with pytest.raises(SettingsError, match=r"does not take if-none-match, without which an object could be overw"):
        harness.copy()


@pytest.mark.parametrize("size_bytes", CREATES)
@pytest.mark.parametrize("checks", [True, False])
def test_right_that_is_missing_is_named_with_all_that_a_copy_needs(
    new_harness: NewHarness, size_bytes: int, checks: bool
) -> None:
    harness = new_harness(size_bytes)
    operation = "HeadObject" if checks else "PutObject" if size_bytes < MIB else "CreateMultipartUpload"
    S3Interceptor(harness.s3).respond(operation, 403, "AccessDenied", times=None)
    with pytest.raises(SettingsError, match=rf"refuses {operation} .* of any size needs s3:PutObject; .*s3:ListBucket"):
        harness.copy(honours_conditions=not checks)
    assert harness.stored() is None


@pytest.mark.parametrize("size_bytes", CREATES)
def test_amazon_needs_the_right_to_put_alone_at_every_size(new_harness: NewHarness, size_bytes: int) -> None:
    harness = new_harness(size_bytes)
    harness.checkpoints = MemoryCheckpointStore(outlives_process=False)
    client = harness.fresh_client()
    interceptor = S3Interceptor(client)
    for operation in ("HeadObject", "GetObject", "ListParts", "ListMultipartUploads", "AbortMultipartUpload"):
        interceptor.respond(operation, 403, "AccessDenied", times=None)
    harness.copy(s3=client)
    assert harness.stored() == harness.report


def _ends_without_sending_a_part_again(harness: CopyHarness) -> None:
    """What an unproven success leaves is a copy to resume: nothing was swept or cleared."""
    interceptor = S3Interceptor(harness.s3)
    kept = harness.checkpoints.load()
    harness.copy()
    assert harness.stored() == harness.report
    assert "UploadPart" not in interceptor.calls or kept is None
