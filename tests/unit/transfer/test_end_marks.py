"""Which last bytes prove that a body of unknown length is whole, or that it is not."""

from __future__ import annotations

import gzip
import io
import random
import zipfile

import pytest

from courier.transfer.end_marks import TRAILING_BYTES, has_end_mark

RANDOM = random.Random(11)  # noqa: S311 - test data


def archive(*names: str, stored: bytes = b"", comment: bytes = b"") -> bytes:
    """Return a zip of files that are stored as they are, so that what they hold lies in it unchanged."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name in names:
            made.writestr(name, stored or RANDOM.randbytes(2_000))
        made.comment = comment
    return file.getvalue()


def ends(kind: str | None, whole: bytes) -> bool | None:
    return has_end_mark(kind, whole[-TRAILING_BYTES:], len(whole))


@pytest.mark.parametrize("comment", [b"", b"a comment", b"x" * 65_535, b"PK\x05\x06" + b"\0" * 40])
def test_whole_zip_is_whole(comment: bytes) -> None:
    whole = archive("a", "b", comment=comment)
    assert ends("zip", whole) is True
    assert ends("zip", archive()) is True
    for cut in (1, 22, 100, 3_000):
        assert ends("zip", whole[:-cut]) is False
    assert ends("zip", whole + b"\0") is False


def test_zip_with_zip64_records_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    whole = archive("a", "b", "c")
    assert b"PK\x06\x06" in whole
    assert ends("zip", whole) is True
    assert ends("zip", whole[:-1]) is False
    assert ends("zip", whole.replace(b"PK\x06\x06", b"PK\x06\x05")) is False


def test_end_of_a_file_inside_is_not_the_end_of_the_zip() -> None:
    """A zip of stored xlsx files, which are zips, has an end record every few kilobytes."""
    inner = archive("xl/workbook.xml", "xl/styles.xml")
    whole = archive(*(f"report-{number}.xlsx" for number in range(60)), stored=inner)
    assert ends("zip", whole) is True
    after_inner = whole.index(inner) + len(inner)
    cuts = [after_inner, *(RANDOM.randrange(100, len(whole)) for _ in range(1_000))]
    assert [cut for cut in cuts if ends("zip", whole[:cut]) is not False] == []


@pytest.mark.parametrize("after", [b"", b"\n", b"\r\n", b" \0\x1a", b"\n" * 5_000])
def test_pdf_ends_with_its_mark_and_white_space(after: bytes) -> None:
    assert ends("pdf", b"startxref\n12\n%%EOF" + after) is True


def test_pdf_that_goes_on_after_its_mark_is_not_whole() -> None:
    """An incremental update follows the first mark; a cut after that has lost the update's own mark."""
    assert ends("pdf", b"%PDF-1.7 ... %%EOF\n5 0 obj <<" + b"x" * 500) is False
    assert ends("pdf", b"stream") is False


@pytest.mark.parametrize("magic", [b"PAR1", b"PARE"])
def test_parquet_ends_with_its_footer(magic: bytes) -> None:
    footer = b"f" * 300
    whole = b"PAR1" + b"d" * 900 + footer + len(footer).to_bytes(4, "little") + magic
    assert ends("parquet", whole) is True
    assert ends("parquet", whole[:-1]) is False
    assert ends("parquet", b"PAR1" + (9_999).to_bytes(4, "little") + magic) is False


def test_gzip_proves_nothing_but_an_impossible_length() -> None:
    whole = gzip.compress(RANDOM.randbytes(5_000))
    assert ends("gzip", whole) is None
    assert ends("gzip", whole + gzip.compress(b"")) is None
    assert ends("gzip", whole[:-4] + b"\xff\xff\xff\xff") is False
    assert ends("gzip", whole[:10]) is False


@pytest.mark.parametrize(
    ("kind", "trailing", "expected"),
    [
        ("json", b"}\n", None),
        ("json", b"] ", None),
        ("json", b'"a": 1', False),
        ("xml", b"</a>\n", None),
        ("xml", b"</a", False),
        (None, b"1,2\n", None),
    ],
)
def test_other_formats_prove_at_most_that_something_is_missing(
    kind: str | None, trailing: bytes, expected: bool | None
) -> None:
    assert ends(kind, trailing) is expected
