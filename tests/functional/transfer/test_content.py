"""Responses that are refused: truncated, encoded, of another type, of another size, or empty."""

from __future__ import annotations

import gzip
import hashlib

import pytest

from courier.errors import ArtifactIncompleteError, ArtifactRefusedError, CopyUnfinishedError, SettingsError
from courier.models import BuildRef
from courier.object_keys import artifact_key
from courier.transfer.options import MIB, CopyOptions, Destination
from local.simulator import (
    HTML_PAGE,
    XML_ERROR,
    CorruptBody,
    CutBody,
    Fault,
    GzipBody,
    IgnoreRange,
    NoLength,
    ReplaceBody,
    Reply,
    SetHeaders,
)
from tests.functional.transfer.conftest import NewHarness
from tests.functional.transfer.harness import BUCKET, Invocation, S3Interceptor

PDF = b"%PDF-1.7\n1 0 obj\n%%EOF\n"


@pytest.mark.parametrize("size_bytes", [300_000, 12 * MIB])
def test_body_that_is_always_cut_is_never_published(new_harness: NewHarness, size_bytes: int) -> None:
    harness = new_harness(size_bytes)
    harness.inject(CutBody(0), nth=2 if size_bytes > 5 * MIB else 1, times=None)
    with pytest.raises(ArtifactIncompleteError, match=r"ended? after|ends after"):
        harness.copy()
    assert harness.stored() is None


@pytest.mark.parametrize("size_bytes", [300_000, 12 * MIB])
def test_truncation_without_length_is_detected_by_the_size_of_the_api(new_harness: NewHarness, size_bytes: int) -> None:
    harness = new_harness(size_bytes)
    harness.inject(IgnoreRange(), times=None)
    harness.inject(CutBody(size_bytes - 10, with_length=False), times=None)
    with pytest.raises(ArtifactIncompleteError, match=f"of {size_bytes} bytes"):
        harness.copy()
    assert harness.stored() is None


@pytest.mark.parametrize("size_bytes", [300_000, 12 * MIB])
def test_truncation_of_an_unknown_length_is_detected_by_the_end_mark(new_harness: NewHarness, size_bytes: int) -> None:
    harness = new_harness(size_bytes)
    harness.inject(IgnoreRange(), times=None)
    harness.inject(CutBody(size_bytes - 1_100, with_length=False), times=None)
    with pytest.raises(ArtifactIncompleteError, match="without application/pdf's end mark"):
        harness.copy(locate=harness.locate_without_size)
    assert harness.stored() is None


@pytest.mark.parametrize("size_bytes", [300_000, 12 * MIB])
def test_encoded_body_is_refused_not_decoded(new_harness: NewHarness, size_bytes: int) -> None:
    harness = new_harness(size_bytes)
    harness.inject(GzipBody(), nth=1 if size_bytes < MIB else 2, times=None)
    with pytest.raises(ArtifactRefusedError, match="encoded"):
        harness.copy()
    assert harness.stored() is None


@pytest.mark.parametrize(
    "fault",
    [
        Reply(200, HTML_PAGE),
        Reply(200, XML_ERROR, "application/xml"),
        Reply(200, HTML_PAGE, "application/octet-stream"),
        Reply(200, HTML_PAGE, ""),
        Reply(200, HTML_PAGE, "application/pdf"),
        Reply(200, b'{"detail": "sign in"}', "application/json"),
        Reply(200, b"sign in please", "application/pdf"),
    ],
    ids=lambda fault: f"{fault.content_type}-{fault.body[:9].decode()}",
)
def test_error_page_with_200_is_never_published_as_a_report(new_harness: NewHarness, fault: Fault) -> None:
    harness = new_harness(300_000)
    harness.inject(fault, times=None)
    with pytest.raises(ArtifactRefusedError):
        harness.copy(locate=harness.locate_without_size)
    assert harness.stored() is None


def test_object_without_a_type_is_recognised_by_its_first_bytes(new_harness: NewHarness) -> None:
    harness = new_harness(300_000)
    harness.inject(SetHeaders({"Content-Type": "binary/octet-stream"}))
    assert harness.copy().content_type == "application/pdf"
    assert harness.s3.head_object(Bucket=BUCKET, Key=harness.destination.key)["ContentType"] == "application/pdf"


@pytest.mark.parametrize("size_bytes", [300_000, 12 * MIB])
@pytest.mark.parametrize("more", [-1, 1])
def test_size_that_the_api_got_wrong_is_an_error_before_anything_is_created(
    new_harness: NewHarness, size_bytes: int, more: int
) -> None:
    harness = new_harness(size_bytes)
    interceptor = S3Interceptor(harness.s3)
    with pytest.raises(ArtifactIncompleteError, match=f"promises {size_bytes + more} bytes, the store has"):
        harness.copy(locate=lambda: harness.locate(size_bytes=size_bytes + more))
    assert interceptor.calls == []


