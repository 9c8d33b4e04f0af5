"""The download: a first response that shows what there is, then exact parts; retries, and fresh links."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, TypeVar

from courier.backoff import Backoff, retry_after_seconds
from courier.errors import ArtifactExpiredError, ArtifactIncompleteError
from courier.links import ArtifactLink, SecretUrl
from courier.transfer.content import (
    CHANGED,
    LEADING_BYTES,
    TRAILING_BYTES,
    SizeLimits,
    check_content_type,
    check_encoding,
    check_range,
)
from courier.transfer.http_client import DownloadError, HttpClient, Response
from courier.transfer.options import Deadline, OutOfTimeError, Part

_T = TypeVar("_T")

# Fresh links in a row that are refused before one byte came: the second may have crossed a rotation of keys.
_MOST_REFUSALS: Final = 3
# Client errors that do not refuse the link.
_TRANSIENT: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})


@dataclass(frozen=True, kw_only=True)
class FirstResponse:
    """What the first request showed.

    Attributes
    ----------
    content_type
        The media type, checked against the first bytes.
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

    content_type: str
    total_bytes: int | None
    promised_bytes: int | None
    etag: str | None
    buffer: bytearray = field(repr=False)
    filled: int
    ended: bool
    ranged: bool
    response: Response | None
    client: HttpClient


class LinkRefresher:
    """The current link, shared by the workers, and a fresh one from the provider when it is refused.

    ``expires_at`` of a link is ignored: some links die earlier, and some live longer.
    """

    def __init__(self, locate: Callable[[], ArtifactLink]) -> None:
        self._locate = locate
        self._link: ArtifactLink | None = None
        self._refusals = 0
        self._expired: str | None = None
        self._lock = threading.Lock()

    def current(self) -> ArtifactLink:
        """Return the link that worked last; request the first one from the provider."""
        with self._lock:
            if self._link is None:
                self._link = self._locate()
            return self._link

    def note_success(self) -> None:
        """Note that a request with a link succeeded."""
        with self._lock:
            self._refusals = 0

    def refresh(self, refused: SecretUrl, reason: str) -> None:
        """Request a link from the provider in place of one that was refused, unless another worker already has.

        Raises
        ------
        ArtifactExpiredError
            The provider returns the same link again, or its links are refused one after another.
        """
        with self._lock:
            if self._expired is not None:
                raise ArtifactExpiredError(self._expired)
            if self._link is not None and self._link.url != refused:
                return
            self._refusals += 1
            if self._refusals >= _MOST_REFUSALS:
                self._expired = f"{self._refusals} fresh links in a row were refused ({reason})"
                raise ArtifactExpiredError(self._expired)
            link = self._locate()
            if link.url == refused:
                self._expired = f"the store refuses the link ({reason}), and the provider returns the same link again"
                raise ArtifactExpiredError(self._expired)
            self._link = link


class LinkRefusedError(Exception):
    """The object store refuses the link (4xx); a fresh one may help. Internal to the download."""


