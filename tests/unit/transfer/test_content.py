"""Which content is accepted."""

from __future__ import annotations

import pytest

from courier.errors import ArtifactRefusedError
from courier.transfer.content import check_content_type

PDF = b"%PDF-1.7\n%\xe2\xe3"
ZIP = b"PK\x03\x04\x14\x00"
GZIP = b"\x1f\x8b\x08\x00"
JSON = b' {"a": 1}'
HTML = b"\n<!DOCTYPE html><html>"
XML = b'\xef\xbb\xbf<?xml version="1.0"?><Error>'
CSV = b"a,b\n1,2\n"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 16
EXCEL = "application/vnd.ms-excel"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@pytest.mark.parametrize(
    ("header", "leading", "declared", "taken_as"),
    [
        ("application/pdf", PDF, ["application/pdf"], "application/pdf"),
        ("Application/PDF; charset=binary", PDF, ["application/pdf"], "application/pdf"),
        ("application/pdf", PDF, [], "application/pdf"),
        ("application/octet-stream", PDF, ["application/pdf"], "application/pdf"),
        ("binary/octet-stream", PDF, ["application/pdf", "application/zip"], "application/pdf"),
        ("binary/octet-stream", ZIP, ["application/pdf", "application/zip"], "application/zip"),
        (None, PDF, ["application/pdf"], "application/pdf"),
        ("", CSV, ["text/csv"], "text/csv"),
        (None, CSV, ["application/pdf", "text/csv"], "text/csv"),
        (None, CSV, [], "application/octet-stream"),
        ("application/octet-stream", CSV, ["application/octet-stream"], "application/octet-stream"),
        (XLSX, ZIP, [XLSX], XLSX),
        ("application/gzip", GZIP, ["application/gzip"], "application/gzip"),
        ("application/json", JSON, ["application/json"], "application/json"),
        ("application/json", b"\xef\xbb\xbf[1]", ["application/json"], "application/json"),
        ("application/ld+json", JSON, [], "application/ld+json"),
        ("text/html", HTML, ["text/html"], "text/html"),
        ("application/xml", XML, ["application/xml"], "application/xml"),
        ("image/svg+xml", b"<svg>", ["image/svg+xml"], "image/svg+xml"),
        ("text/csv", CSV, ["text/csv"], "text/csv"),
        ("text/csv", b"<3 is not a tag", ["text/csv"], "text/csv"),
    ],
)
def test_content_that_fits(header: str | None, leading: bytes, declared: list[str], taken_as: str) -> None:
    assert check_content_type(header, leading, declared) == taken_as


@pytest.mark.parametrize(
    ("header", "leading", "declared"),
    [
        ("text/html", HTML, ["application/pdf"]),
        ("application/xml", XML, ["application/pdf"]),
        ("application/pdf", HTML, ["application/pdf"]),
        ("application/pdf", XML, ["application/pdf"]),
        ("application/pdf", CSV, ["application/pdf"]),
        ("application/pdf", b" " * 1_023 + PDF, ["application/pdf"]),
        ("application/pdf", HTML + PDF, ["application/pdf"]),
        ("application/pdf", ZIP + PDF, ["application/pdf"]),
        ("application/zip", OLE, ["application/zip"]),
        ("application/pdf", OLE, ["application/pdf"]),
        ("application/vnd.apache.parquet", CSV, ["application/vnd.apache.parquet"]),
        ("application/octet-stream", OLE, ["text/csv"]),
        (EXCEL, HTML, []),
        (EXCEL, HTML, ["application/pdf", "text/csv"]),
        ("text/html", HTML, [EXCEL]),
        ("application/octet-stream", HTML, [EXCEL]),
        ("application/zip", PDF, ["application/zip"]),
        ("application/gzip", ZIP, ["application/gzip"]),
        ("application/json", CSV, ["application/json"]),
        (XLSX, PDF, [XLSX]),
        ("text/csv", HTML, ["text/csv"]),
        ("text/csv", b"<Error><Code>AccessDenied", ["text/csv"]),
        ("text/html", HTML, []),
        ("text/html", CSV, []),
        ("application/xml", XML, []),
        ("text/plain", HTML, []),
        ("text/html", CSV, ["text/html"]),
        ("application/octet-stream", HTML, ["application/pdf"]),
        ("application/octet-stream", HTML, []),
        ("application/octet-stream", HTML, ["text/csv"]),
        ("application/octet-stream", PDF, ["application/zip"]),
        ("application/octet-stream", PDF, ["text/csv"]),
        ("application/octet-stream", CSV, ["application/pdf"]),
        ("application/octet-stream", HTML, ["application/octet-stream"]),
        (None, HTML, ["application/pdf"]),
        ("image/png", PDF, ["application/pdf"]),
    ],
)
def test_content_that_cannot_be_the_report(header: str | None, leading: bytes, declared: list[str]) -> None:
    with pytest.raises(ArtifactRefusedError):
        check_content_type(header, leading, declared)


@pytest.mark.parametrize("header", ["text/html", EXCEL, "application/octet-stream"])
def test_refused_page_names_the_setting(header: str) -> None:
    with pytest.raises(ArtifactRefusedError, match=r"artifact\.content_types"):
        check_content_type(header, HTML, ["application/pdf"])
    with pytest.raises(ArtifactRefusedError, match=r"artifact\.content_types"):
        check_content_type(header, HTML, [])


def test_bytes_that_cannot_be_read_leave_the_header_to_be_checked() -> None:
    assert check_content_type("text/csv", None, ["text/csv"]) == "text/csv"
    for header in ("text/html", "application/octet-stream", "application/pdf"):
        with pytest.raises(ArtifactRefusedError):
            check_content_type(header, None, ["application/json"])
    with pytest.raises(ArtifactRefusedError):
        check_content_type("text/html", None, [])
