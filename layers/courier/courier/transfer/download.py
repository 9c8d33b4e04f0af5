"""Reading the source object: the first look at it, and exact parts of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from courier.backoff import Backoff, retry_after_seconds
from courier.errors import (
    ArtifactError,
    ArtifactIncompleteError,
    ArtifactRefusedError,
    ArtifactUnavailableError,
)
from courier.links import ArtifactLink
from courier.transfer.deadline import Deadline
from courier.transfer.http_client import Answer, Fetcher
from courier.transfer.internal_errors import LinkRefusedError, OutOfTimeError, SourceTroubleError
from courier.transfer.link_refresh import LinkHolder
from courier.transfer.part_plan import Part
from courier.transfer.proof import LEADING_BYTES, TRAILING_BYTES, judge_content, quoted
from courier.transfer.range_responses import (
    CHANGED,
    CLIENT_ERROR,
    OK,
    PARTIAL,
    PASSING,
    UNSATISFIABLE,
    check_part,
    content_range,
    strong_etag,
)
from courier.transfer.size_limits import Bounds

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Look:
    """What the first request told.

    Attributes
    ----------
    content_type
        The media type, judged with the first bytes.
    total_bytes
        The artifact's length, None when the store does not tell.
    promised_bytes
        The length that the provider's API gave, None when it did not.
    etag
        Strong validator, None when there is none.
    buffer
        All the bytes, where they are one part at most; a part's buffer, where the rest comes by the same
        answer; else only the first bytes. It is no larger than that: making 8 MiB takes longer than the
        whole rest of the work on a small report, and they would stay beside the workers' buffers.
    filled
        Bytes that lie at the beginning of the buffer.
    ended
        Those are all.
    ranged
        Parts can be fetched on their own, under ``If-Match``.
    answer, fetcher
        The open answer behind the filled bytes, unless they are all, and whose connection it is.
    """

    content_type: str
    total_bytes: int | None
    promised_bytes: int | None
    etag: str | None
    buffer: bytearray = field(repr=False)
    filled: int
    ended: bool
    ranged: bool
    answer: Answer | None
    fetcher: Fetcher


class SourceReader:
    """Reads through a `Fetcher`, with retries, and with fresh links.

    Refused links lead to a fresh one; broken connections, 408, 429, 5xx and answers that end early
    are tried again after a wait; everything else is final.

    Attributes
    ----------
    bounds
        How long the artifact may be.
    """

    def __init__(
        self,
        links: LinkHolder,
        *,
        backoff: Backoff,
        deadline: Deadline,
        content_types: Sequence[str],
        bounds: Bounds,
    ) -> None:
        self._links = links
        self._backoff = backoff
        self._deadline = deadline
        self._content_types = content_types
        self.bounds = bounds

    def look(self, fetcher: Fetcher, part_size_bytes: int) -> Look:
        """Ask for the first part, and learn length and validator from the answer.

        A HEAD would not do: the method is part of what is signed, so S3 answers 403.

        Raises
        ------
        ArtifactError
            A final one.
        OutOfTimeError
            The time was up first.
        """
        return self._persist(fetcher, lambda link: self._look(fetcher, link, part_size_bytes))

    def read_part(
        self, fetcher: Fetcher, part: Part, view: memoryview, *, etag: str, total_bytes: int, opened: Look | None = None
    ) -> None:
        """Fill ``view`` with one part of the object that has this ETag and length.

        ``opened`` is the first look, whose answer is read on; a read that broke goes on where it stopped.

        Raises
        ------
        ArtifactChangedError
            The object is another one now.
        ArtifactError
            A final one.
        OutOfTimeError
            The time was up first.
        """
        filled = 0
        pending = None
        if opened is not None and opened.answer is not None:
            filled, pending = opened.filled, opened.answer

        def attempt(link: ArtifactLink) -> None:
            nonlocal filled, pending
            answer, pending = pending, None
            first, last = part.start + filled, part.start + part.length - 1
            opened_here = answer is None
            if answer is None:
                answer = self._open(fetcher, link, {"Range": f"bytes={first}-{last}", "If-Match": etag})
            try:
                if opened_here:
                    check_part(answer, first, last, etag=etag, total_bytes=total_bytes)
                filled += answer.read_into(view[filled:])
            finally:
                answer.close()
            if filled < part.length:
                raise SourceTroubleError(f"part {part.number} ends after {filled} of {part.length} bytes", short=True)

        self._persist(fetcher, attempt)

    @property
    def promised_bytes(self) -> int | None:
        """The length that the provider gives now; None when it does not."""
        return _promised(self._links.current())

    def _look(self, fetcher: Fetcher, link: ArtifactLink, part_size_bytes: int) -> Look:
        answer = self._open(fetcher, link, {"Range": f"bytes=0-{part_size_bytes - 1}"})
        if self._is_unfit_for_parts(answer, part_size_bytes):
            answer.close()
            answer = self._open(fetcher, link, {})
        try:
            return self._look_at(fetcher, answer, link, part_size_bytes)
        except BaseException:
            answer.close()
            raise

    def _is_unfit_for_parts(self, answer: Answer, asked_bytes: int) -> bool:
        """Whether one request must bring it all: parts without a validator may belong to different versions."""
        if answer.status != PARTIAL:
            return False
        _, _, total = content_range(answer)
        return total is None or (total > asked_bytes and strong_etag(answer.headers.get("ETag")) is None)

    def _look_at(self, fetcher: Fetcher, answer: Answer, link: ArtifactLink, part_size_bytes: int) -> Look:
        if answer.status == UNSATISFIABLE:  # S3's answer to any range of an empty object
            raise ArtifactIncompleteError("the report has no bytes")
        ranged = answer.status == PARTIAL
        if ranged:
            first, last, total = content_range(answer)
            if (
                total is None
                or (first, last + 1) != (0, min(total, part_size_bytes))
                or answer.length not in {None, last + 1}
            ):
                raise SourceTroubleError(f"{answer.host} answers with other bytes than asked for")
        elif answer.status == OK:
            total = answer.length
        else:
            raise SourceTroubleError(f"{answer.host} answers {answer.status}")
        promised = _promised(link)
        self.bounds.check_length(total, promised)
        longest = LEADING_BYTES if ranged else part_size_bytes
        wanted = total if total is not None and total <= part_size_bytes else longest
        buffer = bytearray(wanted)
        with memoryview(buffer) as view:
            filled = answer.read_into(view)
        if total is not None and filled < wanted:
            raise SourceTroubleError(f"{answer.host} ended after {filled} of {total} bytes", short=True)
        if filled == 0:
            raise ArtifactIncompleteError("the report has no bytes")
        header = answer.headers.get("Content-Type")
        media = judge_content(header, bytes(buffer[: min(filled, LEADING_BYTES)]), self._content_types)
        ended = filled < wanted or filled == total
        self.bounds.check_received(filled, promised)
        if total is None and ended:
            self.bounds.check_end(filled, promised, media, bytes(buffer[:filled][-TRAILING_BYTES:]))
        if ended:
            answer.close()
            del buffer[filled:]
        return Look(
            content_type=media,
            total_bytes=total,
            promised_bytes=promised,
            etag=strong_etag(answer.headers.get("ETag")),
            buffer=buffer,
            filled=filled,
            ended=ended,
            ranged=ranged,
            fetcher=fetcher,
            answer=None if ended else answer,
        )

    def _open(self, fetcher: Fetcher, link: ArtifactLink, headers: dict[str, str]) -> Answer:
        """Send one request and sort its status: give 200, 206, 412 and 416, raise the rest."""
        answer = fetcher.get(link.url, headers)
        if answer.status in {OK, PARTIAL}:
            encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
            if encoding not in {"", "identity"}:
                answer.close()
                raise ArtifactRefusedError(
                    f"the store sends the report encoded ({quoted(encoding)}) although it must not"
                )
            return answer
        if answer.status in {CHANGED, UNSATISFIABLE}:
            return answer
        retry_after = retry_after_seconds(answer.headers.get("Retry-After"), now=self._deadline.now())
        said = answer.error_code()
        if answer.status // 100 == CLIENT_ERROR and answer.status not in PASSING:
            raise LinkRefusedError(said)
        raise SourceTroubleError(f"{answer.host} answers {said}", retry_after_seconds=retry_after or 0.0)

    def _persist(self, fetcher: Fetcher, attempt: Callable[[ArtifactLink], _T]) -> _T:
        """Do one thing, again after what may pass; the bounds are `Backoff.attempts` and `LinkHolder`'s."""
        failures = 0
        while True:
            self._deadline.check()
            link = self._links.current()
            try:
                result = attempt(link)
            except LinkRefusedError as refused:
                self._links.renew(link.url, str(refused))
            except SourceTroubleError as trouble:
                fetcher.close()
                self._deadline.check()
                if fetcher.is_cut:
                    raise OutOfTimeError from trouble
                failures += 1
                if failures >= self._backoff.attempts:
                    raise given_up(trouble, failures) from trouble
                self._backoff.wait(failures, at_least_seconds=trouble.retry_after_seconds)
            else:
                self._links.worked()
                return result


def _promised(link: ArtifactLink) -> int | None:
    """Give the length that the provider promises; it says 0 when it does not know."""
    return link.size_bytes or None


def given_up(trouble: SourceTroubleError, tries: int) -> ArtifactError:
    """Give the error for trouble that did not pass."""
    kind = ArtifactIncompleteError if trouble.short else ArtifactUnavailableError
    return kind(f"{trouble}; gave up after {tries} tries")
