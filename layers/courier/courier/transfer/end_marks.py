"""How formats end: whether a body of unknown length is whole, as far as its last bytes can show it."""

import struct
from typing import Final

# A zip ends with its end of central directory record: 22 bytes and a comment of up to 65,535 (APPNOTE 4.3.16); the
# records of Zip64 lie before it: a locator of 20 bytes (4.3.15), and a record of 56 (4.3.14).
_END_RECORD: Final = struct.Struct("<4s4H2LH")
_ZIP64_LOCATOR: Final = struct.Struct("<4sLQL")
_ZIP64_RECORD: Final = struct.Struct("<4sQ2H2L4Q")
TRAILING_BYTES: Final = _END_RECORD.size + 65_535 + _ZIP64_LOCATOR.size + _ZIP64_RECORD.size

# White space of PDF (ISO 32000-1, table 1), and the Ctrl-Z of DOS.
_WHITE_SPACE: Final = b"\0\t\n\f\r \x1a"
# No block of deflate expands further (zlib's "Technical Details", "Maximum Compression Factor").
_DEFLATE_FACTOR: Final = 1_032
_GZIP_BYTES: Final = 18  # header and trailer of the shortest member (RFC 1952, 2.3)


def has_end_mark(kind: str | None, trailing: bytes, size_bytes: int) -> bool | None:
    """Whether a body ends as its format does.

    True and False are proofs; None means that the last bytes prove nothing: a CSV ends anywhere, and a JSON document
    that ends with a bracket may have lost others.

    Parameters
    ----------
    kind
        The format that `content.Content` names.
    trailing
        The last `TRAILING_BYTES`, or all when there are fewer.
    size_bytes
        Length of the whole body.
    """
    match kind:
        case "pdf":
            return trailing.rstrip(_WHITE_SPACE).endswith(b"%%EOF")
        case "zip":
            return _zip_ends(trailing, size_bytes)
        case "parquet":
            # Length of the footer and magic number; PARE where the footer is encrypted (parquet-format, README).
            footer = int.from_bytes(trailing[-8:-4], "little")
            return trailing.endswith((b"PAR1", b"PARE")) and footer + 12 <= size_bytes
        case _:
            return None if _may_end(kind, trailing, size_bytes) else False


def _may_end(kind: str | None, trailing: bytes, size_bytes: int) -> bool:
    match kind:
        case "gzip":
            # The length of the last member before compression, modulo 2^32 (RFC 1952, 2.3.1).
            length = int.from_bytes(trailing[-4:], "little")
            return size_bytes >= _GZIP_BYTES and length <= _DEFLATE_FACTOR * size_bytes
        case "json":
            return trailing.rstrip().endswith((b"}", b"]"))
        case "xml":
            return trailing.rstrip().endswith(b">")
        case _:
            return True


def _zip_ends(trailing: bytes, size_bytes: int) -> bool:
    """Whether an end record ends exactly where the file does, and its directory where the record begins.

    A zip that holds zips has end records in its middle: they fit into the inner file only.
    """
    first = size_bytes - len(trailing)
    at = trailing.rfind(b"PK\x05\x06")
    while at >= 0:  # ends: `at` gets smaller
        if at + _END_RECORD.size <= len(trailing):
            *_, length, offset, comment = _END_RECORD.unpack_from(trailing, at)
            is_last = at + _END_RECORD.size + comment == len(trailing)
            if is_last and _directory_fits(trailing, at, first, length, offset):
                return True
        at = trailing.rfind(b"PK\x05\x06", 0, at + 3)
    return False


def _directory_fits(trailing: bytes, at: int, first: int, length: int, offset: int) -> bool:
    """Whether the central directory ends where the end records begin; ``first`` is the offset of ``trailing``."""
    locator = at - _ZIP64_LOCATOR.size
    if locator < 0 or not trailing.startswith(b"PK\x06\x07", locator):
        return offset + length == first + at
    _, _, record_offset, _ = _ZIP64_LOCATOR.unpack_from(trailing, locator)
    record = record_offset - first
    if not 0 <= record <= locator - _ZIP64_RECORD.size or not trailing.startswith(b"PK\x06\x06", record):
        return False
    *_, length, offset = _ZIP64_RECORD.unpack_from(trailing, record)
    return bool(offset + length == record_offset)
