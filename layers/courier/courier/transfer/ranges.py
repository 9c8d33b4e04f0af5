"""What a store makes of a request for a range: exactly that, less, another version, or something that is no range.

Ranges make a copy parallel and resumable. They are never a condition of it: whatever is wrong with a ranged response,
short of a changed artifact, ends in one plain GET (`courier.transfer.download`).
"""

from http import HTTPStatus
from typing import Final

from courier.errors import ArtifactChangedError, ArtifactError, ArtifactIncompleteError
from courier.transfer.content import LEADING_BYTES, coding_of, encoded_on_the_way
from courier.transfer.http_response import DownloadError, Response

# What a request for a range with If-Match gets once the artifact is another one.
CHANGED: Final = frozenset({HTTPStatus.PRECONDITION_FAILED, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE})
# Stores may serve less than requested (RFC 9110, 14.2); what is shorter than this, and than half of what was requested,
# costs too many requests.
_SHORTEST_RANGE_BYTES: Final = 64 * 1024


class RangesFailedError(Exception):
    """Every request for a range failed although there were responses; a plain GET may succeed. Internal to the copy.

    Parameters
    ----------
    final
        What to raise when the plain GET fails as well.
    """

    def __init__(self, final: ArtifactError) -> None:
        super().__init__(str(final))
        self.final = final


def is_first_range(response: Response, requested_bytes: int) -> bool:
    """Whether a response to the first request shows that the artifact can be read in parts.

    If not, one request must fetch it all: the total is unknown, parts without a validator may belong to different
    versions, or the range is too short to be worth it.

    Raises
    ------
    ArtifactIncompleteError
        There is nothing to read.
    DownloadError
        It is not the range that was requested.
    """
    if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        # S3 responds so to any range of an empty object; others do where the range passes the end of the artifact.
        if response.unsatisfied_total() == 0:
            raise ArtifactIncompleteError("the report has no bytes")
        return False
    if response.status != HTTPStatus.PARTIAL_CONTENT:
        return response.status == HTTPStatus.OK
    first, last, total = response.content_range()
    if total is None:
        return False
    end = min(total, requested_bytes)
    if first != 0 or last >= end or response.length not in {None, last + 1}:
        raise DownloadError(f"{response.host} sent other bytes than requested", responded=True)
    if total <= requested_bytes:
        return last + 1 == end
    return response.strong_etag is not None and last + 1 >= max(LEADING_BYTES, min(end, _SHORTEST_RANGE_BYTES))


def check_range(response: Response, first: int, last: int, *, etag: str, total_bytes: int, encoding: str | None) -> int:
    """Check that a response begins with the bytes that were requested, and return the offset at which it ends.

    Raises
    ------
    ArtifactChangedError
        It is of another version, or says that there is one.
    ArtifactRefusedError
        It is encoded, and the artifact is not.
    DownloadError
        It is something else.
    """
    if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and response.unsatisfied_total() == total_bytes:
        raise DownloadError(f"{response.host} refuses a range inside the report", responded=True)
    if response.status in CHANGED:
        raise ArtifactChangedError("the report changed while it was read")
    if response.status != HTTPStatus.PARTIAL_CONTENT:
        text = f"{response.host} responded with {response.status} to a request for a part"
        raise DownloadError(text, responded=True)
    start, end, total = response.content_range()
    if total != total_bytes or response.headers.get("ETag", etag) != etag:
        raise ArtifactChangedError("the report changed while it was read")
    coding = coding_of(response)
    if coding not in {None, encoding} and response.length != end + 1 - start:
        raise encoded_on_the_way(coding or "")
    shortest = min(_SHORTEST_RANGE_BYTES, max(1, (last + 1 - first) // 2))
    is_long_enough = end == last or first + shortest <= end + 1 < last + 1
    if start != first or not is_long_enough or response.length not in {None, end + 1 - start}:
        raise DownloadError(f"{response.host} sent other bytes than requested", responded=True)
    return end + 1