@pytest.mark.parametrize("size_bytes", [300_000, 12 * MIB])
def test_stream_longer_than_promised_is_an_error(new_harness: NewHarness, size_bytes: int) -> None:
    harness = new_harness(size_bytes)
    harness.inject(IgnoreRange(), times=None)
    harness.inject(NoLength(), times=None)
    with pytest.raises(ArtifactIncompleteError, match="sends more"):
        harness.copy(locate=lambda: harness.locate(size_bytes=size_bytes - 1))
    assert harness.stored() is None


def test_size_zero_of_the_api_means_unknown(new_harness: NewHarness) -> None:
    harness = new_harness(300_000)
    harness.copy(locate=lambda: harness.locate(size_bytes=0))
    assert harness.stored() == harness.report


@pytest.mark.parametrize(
    "faults",
    [
        [ReplaceBody(), IgnoreRange()],
        [ReplaceBody(), IgnoreRange(), NoLength()],
        [Reply(416, XML_ERROR, "application/xml", {"Content-Range": "bytes */0"})],
    ],
    ids=["length 0", "no length", "S3's answer"],
)
def test_report_of_zero_bytes_is_an_error(new_harness: NewHarness, faults: list[Fault]) -> None:
    harness = new_harness(300_000)
    for fault in faults:
        harness.inject(fault, times=None)
    with pytest.raises(ArtifactIncompleteError, match="no bytes"):
        harness.copy(locate=harness.locate_without_size)
    assert harness.stored() is None


@pytest.mark.parametrize("size_bytes", [300_000, 12 * MIB])
def test_report_above_the_limit_is_refused_by_its_length(new_harness: NewHarness, size_bytes: int) -> None:
    harness = new_harness(size_bytes)
    with pytest.raises(ArtifactRefusedError, match=r"artifact\.largest_bytes"):
        harness.copy(largest_bytes=size_bytes - 1)
    harness.copy(largest_bytes=size_bytes)


@pytest.mark.parametrize("size_bytes", [300_000, 12 * MIB])
def test_report_above_the_limit_is_refused_by_what_arrives(new_harness: NewHarness, size_bytes: int) -> None:
    harness = new_harness(size_bytes)
    harness.inject(IgnoreRange(), times=None)
    harness.inject(NoLength(), times=None)
    with pytest.raises(ArtifactRefusedError, match=r"artifact\.largest_bytes"):
        harness.copy(locate=harness.locate_without_size, largest_bytes=size_bytes - 1)
    assert harness.stored() is None


@pytest.mark.parametrize("size_bytes", [300_000, 12 * MIB])
def test_other_bytes_than_expected_are_never_published(new_harness: NewHarness, size_bytes: int) -> None:
    harness = new_harness(size_bytes)
    harness.inject(CorruptBody(at=100_000), nth=1 if size_bytes < MIB else 2)
    expected = hashlib.sha256(harness.report).hexdigest()
    with pytest.raises(ArtifactRefusedError, match=expected):
        harness.copy(sha256=expected)
    assert harness.stored() is None
    assert harness.copy(sha256=expected.upper()).sha256 == expected


@pytest.mark.parametrize(
    "headers",
    [{"Content-Range": "bytes 0-5242879/12582912"}, {"Content-Range": None}, {"Content-Range": "bytes 1-2/3/4"}],
    ids=str,
)
def test_part_that_is_another_range_is_refused(new_harness: NewHarness, headers: dict[str, str | None]) -> None:
    harness = new_harness(12 * MIB)
    harness.inject(SetHeaders(headers), nth=2)
    harness.copy(options=CopyOptions(workers=1, part_size_bytes=5 * MIB))
    assert harness.stored() == harness.report
    assert len(harness.waits) == 1


