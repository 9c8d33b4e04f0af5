"""What makes a download trustworthy: its content, as its readers would judge it, its length and its end."""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from courier.errors import ArtifactIncompleteError, ArtifactRefusedError
from courier.transfer.end_marks import has_end_mark
from courier.transfer.http_response import DownloadError, Response

# Enough for every signature below, and for the blanks and comments that precede the markup of a page. Readers look for
# the header of a PDF in as many bytes (PDF reference 1.7, appendix H.3, note 13).
LEADING_BYTES: Final = 1_024

_WORD: Final = re.compile(r"[a-z0-9.+/-]{0,80}\Z")
_UNKNOWN: Final = frozenset({"", "application/octet-stream", "binary/octet-stream"})
_FAMILIES: Final = {
    "application/pdf": "pdf",
    **dict.fromkeys(("application/zip", "application/x-zip-compressed"), "zip"),
    **dict.fromkeys(("application/gzip", "application/x-gzip"), "gzip"),
    **dict.fromkeys(("application/vnd.apache.parquet", "application/x-parquet", "application/parquet"), "parquet"),
    "application/json": "json",
    **dict.fromkeys(("text/html", "text/xml", "application/xml"), "markup"),
}
_OFFICE: Final = "application/vnd.openxmlformats-"
_ZIP: Final = (_OFFICE, "application/vnd.oasis.opendocument.", "application/epub+zip")
_MARKUP_STARTS: Final = (b"<!doctype", b"<html", b"<?xml", b"<error", b"<head", b"<body", b"<!--")
# Office opens exports of reporting tools that are HTML or XML under these names, and they are common.
_MAY_BE_MARKUP: Final = frozenset({"application/vnd.ms-excel", "application/msword"})
# The container of Office files that have a password ([MS-OFFCRYPTO] 2.3), whatever their type.
_OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_SIGNATURES: Final[dict[str, tuple[bytes, ...]]] = {
    "pdf": (b"%PDF-",),
    "zip": (b"PK\x03\x04", b"PK\x05\x06"),
    "gzip": (b"\x1f\x8b",),
    "parquet": (b"PAR1", b"PARE"),
    "ole": (_OLE,),
}
_GZIP: Final = frozenset({"gzip", "x-gzip"})
# IANA's registry of content codings. Other words are none: `aws-chunked` is the framing of an upload that some stores
# keep, `utf-8` a mistake made when the object was stored.
_CODINGS: Final = _GZIP | {
    *("aes128gcm", "br", "compress", "dcb", "dcz", "deflate", "exi", "pack200-gzip", "x-compress", "zstd")
}


@dataclass(frozen=True)
class Content:
    """What a response holds.

    Attributes
    ----------
    media
        The bare media type.
    encoding
        The coding in which the artifact's store keeps it; None for none.
    kind
        The format whose end `has_end_mark` knows; None where it knows none.
    """

    media: str
    encoding: str | None
    kind: str | None


def media_type(header: str | None) -> str:
    """Return the bare media type of a Content-Type header, empty when there is none."""
    return (header or "").partition(";")[0].strip().lower()


def coding_of(response: Response) -> str | None:
    """Return the codings of a Content-Encoding header, without words that are none; None when none is left."""
    words = (word.strip().lower() for word in response.headers.get("Content-Encoding", "").split(","))
    return ", ".join(word for word in words if word in _CODINGS) or None


def _quoted(text: str) -> str:
    """Quote a server's text for a message if it is one word; else it could be anything, such as the link itself."""
    return repr(text) if _WORD.match(text) else "something unreadable"


def encoded_on_the_way(coding: str) -> ArtifactRefusedError:
    """Return the error for a body that is encoded, although its length shows that the artifact itself is not."""
    return ArtifactRefusedError(f"the store sends the report encoded ({_quoted(coding)}) although it must not")


def check_content(response: Response, leading: bytes, declared: Sequence[str]) -> Content:
    """Check that a response can be the artifact, as `check_content_type` does with what is inside a coding.

    Codings that Python cannot decode leave the header alone to be checked.

    Raises
    ------
    ArtifactRefusedError
        The response cannot be the artifact.
    """
    header, coding = response.headers.get("Content-Type"), coding_of(response)
    inner: bytes | None = leading
    if coding in _GZIP and not leading.startswith(b"\x1f\x8b"):
        coding = None  # a label that the bytes belie
    elif coding is not None and not (coding in _GZIP and _family(media_type(header)) == "gzip"):
        inner = _decoded(coding, leading)
    media = check_content_type(header, inner, declared)
    if coding is not None:
        return Content(media, coding, "gzip" if coding in _GZIP else None)
    return Content(media, None, _kind(media, leading))


def _decoded(coding: str, leading: bytes) -> bytes | None:
    """Return the first bytes inside a coding; None when it cannot be decoded."""
    if coding not in _GZIP | {"deflate"}:
        return None
    try:
        return zlib.decompressobj(wbits=47).decompress(leading, LEADING_BYTES)  # 47: gzip's header or zlib's
    except zlib.error:
        return None


def _kind(media: str, leading: bytes) -> str | None:
    if leading.startswith(_OLE):
        return None
    family = _family(media)
    if family == "markup":
        return None if media == "text/html" else "xml"
    return family


