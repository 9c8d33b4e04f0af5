"""The short way, the parallel way and the stream: each brings every byte and says so."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest

from courier.errors import ArtifactIncompleteError, ArtifactUnavailableError
from courier.transfer.options import CopyOptions
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
from tests.functional.transfer.conftest import OpenDesk
from tests.functional.transfer.desk import BUCKET, KEY, MIB, Seam


def test_small_report_takes_one_get_and_one_put(open_desk: OpenDesk) -> None:
    desk = open_desk(300_000)
    seam = Seam(desk.s3)
    artifact = desk.copy()
    assert seam.calls == ["PutObject"]
    assert desk.ranges() == ["bytes=0-5242879"]
    assert desk.stored() == desk.report
    assert artifact.sha256 == hashlib.sha256(desk.report).hexdigest()
    assert (artifact.size_bytes, artifact.content_type, artifact.verified) == (300_000, "application/pdf", True)


def test_report_of_exactly_one_part_takes_the_short_way(open_desk: OpenDesk) -> None:
    desk = open_desk(5 * MIB)
    seam = Seam(desk.s3)
    desk.copy()
    assert seam.calls == ["PutObject"]
    assert desk.stored() == desk.report


def test_large_report_is_fetched_in_parts_under_if_match(open_desk: OpenDesk) -> None:
    desk = open_desk(27 * MIB)
    artifact = desk.copy()
    assert desk.stored() == desk.report
    assert artifact.sha256 == hashlib.sha256(desk.report).hexdigest()
    assert sorted(desk.ranges(), key=str) == sorted(
        (f"bytes={start * MIB}-{min(start + 5, 27) * MIB - 1}" for start in range(0, 27, 5)), key=str
    )
    assert desk.progress[-1] == (27 * MIB, 27 * MIB)
    head = desk.s3.head_object(Bucket=BUCKET, Key=KEY)
    assert (head["ContentType"], head["Metadata"]["source-etag"]) == ("application/pdf", f'"{_md5(desk.report)}"')


def test_report_is_never_asked_for_with_head(open_desk: OpenDesk) -> None:
    desk = open_desk(12 * MIB)
    desk.copy()
    assert {entry.method for entry in desk.providers.requests} == {"GET"}


def test_small_report_keeps_its_digest_with_the_object(open_desk: OpenDesk) -> None:
    desk = open_desk(300_000)
    artifact = desk.copy()
    head = desk.s3.head_object(Bucket=BUCKET, Key=KEY, ChecksumMode="ENABLED")
    assert head["Metadata"]["sha256"] == artifact.sha256


@pytest.mark.parametrize("size_bytes", [300_000, 12 * MIB, 15 * MIB])
def test_source_that_ignores_ranges_is_streamed(open_desk: OpenDesk, size_bytes: int) -> None:
    desk = open_desk(size_bytes)
    desk.strike(IgnoreRange(), times=None)
    artifact = desk.copy()
    assert desk.stored() == desk.report
    assert desk.statuses() == [200]
    assert (artifact.sha256, artifact.verified) == (hashlib.sha256(desk.report).hexdigest(), True)


@pytest.mark.parametrize("etag", [None, 'W/"weak"', "unquoted", '"' + "x" * 300 + '"'])
def test_source_without_a_strong_validator_is_streamed(open_desk: OpenDesk, etag: str | None) -> None:
    desk = open_desk(12 * MIB)
    desk.strike(SetHeaders({"ETag": etag}), times=None)
    desk.copy()
    assert desk.stored() == desk.report
    assert desk.ranges() == ["bytes=0-5242879", None]


def test_source_that_hides_the_total_of_a_range_is_streamed(open_desk: OpenDesk) -> None:
    desk = open_desk(12 * MIB)
    desk.strike(SetHeaders({"Content-Range": "bytes 0-5242879/*"}))
    desk.copy()
    assert desk.stored() == desk.report


@pytest.mark.parametrize("size_bytes", [300_000, 10 * MIB, 12 * MIB])
def test_stream_without_any_length_is_proven_by_the_end_mark(open_desk: OpenDesk, size_bytes: int) -> None:
    desk = open_desk(size_bytes)
    desk.strike(IgnoreRange(), times=None)
    desk.strike(NoLength(), times=None)
    artifact = desk.copy(locate=desk.locate_without_size)
    assert desk.stored() == desk.report
    assert artifact.verified


def test_format_without_an_end_mark_is_not_called_verified(open_desk: OpenDesk) -> None:
    desk = open_desk(300_000)
    desk.strike(IgnoreRange(), times=None)
    desk.strike(NoLength(), times=None)
    desk.strike(SetHeaders({"Content-Type": "text/csv"}), times=None)
    assert not desk.copy(locate=desk.locate_without_size, content_types=["text/csv"]).verified


def test_length_that_only_the_provider_knows_verifies_a_stream(open_desk: OpenDesk) -> None:
    desk = open_desk(300_000)
    desk.strike(IgnoreRange(), times=None)
    desk.strike(NoLength(), times=None)
    desk.strike(SetHeaders({"Content-Type": "text/csv"}), times=None)
    assert desk.copy(content_types=["text/csv"]).verified


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
def test_trouble_with_one_request_passes(open_desk: OpenDesk, fault: ErrorStatus, nth: int) -> None:
    desk = open_desk(12 * MIB)
    desk.strike(fault, nth=nth)
    desk.copy()
    assert desk.stored() == desk.report
    assert desk.waits == [0.25]


def test_part_that_broke_off_goes_on_where_it_stopped(open_desk: OpenDesk) -> None:
    desk = open_desk(12 * MIB)
    desk.strike(CutBody(1_000), nth=2)
    desk.copy(options=CopyOptions(workers=1, part_size_bytes=5 * MIB))
    assert desk.ranges()[2] == f"bytes={5 * MIB + 1_000}-{10 * MIB - 1}"
    assert desk.stored() == desk.report


def test_waits_grow_and_end(open_desk: OpenDesk) -> None:
    desk = open_desk(300_000)
    desk.strike(ErrorStatus(503), times=None)
    with pytest.raises(ArtifactUnavailableError, match="503 SlowDown; gave up after 5 tries"):
        desk.copy()
    assert desk.waits == [0.25, 0.5, 1.0, 2.0]


def test_waits_heed_retry_after_within_reason(open_desk: OpenDesk) -> None:
    desk = open_desk(300_000)
    desk.strike(ErrorStatus(503, retry_after=3))
    desk.strike(ErrorStatus(503, retry_after=86_400), nth=2)
    desk.strike(ErrorStatus(503, retry_after=desk.clock() + timedelta(seconds=4)), nth=3)
    desk.copy()
    assert desk.waits == [3.0, 8.0, 4.0]


def test_stream_that_breaks_off_begins_anew(open_desk: OpenDesk) -> None:
    desk = open_desk(12 * MIB)
    desk.strike(IgnoreRange(), times=None)
    desk.strike(CutBody(7 * MIB))
    desk.copy()
    assert desk.stored() == desk.report
    assert desk.statuses() == [200, 200]


def test_stream_that_always_breaks_off_ends(open_desk: OpenDesk) -> None:
    desk = open_desk(12 * MIB)
    desk.strike(IgnoreRange(), times=None)
    desk.strike(CutBody(7 * MIB), times=None)
    with pytest.raises(ArtifactIncompleteError, match="gave up"):
        desk.copy()


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