class Download:
    """Reads the artifact, with retries and fresh links.

    A refused link is replaced by a fresh one; broken connections, 408, 429, 5xx and bodies that end early
    are retried after a wait; everything else is final.

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
    ) -> None:
        self.links = links
        self._new_client = new_client
        self._backoff = backoff
        self._deadline = deadline
        self._content_types = content_types
        self.limits = limits
        self._clients: list[HttpClient] = []
        self._is_cut = False

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
        return self._retry(client, lambda link: self._open_ranged(client, link, part_size_bytes))

    def read_part(
        self,
        client: HttpClient,
        part: Part,
        view: memoryview,
        *,
        etag: str,
        total_bytes: int,
        opened: FirstResponse | None = None,
    ) -> None:
        """Fill ``view`` with one part of the artifact that has this ETag and length.

        ``opened`` is the first response, whose body is read on; a read that broke continues where it stopped.

        Raises
        ------
        ArtifactChangedError
            The artifact is another one now.
        ArtifactError
            A permanent one.
        OutOfTimeError
            The time was up first.
        """
        filled = 0
        pending = None
        if opened is not None and opened.response is not None:
            filled, pending = opened.filled, opened.response

        def attempt(link: ArtifactLink) -> None:
            nonlocal filled, pending
            response, pending = pending, None
            first, last = part.start + filled, part.start + part.length - 1
            is_new = response is None
            if response is None:
                response = self._request(client, link, {"Range": f"bytes={first}-{last}", "If-Match": etag})
            try:
                if is_new:
                    check_range(response, first, last, etag=etag, total_bytes=total_bytes)
                filled += response.read_into(view[filled:])
            finally:
                response.close()
            if filled < part.length:
                raise DownloadError(f"part {part.number} ends after {filled} of {part.length} bytes", short=True)

        self._retry(client, attempt)

    def _open_ranged(self, client: HttpClient, link: ArtifactLink, part_size_bytes: int) -> FirstResponse:
        response = self._request(client, link, {"Range": f"bytes=0-{part_size_bytes - 1}"})
        if _needs_whole_body(response, part_size_bytes):
            response.close()
            response = self._request(client, link, {})
        try:
            return self._inspect(client, response, link, part_size_bytes)
        except BaseException:
            response.close()
            raise

    def _inspect(
        self, client: HttpClient, response: Response, link: ArtifactLink, part_size_bytes: int
    ) -> FirstResponse:
        if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            # S3 responds so to any range of an empty object.
            raise ArtifactIncompleteError("the report has no bytes")
        ranged = response.status == HTTPStatus.PARTIAL_CONTENT
        if ranged:
            first, last, total = response.content_range()
            is_first_part = total is not None and (first, last + 1) == (0, min(total, part_size_bytes))
            if not is_first_part or response.length not in {None, last + 1}:
                raise DownloadError(f"{response.host} sent other bytes than requested")
        elif response.status == HTTPStatus.OK:
            total = response.length
        else:
            raise DownloadError(f"{response.host} responded with {response.status}")
        promised = link.promised_bytes
        self.limits.check_length(total, promised)
        longest = LEADING_BYTES if ranged else part_size_bytes
        wanted = total if total is not None and total <= part_size_bytes else longest
        buffer = bytearray(wanted)
        with memoryview(buffer) as view:
            filled = response.read_into(view)
        if total is not None and filled < wanted:
            raise DownloadError(f"{response.host} ended after {filled} of {total} bytes", short=True)
        if filled == 0:
            raise ArtifactIncompleteError("the report has no bytes")
        header = response.headers.get("Content-Type")
        media = check_content_type(header, bytes(buffer[: min(filled, LEADING_BYTES)]), self._content_types)
        ended = filled < wanted or filled == total
        self.limits.check_received(filled, promised)
        if total is None and ended:
            self.limits.check_end(filled, promised, media, bytes(buffer[:filled][-TRAILING_BYTES:]))
        if ended:
            response.close()
            del buffer[filled:]
        return FirstResponse(
            content_type=media,
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
        response = client.get(link.url, headers)
        if response.status in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
            check_encoding(response)
            return response
        if response.status in CHANGED:
            return response
        retry_after = retry_after_seconds(response.headers.get("Retry-After"), now=self._deadline.now())
        error = response.read_error()
        if response.status // 100 == 4 and response.status not in _TRANSIENT:  # noqa: PLR2004 - client errors
            raise LinkRefusedError(error)
        raise DownloadError(f"{response.host} responded with {error}", retry_after_seconds=retry_after or 0.0)

    def _retry(self, client: HttpClient, attempt: Callable[[ArtifactLink], _T]) -> _T:
        """Make one attempt after another, up to the limits of `Backoff.attempts` and of `LinkRefresher`."""
        failures = 0
        while True:
            self._deadline.check()
            link = self.links.current()
            try:
                result = attempt(link)
            except LinkRefusedError as refused:
                self.links.refresh(link.url, str(refused))
            except DownloadError as error:
                client.close()
                self._deadline.check()
                if client.is_cut:
                    raise OutOfTimeError from error
                failures += 1
                if failures >= self._backoff.attempts:
                    raise error.as_permanent(failures) from error
                self._backoff.wait(failures, at_least_seconds=error.retry_after_seconds)
            else:
                self.links.note_success()
                return result


def _needs_whole_body(response: Response, requested_bytes: int) -> bool:
    """Whether one request must fetch it all: parts without a validator may belong to different versions."""
    if response.status != HTTPStatus.PARTIAL_CONTENT:
        return False
    _, _, total = response.content_range()
    return total is None or (total > requested_bytes and response.strong_etag is None)