def check_content_type(header: str | None, leading: bytes | None, declared: Sequence[str]) -> str:
    """Check that a response can be the artifact, by its type and its first bytes, and return its media type.

    - The type must be one of ``declared``; parameters such as a charset do not count.
    - ``application/octet-stream``, ``binary/octet-stream`` (S3's type of objects stored without one)
      and a missing header say nothing: then the first bytes must be those of a declared type
      that has a signature, or else a declared type without a signature (CSV, plain text) is assumed.
    - Whatever the type, the bytes must begin as its readers accept it: ``%PDF-`` among the first 1,024 bytes,
      ``PK`` of a zip, the container of a locked Office file, gzip's magic number, ``PAR1``, ``{`` or ``[`` of JSON,
      ``<`` of HTML and XML.
    - A page of HTML or XML is accepted only where ``declared`` names such a type, or one under which reporting
      tools export such pages (Excel, Word): stores and proxies report errors in them. An empty ``declared`` allows
      any other type.

    ``leading`` is None where the bytes cannot be read.

    Raises
    ------
    ArtifactRefusedError
        The response cannot be the artifact.
    """
    media = media_type(header)
    wanted = tuple(media_type(item) for item in declared)
    if media in _UNKNOWN and media not in wanted:
        return _recognise(leading, wanted)
    if wanted and media not in wanted:
        raise ArtifactRefusedError(
            f"the store sends {_quoted(media)}, artifact.content_types allows {', '.join(wanted)}"
        )
    if leading is None:
        if _family(media) == "markup" and media not in wanted:
            raise _page(media)
        return media
    allows_markup = any(_family(item) == "markup" for item in wanted) or media in _MAY_BE_MARKUP & set(wanted)
    if not allows_markup and (_family(media) == "markup" or _family_of_bytes(leading) == "markup"):
        raise _page(media)
    if not _fits(media, leading):
        raise ArtifactRefusedError(f"the store sends {_quoted(media)}, but the content does not begin like that")
    return media


def _page(media: str) -> ArtifactRefusedError:
    named = f" ({_quoted(media)})" if media else ""
    return ArtifactRefusedError(
        f"the store sends a page of HTML or XML{named}, not a report;"
        " artifact.content_types would have to name its type"
    )


def _recognise(leading: bytes | None, wanted: Sequence[str]) -> str:
    """Return the type of a response whose header does not say it."""
    family = None if leading is None else _family_of_bytes(leading)
    for item in wanted:
        if leading is not None and _family(item) is not None and _fits(item, leading):
            return item
    if family == "markup":
        raise ArtifactRefusedError(
            "the store sends a page of HTML or XML without a content type, not a report; artifact.content_types"
            " would have to name its type"
        )
    unsigned = [item for item in wanted if _family(item) is None]
    if wanted and (family is not None or not unsigned):
        raise ArtifactRefusedError(
            "the store sends no content type, and the content does not begin like artifact.content_types allows:"
            f" {', '.join(wanted)}"
        )
    return unsigned[0] if unsigned else "application/octet-stream"


def _family(media: str) -> str | None:
    """Return the family of a media type whose beginning is known."""
    if media.startswith(_ZIP):
        return "zip"
    if media.endswith(("+json", "+xml")):
        return "json" if media.endswith("+json") else "markup"
    return _FAMILIES.get(media)


def _family_of_bytes(leading: bytes) -> str | None:
    text = leading.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(_MARKUP_STARTS):
        return "markup"
    return next((family for family, starts in _SIGNATURES.items() if leading.startswith(starts)), None)


def _fits(media: str, leading: bytes) -> bool:
    text = leading.removeprefix(b"\xef\xbb\xbf").lstrip()
    family, begins = _family(media), _family_of_bytes(leading)
    match family:
        case None:
            return True
        case "json":
            return text.startswith((b"{", b"["))
        case "markup":
            return text.startswith(b"<")
        case "pdf":
            return begins in {None, "pdf"} and b"%PDF-" in leading[:LEADING_BYTES]
        case "zip":
            return begins == "zip" or (begins == "ole" and media.startswith(_OFFICE))
        case _:
            return begins == family


@dataclass(frozen=True)
class SizeLimits:
    """Checks lengths against the source's limit and the provider's promise; an unknown length is None."""

    largest_bytes: int

    def check_length(self, total_bytes: int | None, promised: int | None, coding: str | None = None) -> None:
        """Compare the length that the store announces with the provider's promise and with the limit.

        Raises
        ------
        ArtifactRefusedError
            One of them is above the limit; or they differ because the body is encoded on its way.
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
            if coding is not None:
                raise encoded_on_the_way(coding)
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

    def check_end(
        self, received: int, promised: int | None, content: Content, trailing: bytes, *, is_terminated: bool
    ) -> None:
        """Check the end of a body whose length was not announced; ``is_terminated`` if its last chunk was received.

        Raises
        ------
        DownloadError
            It ended early.
        ArtifactRefusedError
            It has another length than promised because it is encoded on its way.
        """
        if promised is not None and received < promised:
            if content.encoding is not None:
                raise encoded_on_the_way(content.encoding)
            raise DownloadError(f"the store ended after {received} of {promised} bytes", short=True)
        if promised is None and not is_terminated and has_end_mark(content.kind, trailing, received) is False:
            raise DownloadError(
                f"the store ended after {received} bytes without {content.media}'s end mark", short=True
            )
