"""Which content is accepted, and the hash that is fed out of order."""

from __future__ import annotations

import hashlib
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from courier.errors import ArtifactRefusedError
from courier.transfer.content import OrderedSha256, check_content_type, has_end_mark
from courier.transfer.options import OutOfTimeError

PDF = b"%PDF-1.7\n%\xe2\xe3"
ZIP = b"PK\x03\x04\x14\x00"
GZIP = b"\x1f\x8b\x08\x00"
JSON = b' {"a": 1}'
HTML = b"\n<!DOCTYPE html><html>"
XML = b'\xef\xbb\xbf<?xml version="1.0"?><Error>'
CSV = b"a,b\n1,2\n"
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
        ("application/pdf", b" " + PDF, ["application/pdf"]),
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


@pytest.mark.parametrize(
    ("media", "trailing", "ends"),
    [
        ("application/pdf", b"startxref\n12\n%%EOF\n", True),
        ("application/pdf", b"%%EOF" + b"\n" * 1_100, False),
        ("application/pdf", b"stream", False),
        ("application/zip", b"PK\x05\x06" + b"\0" * 18, True),
        ("application/zip", b"PK\x05\x06" + b"\0" * 18 + b"comment" * 9_000, True),
        ("application/zip", b"PK\x03\x04", False),
        (XLSX, b"PK\x01\x02", False),
        ("application/gzip", b"\0\0\0\0", None),
        ("application/json", b"}", None),
        ("text/csv", b"1,2\n", None),
    ],
)
def test_end_marks(media: str, trailing: bytes, ends: bool | None) -> None:
    assert has_end_mark(media, trailing) is ends


def test_digest_does_not_depend_on_the_order_of_arrival() -> None:
    parts = [bytes([number]) * 1_000 for number in range(1, 41)]
    digest = OrderedSha256()
    # Threads take the parts in order and finish them in any order, as workers do.
    left = iter(range(1, 41))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number = next(left, None)
            if number is None:
                return
            digest.add(number, memoryview(parts[number - 1]))

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(work) for _ in range(4)]:
            future.result()
    assert digest.hexdigest() == hashlib.sha256(b"".join(parts)).hexdigest()


@pytest.mark.parametrize("length", [1, 65_535, 65_536, 65_537, 1_000_000])
def test_the_checksum_of_a_part_comes_with_its_hash(length: int) -> None:
    first, second = bytes(range(256)) * 4_000, b"second"
    digest = OrderedSha256()
    assert digest.add(1, memoryview(first)[:length]) == zlib.crc32(first[:length])
    assert digest.add(2, memoryview(second)) == zlib.crc32(second)
    assert digest.hexdigest() == hashlib.sha256(first[:length] + second).hexdigest()


def test_stop_ends_the_wait_for_a_part_that_will_not_come() -> None:
    digest = OrderedSha256()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(digest.add, 2, memoryview(b"x"))
        digest.stop()
        with pytest.raises(OutOfTimeError):
            waiting.result()
