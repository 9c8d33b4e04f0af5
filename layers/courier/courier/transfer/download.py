"""The download: a first response that shows what there is, then exact parts; retries, and one plain GET at the end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, TypeVar

from courier.backoff import Backoff, retry_after_seconds
from courier.errors import ArtifactError, ArtifactExpiredError, ArtifactIncompleteError
from courier.links import ArtifactLink
from courier.transfer.content import LEADING_BYTES, Content, SizeLimits, check_content, coding_of
from courier.transfer.end_marks import TRAILING_BYTES
from courier.transfer.http_client import HttpClient
from courier.transfer.http_response import DownloadError, Response
from courier.transfer.link_refresh import LinkRefresher, LinkRefusedError
from courier.transfer.options import Deadline, OutOfTimeError, Part
from courier.transfer.ranges import CHANGED, RangesFailedError, check_range, is_first_range

_T = TypeVar("_T")

# Client errors that do not refuse the link.
_TRANSIENT: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
# Responses that are no range, at the first request, before a plain GET is sent.
_MOST_ODD_RANGES: Final = 2


@dataclass(frozen=True, kw_only=True)
class FirstResponse:
    """What the first request showed.

    Attributes
    ----------
    content
        Type and coding, checked against the first bytes.
    total_bytes
        The artifact's length, None when the store does not announce it.
    promised_bytes
        The length in the provider's API, None when it has none.
    etag
        Strong validator, None when there is none.
    buffer
        All the bytes, where they are one part at most; a part's buffer, where the rest comes in the same
        body; else only the first bytes. It is no larger than that: allocating 8 MiB takes longer than the
        whole rest of the work on a small artifact, and they would stay beside the workers' buffers.
    filled
        Number of bytes at the beginning of the buffer.
    ended
        Those are all.
    ranged
        Parts can be downloaded on their own, under ``If-Match``.
    response, client
        The open response behind the filled bytes, None if they are all, and the client whose connection it is.
    """

    content: Content
    total_bytes: int | None
    promised_bytes: int | None
    etag: str | None
    buffer: bytearray = field(repr=False)
    filled: int
    ended: bool
    ranged: bool
    response: Response | None
    client: HttpClient


class Download:
    """Reads the artifact, with retries and fresh links.

    A refused link is replaced by a fresh one; broken connections, 408, 429, 5xx and bodies that end early
    are retried after a wait; everything else is final. Before a copy is given up because of responses to ranges,
    of which none was a part, the whole artifact is requested in one plain GET.

    Parameters
    ----------
    new_client
        Creates the HTTP client of one worker.

    Attributes
    ----------
    links
        The current link.
    limits
        How long the artifact may be.
    """

    def __init__(
        self,
        links: LinkRefresher,
        *,
        new_client: Callable[[], HttpClient],
        backoff: Backoff,
        deadline: Deadline,
        content_types: Sequence[str],
        limits: SizeLimits,
        ranges: bool = True,
    ) -> None:
        self.links = links
        self._new_client = new_client
        self._backoff = backoff
        self._deadline = deadline
        self._content_types = content_types
        self.limits = limits
        self._clients: list[HttpClient] = []
        self._is_cut = False
        self._ranges = ranges
        self._odd_ranges = 0
        self._ranges_work = False

    def trust_ranges(self) -> None:
        """Note that parts were downloaded before: a failure to come is not due to ranges."""
        self._ranges_work = True

    def open_client(self) -> HttpClient:
        """Return a new client that `cut` and `close` reach."""
        client = self._new_client()
        self._clients.append(client)
        if self._is_cut:  # checked once `cut` can see the client
            client.cut()
        return client

    def cut(self) -> None:
        """End every read, now and later, from another thread."""
        self._is_cut = True
        for client in tuple(self._clients):
            client.cut()

    def close(self) -> None:
        """Close the connections of every client."""
        for client in self._clients:
            client.close()

    def open(self, client: HttpClient, part_size_bytes: int) -> FirstResponse:
        """Request the first part, and read length and validator from the response.

        A HEAD would not do: the method is part of what is signed, so S3 responds 403.

        Raises
        ------
        ArtifactError
            A permanent one.
        OutOfTimeError
            The time was up first.
        """
        if not self._ranges:
            return self._retry(client, lambda link: self._open_whole(client, link, part_size_bytes))
        try:
            return self._retry(client, lambda link: self._open_ranged(client, link, part_size_bytes))
        except RangesFailedError as failed:
            return self.open_whole(client, part_size_bytes, failed)

    def open_whole(self, client: HttpClient, part_size_bytes: int, failed: RangesFailedError) -> FirstResponse:
        """Request the whole artifact in one plain GET after ranges failed; there are no ranges from here on.

        Raises
        ------
        ArtifactError
            ``failed.final`` if there is no usable response either.
        OutOfTimeError
            The time was up first.
        """
        self._deadline.check()
        try:
            first = self._open_whole(client, self.links.current(), part_size_bytes)
        except (LinkRefusedError, DownloadError):
            raise failed.final from failed
        self.links.note_success()
        self._ranges = False
        return first

    def read_part(
        self,
        client: HttpClient,
        part: Part,
        view: memoryview,
        *,
        etag: str,
        total_bytes: int,
        encoding: str | None,
        opened: FirstResponse | None = None,
    ) -> None:
        """Fill ``view`` with one part of the artifact that has this ETag, length and coding.

        ``opened`` is the first response, whose body is read on; a read that broke continues where it stopped, as does
        one whose response was shorter than requested.

        Raises
        ------
        ArtifactChangedError
            The artifact is another one now.
        ArtifactError
            A permanent one.
        OutOfTimeError
            The time was up first.
        RangesFailedError
            No request for a part has succeeded yet, and a plain GET may.
        """
        filled = 0
        pending = None
        if opened is not None and opened.response is not None:
            filled, pending = opened.filled, opened.response

        def attempt(link: ArtifactLink) -> None:
            nonlocal filled, pending
            while filled < part.length:  # ends: every round reads all of a range, or raises
                response, pending = pending, None
                first, last = part.start + filled, part.start + part.length - 1
                try:
                    if response is None:
                        response = self._request(client, link, {"Range": f"bytes={first}-{last}", "If-Match": etag})
                        end = check_range(response, first, last, etag=etag, total_bytes=total_bytes, encoding=encoding)
                        self._ranges_work = True
                    else:
                        end = response.content_range()[1] + 1
                    stop = min(end - part.start, part.length)
                    filled += response.read_into(view[filled:stop])
                finally:
                    if response is not None:
                        response.close()
                if filled < stop:
                    raise DownloadError(f"part {part.number} ends after {filled} of {part.length} bytes", short=True)
                if filled < part.length:
                    self._deadline.check()

        self._retry(client, attempt)

    def _open_ranged(self, client: HttpClient, link: ArtifactLink, part_size_bytes: int) -> FirstResponse:
        response = self._request(client, link, {"Range": f"bytes=0-{part_size_bytes - 1}"})
        try:
            is_usable = is_first_range(response, part_size_bytes)
        except DownloadError:
            response.close()
            self._odd_ranges += 1
            if self._odd_ranges < _MOST_ODD_RANGES:
                raise
            is_usable = False
        except BaseException:
            response.close()
            raise
        if not is_usable:
            response.close()
            return self._open_whole(client, link, part_size_bytes)
        return self._inspect(client, response, link, part_size_bytes)

    def _open_whole(self, client: HttpClient, link: ArtifactLink, part_size_bytes: int) -> FirstResponse:
        response = self._request(client, link, {})
        if response.status != HTTPStatus.OK:
            response.close()
            raise DownloadError(f"{response.host} responded with {response.status}")
        return self._inspect(client, response, link, part_size_bytes)

    def _inspect(
        self, client: HttpClient, response: Response, link: ArtifactLink, part_size_bytes: int
    ) -> FirstResponse:
        """Read the beginning of a 200, or of a 206 whose range was checked; close the response on errors."""
        try:
            return self._read_beginning(client, response, link, part_size_bytes)
        except BaseException:
            response.close()
            raise

    def _read_beginning(
        self, client: HttpClient, response: Response, link: ArtifactLink, part_size_bytes: int
    ) -> FirstResponse:
        ranged = response.status == HTTPStatus.PARTIAL_CONTENT
        total = response.content_range()[2] if ranged else response.length
        promised = link.promised_bytes
        self.limits.check_length(total, promised, coding_of(response))
        longest = LEADING_BYTES if ranged else part_size_bytes
        wanted = total if total is not None and total <= part_size_bytes else longest
        buffer = bytearray(wanted)
        with memoryview(buffer) as view:
            filled = response.read_into(view)
        if total is not None and filled < wanted:
            raise DownloadError(f"{response.host} ended after {filled} of {total} bytes", short=True)
        if filled == 0:
            raise ArtifactIncompleteError("the report has no bytes")
        content = check_content(response, bytes(buffer[: min(filled, LEADING_BYTES)]), self._content_types)
        ended = filled < wanted or filled == total
        self.limits.check_received(filled, promised)
        if total is None and ended:
            trailing = bytes(buffer[:filled][-TRAILING_BYTES:])
            self.limits.check_end(filled, promised, content, trailing, is_terminated=response.is_chunked)
        if ended:
            response.close()
            del buffer[filled:]
        return FirstResponse(
            content=content,
            total_bytes=total,
            promised_bytes=promised,
            etag=response.strong_etag,
            buffer=buffer,
            filled=filled,
            ended=ended,
            ranged=ranged,
            response=None if ended else response,
            client=client,
        )

    def _request(self, client: HttpClient, link: ArtifactLink, headers: dict[str, str]) -> Response:
        """Send one request; return a response with status 200, 206, 412 or 416, raise for every other."""
        own = {**link.headers, **(link.credentials or {})}
        response = client.get(link.url, headers, for_origin=own)
        if response.left_its_origin and response.redirected_to is not None and link.credentials is not None:
            # The other parts take the link that the API handed out, and not one more from the API for each of them.
            self.links.replace(link, response.redirected_to)
        if response.status in CHANGED | {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
            return response
        retry_after = retry_after_seconds(response.headers.get("Retry-After"), now=self._deadline.now())
        error = response.read_error()
        if response.status // 100 == 4 and response.status not in _TRANSIENT:  # noqa: PLR2004 - client errors
            raise LinkRefusedError(error)
        text = f"{response.host} responded with {error}"
        raise DownloadError(text, responded=True, retry_after_seconds=retry_after or 0.0)

    def _retry(self, client: HttpClient, attempt: Callable[[ArtifactLink], _T]) -> _T:
        """Make one attempt after another, up to the limits of `Backoff.attempts` and of `LinkRefresher`."""
        failures = 0
        while True:
            self._deadline.check()
            link = self.links.current()
            try:
                result = attempt(link)
            except LinkRefusedError as refused:
                try:
                    self.links.refresh(link, str(refused))
                except ArtifactExpiredError as expired:
                    raise self._given_up(expired, responded=True) from refused
            except DownloadError as error:
                client.close()
                self._deadline.check()
                if client.is_cut:
                    raise OutOfTimeError from error
                failures += 1
                pause = min(error.retry_after_seconds, self._backoff.max_requested_seconds)
                if not self._deadline.has(pause):
                    raise error.as_permanent(failures) from error
                if failures >= self._backoff.attempts:
                    raise self._given_up(error.as_permanent(failures), responded=error.responded) from error
                self._backoff.wait(failures, at_least_seconds=pause)
            else:
                self.links.note_success()
                return result

    def _given_up(self, final: ArtifactError, *, responded: bool) -> Exception:
        """Return what to raise: ranges are to blame as long as none has arrived, and there were responses."""
        if responded and self._ranges and not self._ranges_work:
            return RangesFailedError(final)
        return final
