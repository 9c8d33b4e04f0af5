"""What makes a copy trustworthy: its content type, its length, its end mark, and a digest over all its bytes."""

import hashlib
import re
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from courier.errors import ArtifactChangedError, ArtifactIncompleteError, ArtifactRefusedError
from courier.transfer.http_client import DownloadError, Response
from courier.transfer.options import OutOfTimeError

# What a request for a range with If-Match gets once the artifact is another one.
CHANGED: Final = frozenset({HTTPStatus.PRECONDITION_FAILED, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE})
# Enough for every signature below, and for the blanks and comments that precede the markup of a page.
LEADING_BYTES: Final = 1_024
# A zip ends with its end of central directory record: 22 bytes and a comment of up to 65,535 (APPNOTE 4.3.16).
TRAILING_BYTES: Final = 22 + 65_535
# Fits into the fast cache of any processor of the last fifteen years, with room for everything else.
_CACHED_BYTES: Final = 64 * 1024
_PDF_END_WITHIN: Final = 1_024  # PDF reference 1.7, appendix H.3, note 18

_WORD: Final = re.compile(r"[a-z0-9.+/-]{0,80}\Z")
_UNKNOWN: Final = frozenset({"", "application/octet-stream", "binary/octet-stream"})
_ZIP: Final = ("application/vnd.openxmlformats-", "application/vnd.oasis.opendocument.", "application/epub+zip")
_MARKUP_STARTS: Final = (b"<!doctype", b"<html", b"<?xml", b"<error", b"<head", b"<body", b"<!--")


def media_type(header: str | None) -> str:
    """Return the bare media type of a Content-Type header, empty when there is none."""
    return (header or "").partition(";")[0].strip().lower()


def _quoted(text: str) -> str:
    """Quote a server's text for a message if it is one word; else it could be anything, such as the link itself."""
    return repr(text) if _WORD.match(text) else "something unreadable"


def check_encoding(response: Response) -> None:
    """Check that the body is the artifact itself; close an encoded response.

    Raises
    ------
    ArtifactRefusedError
        It is encoded, although the request does not accept that.
    """
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        response.close()
        raise ArtifactRefusedError(f"the store sends the report encoded ({_quoted(encoding)}) although it must not")


def check_content_type(header: str | None, leading: bytes, declared: Sequence[str]) -> str:
    """Check that a response can be the artifact, by its type and its first bytes, and return its media type.

    - The type must be one of ``declared``; parameters such as a charset do not count.
    - ``application/octet-stream``, ``binary/octet-stream`` (S3's type of objects stored without one)
      and a missing header say nothing: then the first bytes must be those of a declared type
      that has a signature, or else a declared type without a signature (CSV, plain text) is assumed.
    - Whatever the type, the bytes must begin as it does: ``%PDF-``, ``PK`` of a zip, gzip's magic
      number, ``{`` or ``[`` of JSON, ``<`` of HTML and XML.
    - A page of HTML or XML is accepted only where ``declared`` names such a type: stores and
      proxies report errors in such pages. An empty ``declared`` allows any other type.

    Raises
    ------
    ArtifactRefusedError
        The response cannot be the artifact.
    """
    media = media_type(header)
    wanted = tuple(media_type(item) for item in declared)
    names_markup = any(_family(item) == "markup" for item in wanted)
    if media in _UNKNOWN and media not in wanted:
        return _recognise(leading, wanted)
    if wanted and media not in wanted:
        raise ArtifactRefusedError(
            f"the store sends {_quoted(media)}, artifact.content_types allows {', '.join(wanted)}"
        )
    if not names_markup and (_family(media) == "markup" or _family_of_bytes(leading) == "markup"):
        page = f"a page of HTML or XML ({_quoted(media)})"
        raise ArtifactRefusedError(f"the store sends {page}, not a report")
    if not _fits(media, leading):
        raise ArtifactRefusedError(f"the store sends {_quoted(media)}, but the content does not begin like that")
    return media


def _recognise(leading: bytes, wanted: Sequence[str]) -> str:
    """Return the type of a response whose header does not say it."""
    family = _family_of_bytes(leading)
    for item in wanted:
        if _family(item) is not None and _fits(item, leading):
            return item
    if family == "markup":
        raise ArtifactRefusedError("the store sends a page of HTML or XML without a content type, not a report")
    unsigned = [item for item in wanted if _family(item) is None]
    if wanted and (family is not None or not unsigned):
        raise ArtifactRefusedError(
            f"the store sends no content type, and the content does not begin like {', '.join(wanted)}"
        )
    return unsigned[0] if unsigned else "application/octet-stream"


def _family(media: str) -> str | None:
    """Return the family of a media type whose beginning is known."""
    if media == "application/pdf":
        return "pdf"
    if media in {"application/zip", "application/x-zip-compressed"} or media.startswith(_ZIP):
        return "zip"
    if media in {"application/gzip", "application/x-gzip"}:
        return "gzip"
    if media == "application/json" or media.endswith("+json"):
        return "json"
    if media in {"text/html", "text/xml", "application/xml"} or media.endswith("+xml"):
        return "markup"
    return None


