"""One request, parallel parts and the single stream: each delivers every byte and reports it."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest

from courier.errors import ArtifactIncompleteError, ArtifactUnavailableError
from courier.transfer.options import MIB, CopyOptions
from local.simulator import (
    ConnectionEnd,
    CutBody,
    ErrorStatus,
    IgnoreRange,
    NoLength,
    ResetBeforeReading,
    SetHeaders,
    Unanswered,
)
from tests.functional.transfer.conftest import NewHarness
from tests.functional.transfer.harness import BUCKET, KEY, S3Interceptor


def test_small_report_takes_one_get_and_one_put(new_harness: NewHarness) -> None:
    harness = new_harness(300_000)
    interceptor = S3Interceptor(harness.s3)
    artifact = harness.copy()
    assert interceptor.calls == ["PutObject"]
    assert harness.ranges() == ["bytes=0-5242879"]
    assert harness.stored() == harness.report
    assert artifact.sha256 == hashlib.sha256(harness.report).hexdigest()
    assert (artifact.size_bytes, artifact.content_type, artifact.verified) == (300_000, "application/pdf", True)


def test_report_of_exactly_one_part_takes_the_short_way(new_harness: NewHarness) -> None:
    harness = new_harness(5 * MIB)
    interceptor = S3Interceptor(harness.s3)
    harness.copy()
    assert interceptor.calls == ["PutObject"]
    assert harness.stored() == harness.report


def test_large_report_is_fetched_in_parts_under_if_match(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)
    artifact = harness.copy()
    assert harness.stored() == harness.report
    assert artifact.sha256 == hashlib.sha256(harness.report).hexdigest()
    assert sorted(harness.ranges(), key=str) == sorted(
        (f"bytes={start * MIB}-{min(start + 5, 27) * MIB - 1}" for start in range(0, 27, 5)), key=str
    )
    assert harness.progress[-1] == (27 * MIB, 27 * MIB)
    head = harness.s3.head_object(Bucket=BUCKET, Key=KEY)
    assert (head["ContentType"], head["Metadata"]["source-etag"]) == ("application/pdf", f'"{_md5(harness.report)}"')


def test_report_is_never_requested_with_head(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    harness.copy()
    assert {entry.method for entry in harness.providers.requests} == {"GET"}


def test_small_report_keeps_its_digest_with_the_object(new_harness: NewHarness) -> None:
    harness = new_harness(300_000)
    artifact = harness.copy()
    head = harness.s3.head_object(Bucket=BUCKET, Key=KEY, ChecksumMode="ENABLED")
    assert head["Metadata"]["sha256"] == artifact.sha256


@pytest.mark.parametrize("size_bytes", [300_000, 12 * MIB, 15 * MIB])
def test_source_that_ignores_ranges_is_streamed(new_harness: NewHarness, size_bytes: int) -> None:
    harness = new_harness(size_bytes)
    harness.inject(IgnoreRange(), times=None)
    artifact = harness.copy()
    assert harness.stored() == harness.report
    assert harness.statuses() == [200]
    assert (artifact.sha256, artifact.verified) == (hashlib.sha256(harness.report).hexdigest(), True)


@pytest.mark.parametrize("etag", [None, 'W/"weak"', "unquoted", '"' + "x" * 300 + '"'])
def test_source_without_a_strong_validator_is_streamed(new_harness: NewHarness, etag: str | None) -> None:
    harness = new_harness(12 * MIB)
    harness.inject(SetHeaders({"ETag": etag}), times=None)
    harness.copy()
    assert harness.stored() == harness.report
    assert harness.ranges() == ["bytes=0-5242879", None]


def test_source_that_hides_the_total_of_a_range_is_streamed(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    harness.inject(SetHeaders({"Content-Range": "bytes 0-5242879/*"}))
    harness.copy()
    assert harness.stored() == harness.report


@pytest.mark.parametrize("size_bytes", [300_000, 10 * MIB, 12 * MIB])
def test_stream_without_any_length_is_proven_by_the_end_mark(new_harness: NewHarness, size_bytes: int) -> None:
    harness = new_harness(size_bytes)
    harness.inject(IgnoreRange(), times=None)
    harness.inject(NoLength(), times=None)
    artifact = harness.copy(locate=harness.locate_without_size)
    assert harness.stored() == harness.report
    assert artifact.verified


def test_format_without_an_end_mark_is_not_called_verified(new_harness: NewHarness) -> None:
    harness = new_harness(300_000)
    harness.inject(IgnoreRange(), times=None)
    harness.inject(NoLength(), times=None)
    harness.inject(SetHeaders({"Content-Type": "text/csv"}), times=None)
    assert not harness.copy(locate=harness.locate_without_size, content_types=["text/csv"]).verified


def test_length_that_only_the_provider_knows_verifies_a_stream(new_harness: NewHarness) -> None:
    harness = new_harness(300_000)
    harness.inject(IgnoreRange(), times=None)
    harness.inject(NoLength(), times=None)
    harness.inject(SetHeaders({"Content-Type": "text/csv"}), times=None)
    assert harness.copy(content_types=["text/csv"]).verified


@pytest.mark.parametrize(
    "fault",
    [
        ErrorStatus(503),
        ErrorStatus(500),
        ErrorStatus(429),
        ResetBeforeReading(),
        Unanswered(),
        CutBody(1_000),
        CutBody(1_000, ending=ConnectionEnd.RESET),
    ],
    ids=repr,
)
@pytest.mark.parametrize("nth", [1, 3])
def test_transient_failure_of_one_request_is_retried(new_harness: NewHarness, fault: ErrorStatus, nth: int) -> None:
    harness = new_harness(12 * MIB)
    harness.inject(fault, nth=nth)
    harness.copy()
    assert harness.stored() == harness.report
    assert harness.waits == [0.25]


def test_part_that_broke_off_goes_on_where_it_stopped(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    harness.inject(CutBody(1_000), nth=2)
    harness.copy(options=CopyOptions(workers=1, part_size_bytes=5 * MIB))
    assert harness.ranges()[2] == f"bytes={5 * MIB + 1_000}-{10 * MIB - 1}"
    assert harness.stored() == harness.report


def test_waits_grow_and_end(new_harness: NewHarness) -> None:
    harness = new_harness(300_000)
    harness.inject(ErrorStatus(503), times=None)
    with pytest.raises(ArtifactUnavailableError, match="503 SlowDown; gave up after 5 tries"):
        harness.copy()
    assert harness.waits == [0.25, 0.5, 1.0, 2.0]


def test_waits_heed_retry_after_within_reason(new_harness: NewHarness) -> None:
    harness = new_harness(300_000)
    harness.inject(ErrorStatus(503, retry_after=3))
    harness.inject(ErrorStatus(503, retry_after=86_400), nth=2)
    harness.inject(ErrorStatus(503, retry_after=harness.clock() + timedelta(seconds=4)), nth=3)
    harness.copy()
    assert harness.waits == [3.0, 120.0, 4.0]


def test_stream_that_breaks_off_begins_anew(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    harness.inject(IgnoreRange(), times=None)
    harness.inject(CutBody(7 * MIB))
    harness.copy()
    assert harness.stored() == harness.report
    assert harness.statuses() == [200, 200]


def test_stream_that_always_breaks_off_ends(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    harness.inject(IgnoreRange(), times=None)
    harness.inject(CutBody(7 * MIB), times=None)
    with pytest.raises(ArtifactIncompleteError, match="gave up"):
        harness.copy()


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