def test_whole_object_in_the_place_of_a_part_is_refused(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    harness.inject(IgnoreRange(), nth=2)
    harness.copy()
    assert harness.stored() == harness.report


@pytest.mark.parametrize("filename", ["../../x", "..", "/etc/passwd", "a\x00b", "ä" * 300, ""])
def test_filename_cannot_leave_the_prefix_of_its_build(new_harness: NewHarness, filename: str) -> None:
    harness = new_harness(300_000)
    ref = BuildRef(source="red-team", scope="acme/main/chatbot", build_id=harness.job_id)
    key = artifact_key("", ref, harness.clock(), filename)
    artifact = harness.copy(destination=Destination(bucket=BUCKET, key=key))
    assert artifact.key.startswith(f"artifacts/red-team/acme/main/chatbot/2026/04/15/{harness.job_id}/")
    assert artifact.key.count("/") == 9
    assert harness.stored(key) == harness.report


@pytest.mark.parametrize("key", ["artifacts/../../x", "../../x", "/x", "", "a/./b", "a\x00b", "ä" * 513])
def test_key_that_would_leave_its_prefix_is_refused(key: str) -> None:
    with pytest.raises(SettingsError):
        Destination(bucket=BUCKET, key=key)


@pytest.mark.parametrize("word", ["aws-chunked", "UTF-8", "identity", "none", "binary, aws-chunked"])
@pytest.mark.parametrize("size_bytes", [300_000, 12 * MIB])
def test_word_that_is_no_coding_is_none(new_harness: NewHarness, size_bytes: int, word: str) -> None:
    harness = new_harness(size_bytes)
    harness.inject(SetHeaders({"Content-Encoding": word}), times=None)
    assert harness.copy().content_encoding is None
    assert harness.stored() == harness.report
    assert "ContentEncoding" not in harness.s3.head_object(Bucket=BUCKET, Key=harness.destination.key)


def test_label_that_the_bytes_belie_is_dropped(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    harness.inject(SetHeaders({"Content-Encoding": "gzip"}), times=None)
    assert harness.copy().content_encoding is None
    assert harness.stored() == harness.report


@pytest.mark.parametrize("with_length", [True, False])
def test_report_that_is_stored_encoded_is_kept_as_it_lies(new_harness: NewHarness, with_length: bool) -> None:
    harness = new_harness(300_000)
    harness.inject(GzipBody(), times=None)
    if not with_length:
        harness.inject(NoLength(), times=None)
    artifact = harness.copy(locate=harness.locate_without_size, options=CopyOptions(ranges=False))
    stored = harness.stored()
    assert stored is not None
    assert gzip.decompress(stored) == harness.report
    assert (artifact.content_type, artifact.content_encoding) == ("application/pdf", "gzip")
    assert (artifact.size_bytes, artifact.verified) == (len(stored), with_length)
    assert harness.s3.head_object(Bucket=BUCKET, Key=harness.destination.key)["ContentEncoding"] == "gzip"
    harness.others.append(stored)


@pytest.mark.parametrize("parts", [0, 1])
def test_large_report_that_is_stored_encoded_is_kept_in_parts(new_harness: NewHarness, parts: int) -> None:
    harness = new_harness(12 * MIB)
    harness.inject(StoredEncoded(), times=None)
    if parts:
        invocation, client = Invocation(), harness.fresh_client()
        S3Interceptor(client).call("UploadPart", invocation.nearly_end, nth=parts)
        with pytest.raises(CopyUnfinishedError):
            harness.copy(s3=client, seconds_left=invocation, options=CopyOptions(workers=1, part_size_bytes=5 * MIB))
    assert harness.copy().content_encoding == "br"
    assert harness.stored() == harness.report
    assert harness.s3.head_object(Bucket=BUCKET, Key=harness.destination.key)["ContentEncoding"] == "br"
    assert None not in harness.ranges()


@pytest.mark.parametrize("with_length", [True, False])
def test_report_that_is_encoded_on_its_way_is_known_by_the_size_of_the_api(
    new_harness: NewHarness, with_length: bool
) -> None:
    harness = new_harness(300_000)
    harness.inject(ReplaceBody(PDF), times=None)
    harness.inject(GzipBody(), times=None)
    if not with_length:
        harness.inject(NoLength(), times=None)
    with pytest.raises(ArtifactRefusedError, match=r"encoded \('gzip'\) although it must not"):
        harness.copy(options=CopyOptions(ranges=False))
    assert harness.stored() is None


@pytest.mark.parametrize("page", [HTML_PAGE, XML_ERROR])
def test_page_inside_a_coding_is_a_page(new_harness: NewHarness, page: bytes) -> None:
    harness = new_harness(300_000)
    harness.inject(ReplaceBody(page), times=None)
    harness.inject(GzipBody(), times=None)
    with pytest.raises(ArtifactRefusedError, match="page of HTML or XML"):
        harness.copy(locate=harness.locate_without_size, options=CopyOptions(ranges=False))


@pytest.mark.parametrize("header", ["application/pdf", "application/octet-stream"])
def test_pdf_may_begin_later(new_harness: NewHarness, header: str) -> None:
    harness = new_harness(300_000)
    report = b"\xef\xbb\xbf\r\n" + b"x" * 60 + PDF
    harness.others.append(report)
    harness.inject(ReplaceBody(report), times=None)
    harness.inject(SetHeaders({"Content-Type": header}), times=None)
    harness.copy(locate=harness.locate_without_size, options=CopyOptions(ranges=False))
    assert harness.stored() == report


@pytest.mark.parametrize(
    ("media", "body"),
    [
        ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1..."),
        ("application/vnd.ms-excel", b"<html><table><tr><td>1</td></tr></table></html>"),
    ],
    ids=["locked Office file", "export of a reporting tool"],
)
def test_what_a_source_declares_is_what_it_gets(new_harness: NewHarness, media: str, body: bytes) -> None:
    harness = new_harness(300_000)
    harness.others.append(body)
    harness.inject(ReplaceBody(body), times=None)
    harness.inject(NoLength(), times=None)
    harness.inject(SetHeaders({"Content-Type": media}), times=None)
    plain = CopyOptions(ranges=False)
    assert not harness.copy(locate=harness.locate_without_size, content_types=[media], options=plain).verified
    assert harness.stored() == body


class StoredEncoded(SetHeaders):
    """The store keeps the object encoded, and says so of the whole and of each part."""

    def __init__(self) -> None:
        super().__init__({"Content-Encoding": "br"})
