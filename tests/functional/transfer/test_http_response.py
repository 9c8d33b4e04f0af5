"""Heads of responses as servers send them: informational ones, many headers, several lengths, odd redirects."""

from __future__ import annotations

import pytest

from courier.errors import ArtifactIncompleteError, ArtifactRefusedError, ArtifactUnavailableError
from courier.links import ArtifactLink, SecretUrl
from courier.models import StoredArtifact
from courier.transfer.url_policy import LinkRules
from tests.functional.transfer.conftest import NewHarness
from tests.functional.transfer.harness import CopyHarness
from tests.support.raw_origin import RawOrigin, raw_origin, response

PDF = "Content-Type: application/pdf"


@pytest.fixture
def harness(new_harness: NewHarness) -> CopyHarness:
    return new_harness(300_000)


def copy_from(harness: CopyHarness, origin: RawOrigin, *, size_bytes: int | None = None) -> StoredArtifact:
    link = ArtifactLink(url=SecretUrl(origin.url), size_bytes=size_bytes, expires_at=None, filename="report.pdf")
    return harness.copy(locate=lambda: link, rules=LinkRules.parse([f"http://127.0.0.1:{origin.port}"]))


@pytest.mark.parametrize(
    "informational",
    [
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n" * 3 + b"HTTP/1.1 103 Early Hints\r\n\r\n",
    ],
)
def test_informational_responses_are_skipped(harness: CopyHarness, informational: bytes) -> None:
    with raw_origin(lambda _: informational + response(harness.report, PDF)) as origin:
        copy_from(harness, origin)
    assert harness.stored() == harness.report
    assert len(origin.requests) == 1


def test_informational_responses_without_end_are_a_failure(harness: CopyHarness) -> None:
    with (
        raw_origin(lambda _: b"HTTP/1.1 102 Processing\r\n\r\n" * 50) as origin,
        pytest.raises(ArtifactUnavailableError, match="does not respond in HTTP"),
    ):
        copy_from(harness, origin)


def test_hundreds_of_headers_are_fine(harness: CopyHarness) -> None:
    many = [f"X-Trace-{number}: {number}" for number in range(400)]
    with raw_origin(lambda _: response(harness.report, *many, PDF)) as origin:
        assert copy_from(harness, origin).content_type == "application/pdf"
    assert harness.stored() == harness.report


@pytest.mark.parametrize("endless", [b"X: y\r\n" * 1_100, b"X: " + b"y" * 70_000])
def test_headers_without_end_are_a_failure(harness: CopyHarness, endless: bytes) -> None:
    with (
        raw_origin(lambda _: b"HTTP/1.1 200 OK\r\n" + endless) as origin,
        pytest.raises(ArtifactUnavailableError, match="does not respond in HTTP"),
    ):
        copy_from(harness, origin)


@pytest.mark.parametrize("headers", [["{0}, {0}"], ["{0}", "{0}"], ["{0} , {0}", "{0}"]], ids=str)
def test_equal_lengths_are_one(harness: CopyHarness, headers: list[str]) -> None:
    lengths = [f"Content-Length: {header.format(len(harness.report))}" for header in headers]
    with raw_origin(lambda _: response(harness.report, *lengths, PDF)) as origin:
        assert copy_from(harness, origin).verified
    assert harness.stored() == harness.report
    assert len(origin.requests) == 1


@pytest.mark.parametrize("headers", [["300000, 300001"], ["300000", "3"], ["-1"], ["many"], ["3e5"]], ids=str)
def test_lengths_that_contradict_each_other_are_refused_at_once(harness: CopyHarness, headers: list[str]) -> None:
    lengths = [f"Content-Length: {header}" for header in headers]
    with (
        raw_origin(lambda _: response(harness.report, *lengths, PDF)) as origin,
        pytest.raises(ArtifactRefusedError, match=r"127\.0\.0\.1 sends Content-Lengths that contradict each other"),
    ):
        copy_from(harness, origin)
    assert len(origin.requests) == 1


