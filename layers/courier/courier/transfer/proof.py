"""What makes a copy worth keeping: the content fits what was promised, and every byte was counted and hashed."""

import hashlib
import re
import threading
import zlib
from collections.abc import Sequence
from typing import Final

from courier.errors import ArtifactRefusedError
from courier.transfer.internal_errors import OutOfTimeError

# Enough for every signature below, and for the blanks and comments that pages put in front.
LEADING_BYTES: Final = 1_024
# A zip ends in its central directory's end: 22 bytes and a comment of up to 65,535 (APPNOTE 4.3.16).
TRAILING_BYTES: Final = 22 + 65_535
# Fits into the fast cache of any processor of the last fifteen years, with room for all else.
_CACHED_BYTES: Final = 64 * 1024
_PDF_END_WITHIN: Final = 1_024  # PDF reference 1.7, appendix H.3, note 18

_WORD: Final = re.compile(r"[a-z0-9.+/-]{0,80}\Z")
_UNKNOWN: Final = frozenset({"", "application/octet-stream", "binary/octet-stream"})
_ZIP: Final = ("application/vnd.openxmlformats-", "application/vnd.oasis.opendocument.", "application/epub+zip")
_MARKUP_STARTS: Final = (b"<!doctype", b"<html", b"<?xml", b"<error", b"<head", b"<body", b"<!--")


def media_type(header: str | None) -> str:
    """Give the bare media type of a Content-Type header, empty when there is none."""
    return (header or "").partition(";")[0].strip().lower()


def quoted(words: str) -> str:
    """Quote what a server said in a message, if it is a word; else it could be anything, such as the link itself."""
    return repr(words) if _WORD.match(words) else "something unreadable"


def judge_content(header: str | None, leading: bytes, declared: Sequence[str]) -> str:
    """Decide whether an answer can be the report, by its type and its first bytes, and give its media type.

    - The type must be one of ``declared``; parameters such as a charset do not count.
    - ``application/octet-stream``, ``binary/octet-stream`` (what S3 says of objects stored without a
      type) and a missing header say nothing: then the first bytes must be those of a declared type
      that has a signature, or else a declared type without a signature (CSV, plain text) is believed.
    - Whatever the type, the bytes must begin as it does: ``%PDF-``, ``PK`` of a zip, gzip's magic
      number, ``{`` or ``[`` of JSON, ``<`` of HTML and XML.
    - A page of HTML or XML is taken only where ``declared`` names such a type: it is how stores and
      proxies say that something went wrong. An empty ``declared`` allows any other type.

    Raises
    ------
    ArtifactRefusedError
        It cannot be the report.
    """
    media = media_type(header)
    wanted = tuple(media_type(item) for item in declared)
    names_markup = any(_family(item) == "markup" for item in wanted)
    if media in _UNKNOWN and media not in wanted:
        return _recognise(leading, wanted)
    if wanted and media not in wanted:
        raise ArtifactRefusedError(
            f"the store answers with {quoted(media)}, artifact.content_types allows {', '.join(wanted)}"
        )
    if not names_markup and (_family(media) == "markup" or _family_of_bytes(leading) == "markup"):
        raise ArtifactRefusedError(f"the store answers with a page of HTML or XML ({quoted(media)}), not with a report")
    if not _fits(media, leading):
        raise ArtifactRefusedError(f"the store calls its answer {quoted(media)}, but it does not begin like one")
    return media


def _recognise(leading: bytes, wanted: Sequence[str]) -> str:
    """Find the type of an answer that does not say it."""
    family = _family_of_bytes(leading)
    for item in wanted:
        if _family(item) is not None and _fits(item, leading):
            return item
    if family == "markup":
        raise ArtifactRefusedError("the store answers with a page of HTML or XML without saying so, not with a report")
    unsigned = [item for item in wanted if _family(item) is None]
    if wanted and (family is not None or not unsigned):
        raise ArtifactRefusedError(
            f"the store does not say what it answers, and it does not begin like {', '.join(wanted)}"
        )
    return unsigned[0] if unsigned else "application/octet-stream"


def _family(media: str) -> str | None:
    """Give the family of a media type whose beginning is known."""
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
    """Whether an artifact ends as its format does; None when the format has no mark that a cut would lose.

    ``trailing`` are the last `TRAILING_BYTES`, or all when there are fewer.
    """
    match _family(media):
        case "pdf":
            return b"%%EOF" in trailing[-_PDF_END_WITHIN:]
        case "zip":
            return b"PK\x05\x06" in trailing
        case _:
            return None


class Sha256InOrder:
    """The SHA-256 of the whole artifact, fed by workers that finish their parts in any order.

    It keeps no bytes: whoever is early waits with its part, so memory stays with the parts in flight.
    The part's CRC32 is computed along with it: bytes that the one has just brought into the processor's
    cache cost the other next to nothing, while a second pass over 8 MiB takes half as long as the first.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._next = 1
        self._turn = threading.Condition()
        self._stopped = False

    def add(self, number: int, data: memoryview) -> int:
        """Wait until all parts before this one are hashed, then hash it, and give its CRC32.

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
        # Only the holder of the next part gets here, and hashing lets the other threads run.
        for start in range(0, len(data), _CACHED_BYTES):
            piece = data[start : start + _CACHED_BYTES]
            self._hash.update(piece)
            crc32 = zlib.crc32(piece, crc32)
        with self._turn:
            self._next += 1
            self._turn.notify_all()
        return crc32

    def stop(self) -> None:
        """Let nobody wait any longer."""
        with self._turn:
            self._stopped = True
            self._turn.notify_all()

    def hexdigest(self) -> str:
        """Give the digest of what was added."""
        return self._hash.hexdigest()
