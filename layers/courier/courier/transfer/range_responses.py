"""What the head of an answer says about the source object."""

import re
from typing import Final

from courier.errors import ArtifactChangedError
from courier.transfer.http_client import Answer
from courier.transfer.internal_errors import SourceTroubleError

OK: Final = 200
PARTIAL: Final = 206
CLIENT_ERROR: Final = 4  # the class of statuses
CHANGED: Final = 412
UNSATISFIABLE: Final = 416
# Too slow, and too many requests: the link is good.
PASSING: Final = frozenset({408, 429})

_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15}|\*)\s*\Z")
# Kept as metadata of the copy, which has 2 KB in all.
_LONGEST_ETAG: Final = 256


def check_part(answer: Answer, first: int, last: int, *, etag: str, total_bytes: int) -> None:
    """See that an answer is exactly the bytes that were asked for, of the same version.

    Raises
    ------
    ArtifactChangedError
        It is of another version, or says that there is one.
    SourceTroubleError
        It is something else.
    """
    if answer.status in {CHANGED, UNSATISFIABLE}:
        raise ArtifactChangedError("the source object changed while it was read")
    if answer.status != PARTIAL:
        raise SourceTroubleError(f"{answer.host} answers {answer.status} to a request for a part")
    start, end, total = content_range(answer)
    if total != total_bytes or answer.headers.get("ETag", etag) != etag:
        raise ArtifactChangedError("the source object changed while it was read")
    if (start, end) != (first, last) or answer.length not in {None, last - first + 1}:
        raise SourceTroubleError(f"{answer.host} answers with other bytes than asked for")


def content_range(answer: Answer) -> tuple[int, int, int | None]:
    """Read ``bytes first-last/total``; the total is None for ``*``.

    Raises
    ------
    SourceTroubleError
        There is no such header.
    """
    match = _CONTENT_RANGE.match(answer.headers.get("Content-Range", ""))
    if match is None:
        raise SourceTroubleError(f"{answer.host} answers 206 without saying which bytes")
    first, last, total = match.groups()
    return int(first), int(last), None if total == "*" else int(total)


def strong_etag(etag: str | None) -> str | None:
    """Give an ETag that identifies bytes; weak ones (RFC 9110, 8.8.1) and malformed ones do not."""
    if etag is None or len(etag) > _LONGEST_ETAG or not (etag.isascii() and etag.isprintable()):
        return None
    return etag if len(etag) > 2 and etag.startswith('"') and etag.endswith('"') else None  # noqa: PLR2004 - the quotes