def test_header_that_is_folded_or_has_odd_bytes_ends_where_its_line_ends(harness: CopyHarness) -> None:
    odd = ['Content-Disposition: attachment; filename="\x85Content-Length: 3"', "X-Folded: a\r\n\tb", PDF]
    with raw_origin(lambda _: response(harness.report, *odd)) as origin:
        copy_from(harness, origin)
    assert harness.stored() == harness.report


def test_transfer_coding_that_cannot_be_read_is_a_failure(harness: CopyHarness) -> None:
    with (
        raw_origin(lambda _: response(b"", "Transfer-Encoding: gzip, chunked")) as origin,
        pytest.raises(ArtifactUnavailableError, match="UnknownTransferEncoding"),
    ):
        copy_from(harness, origin)


@pytest.mark.parametrize("location", ["/r\u00e9sum\u00e9.pdf", "/a b.pdf", "/r\u00e9sum\u00e9.pdf?x=%2B"])
def test_redirect_with_raw_bytes_is_followed(harness: CopyHarness, location: str) -> None:
    raw = location.encode().decode("latin-1")

    def respond(request: str) -> bytes:
        if "report.pdf" in request:
            return response(b"", f"Location: {raw}", status="302 Found")
        return response(harness.report, PDF)

    with raw_origin(respond) as origin:
        copy_from(harness, origin)
    assert harness.stored() == harness.report
    target = origin.requests[1].split(" ")[1]
    assert target.isascii()
    assert target.startswith(("/r%C3%A9sum%C3%A9.pdf", "/a%20b.pdf"))


def test_redirect_of_s3_to_another_region_names_its_code_after_one_request(harness: CopyHarness) -> None:
    page = b"<Error><Code>PermanentRedirect</Code><Endpoint>b.s3-eu-west-1.amazonaws.com</Endpoint></Error>"
    headers = ["x-amz-bucket-region: eu-west-1", "Content-Type: application/xml"]
    with (
        raw_origin(lambda _: response(page, *headers, status="301 Moved Permanently")) as origin,
        pytest.raises(ArtifactRefusedError, match=r"\(301 PermanentRedirect\); the bucket is in eu-west-1"),
    ):
        copy_from(harness, origin)
    assert len(origin.requests) == 1


def test_chunks_that_are_terminated_are_complete_without_an_end_mark(harness: CopyHarness) -> None:
    """A real PDF may have kilobytes of anything after its mark."""
    report = b"%PDF-1.7\nx\n%%EOF\n" + b"<!-- appended -->" * 100
    harness.others.append(report)
    chunked = f"{len(report):x}\r\n".encode() + report + b"\r\n0\r\n\r\n"
    with raw_origin(lambda _: response(chunked, "Transfer-Encoding: chunked", PDF)) as origin:
        assert not copy_from(harness, origin).verified
    assert harness.stored() == report
    assert len(origin.requests) == 1


def test_chunks_that_are_not_terminated_are_not(harness: CopyHarness) -> None:
    cut = response(b"9\r\n%PDF-1.7\n\r\n", "Transfer-Encoding: chunked", "Connection: close", PDF)
    with raw_origin(lambda _: cut) as origin, pytest.raises(ArtifactIncompleteError, match="ended its response early"):
        copy_from(harness, origin)
    assert harness.stored() is None


def test_end_of_a_connection_needs_the_end_mark(harness: CopyHarness) -> None:
    body = b"%PDF-1.7\n1 0 obj\n%%EOF\n2 0 obj <<" + b"x" * 500
    cut = b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + PDF.encode() + b"\r\n\r\n" + body
    with raw_origin(lambda _: cut) as origin, pytest.raises(ArtifactIncompleteError, match=r"without .* end mark"):
        copy_from(harness, origin)
    assert harness.stored() is None


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_proxy_that_is_not_used_is_named_where_the_connection_fails(
    harness: CopyHarness, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    with raw_origin(lambda _: b"") as origin:
        pass
    monkeypatch.setenv(variable, "http://proxy.invalid:3128")
    with pytest.raises(ArtifactUnavailableError, match=rf"does not use the proxy that {variable.upper()} names"):
        copy_from(harness, origin)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(ArtifactUnavailableError) as caught:
        copy_from(harness, origin)
    assert "proxy" not in str(caught.value)