def _family_of_bytes(leading: bytes) -> str | None:
    text = leading.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if leading.startswith(b"%PDF-"):
        return "pdf"
    if leading.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if leading.startswith(b"\x1f\x8b"):
        return "gzip"
    if text.startswith(_MARKUP_STARTS):
        return "markup"
    return None


def _fits(media: str, leading: bytes) -> bool:
    text = leading.removeprefix(b"\xef\xbb\xbf").lstrip()
    match _family(media):
        case None:
            return True
        case "json":
            return text.startswith((b"{", b"["))
        case "markup":
            return text.startswith(b"<")
        case family:
            return _family_of_bytes(leading) == family


def has_end_mark(media: str, trailing: bytes) -> bool | None:
    """Whether an artifact ends as its format does; None when the format has no mark that truncation would lose.

    ``trailing`` are the last `TRAILING_BYTES`, or all when there are fewer.
    """
    match _family(media):
        case "pdf":
            return b"%%EOF" in trailing[-_PDF_END_WITHIN:]
        case "zip":
            return b"PK\x05\x06" in trailing
        case _:
            return None


@dataclass(frozen=True)
class SizeLimits:
    """Checks lengths against the source's limit and the provider's promise; an unknown length is None."""

    largest_bytes: int

    def check_length(self, total_bytes: int | None, promised: int | None) -> None:
        """Compare the length that the store announces with the provider's promise and with the limit.

        Raises
        ------
        ArtifactRefusedError
            One of them is above the limit.
        ArtifactIncompleteError
            They differ, or the artifact is empty.
        """
        for length in (total_bytes, promised):
            if length is not None and length > self.largest_bytes:
                raise ArtifactRefusedError(
                    f"the report has {length} bytes, artifact.largest_bytes allows {self.largest_bytes}"
                )
        if total_bytes == 0:
            raise ArtifactIncompleteError("the report has no bytes")
        if None not in {promised, total_bytes} and promised != total_bytes:
            raise ArtifactIncompleteError(f"the provider promises {promised} bytes, the store has {total_bytes}")

    def check_received(self, received: int, promised: int | None) -> None:
        """Check that what has arrived so far is not too much already.

        Raises
        ------
        ArtifactRefusedError
            It is more than the source's limit.
        ArtifactIncompleteError
            It is more than promised.
        """
        if received > self.largest_bytes:
            raise ArtifactRefusedError(f"the report has more bytes than artifact.largest_bytes, {self.largest_bytes}")
        if promised is not None and received > promised:
            raise ArtifactIncompleteError(f"the provider promises {promised} bytes, the store sends more")

    def check_end(self, received: int, promised: int | None, media: str, trailing: bytes) -> None:
        """Check the end of a body whose length was not announced.

        Raises
        ------
        DownloadError
            It ended early.
        """
        if promised is not None and received < promised:
            raise DownloadError(f"the store ended after {received} of {promised} bytes", short=True)
        if promised is None and has_end_mark(media, trailing) is False:
            raise DownloadError(f"the store ended after {received} bytes without {media}'s end mark", short=True)


def check_range(response: Response, first: int, last: int, *, etag: str, total_bytes: int) -> None:
    """Check that a response is exactly the bytes that were requested, of the same version of the artifact.

    Raises
    ------
    ArtifactChangedError
        It is of another version, or says that there is one.
    DownloadError
        It is something else.
    """
    if response.status in CHANGED:
        raise ArtifactChangedError("the report changed while it was read")
    if response.status != HTTPStatus.PARTIAL_CONTENT:
        raise DownloadError(f"{response.host} responded with {response.status} to a request for a part")
    start, end, total = response.content_range()
    if total != total_bytes or response.headers.get("ETag", etag) != etag:
        raise ArtifactChangedError("the report changed while it was read")
    if (start, end) != (first, last) or response.length not in {None, last - first + 1}:
        raise DownloadError(f"{response.host} sent other bytes than requested")


class OrderedSha256:
    """The SHA-256 of the whole artifact, fed by workers that finish their parts in any order.

    It keeps no bytes: a worker that is early waits with its part, so memory stays with the parts in flight.
    The part's CRC32 is computed along with it: bytes that the one has just brought into the processor's
    cache cost the other next to nothing, while a second pass over 8 MiB takes half as long as the first.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._next = 1
        self._turn = threading.Condition()
        self._stopped = False

    def add(self, number: int, data: memoryview) -> int:
        """Wait until all parts before this one are hashed, then hash it, and return its CRC32.

        Raises
        ------
        OutOfTimeError
            `stop` was called: a part before this one will not come.
        """
        with self._turn:
            self._turn.wait_for(lambda: self._stopped or self._next == number)
            if self._next != number:
                raise OutOfTimeError
        crc32 = 0
        # Only the thread with the next part gets here, and hashing releases the interpreter lock for the others.
        for start in range(0, len(data), _CACHED_BYTES):
            piece = data[start : start + _CACHED_BYTES]
            self._hash.update(piece)
            crc32 = zlib.crc32(piece, crc32)
        with self._turn:
            self._next += 1
            self._turn.notify_all()
        return crc32

    def stop(self) -> None:
        """Wake every thread that waits for its turn, and let none wait any longer."""
        with self._turn:
            self._stopped = True
            self._turn.notify_all()

    def hexdigest(self) -> str:
        """Return the digest of what was added."""
        return self._hash.hexdigest()
