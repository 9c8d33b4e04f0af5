"""The parts of a multi-part copy: how they get from the download into S3.

In parallel where the store serves ranges, else one after another out of a single response.
"""

import hashlib
import threading
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from courier.transfer.content import SizeLimits
from courier.transfer.download import Download, FirstResponse
from courier.transfer.end_marks import TRAILING_BYTES
from courier.transfer.http_client import HttpClient
from courier.transfer.http_response import DownloadError, Response
from courier.transfer.options import CopyOptions, Deadline, OutOfTimeError, Part, PartPlan
from courier.transfer.s3_object import S3Object, UploadedPart

Progress = Callable[[int, int | None], None]

# Fits into the fast cache of any processor of the last fifteen years, with room for everything else.
_CACHED_BYTES: Final = 64 * 1024


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


class PartUploader:
    """Hashes, uploads and counts the parts of one upload, from any number of threads.

    Parameters
    ----------
    digest
        The whole artifact's SHA-256; None where another invocation stored earlier parts, so that it cannot be
        computed from the parts of this one.
    done
        What the upload holds already.
    progress
        Receives the bytes stored so far, and the total.
    """

    def __init__(
        self,
        s3_object: S3Object,
        upload_id: str,
        *,
        digest: OrderedSha256 | None,
        done: Mapping[int, UploadedPart],
        total_bytes: int | None,
        progress: Progress | None,
    ) -> None:
        self._s3_object = s3_object
        self._upload_id = upload_id
        self._digest = digest
        self._total_bytes = total_bytes
        self._progress = progress
        self._lock = threading.Lock()
        self.done = dict(done)

    @property
    def done_bytes(self) -> int:
        """Bytes that the upload holds."""
        with self._lock:
            return sum(part.length for part in self.done.values())

    @property
    def sha256(self) -> str | None:
        """Digest of all that was stored, hexadecimal; None where it was not computed."""
        return None if self._digest is None else self._digest.hexdigest()

    def store(self, number: int, body: bytearray) -> None:
        """Hash and upload one part; ``body`` may be reused once this returns.

        The part is hashed when its turn has come, and then uploaded. Parts arrive nearly in order, so
        that the wait is short, and it costs nothing: without it, this buffer would wait after the upload.

        Raises
        ------
        UploadGoneError
            The upload does not exist any more.
        OutOfTimeError
            The parts before this one will not come; this one is stored.
        """
        with memoryview(body) as view:
            try:
                crc32 = zlib.crc32(view) if self._digest is None else self._digest.add(number, view)
            except OutOfTimeError:
                crc32 = zlib.crc32(view)
                self._upload(number, body, crc32)
                raise
        self._upload(number, body, crc32)

    def stop(self) -> None:
        """Let no part wait for its turn any longer."""
        if self._digest is not None:
            self._digest.stop()

    def _upload(self, number: int, body: bytearray, crc32: int) -> None:
        uploaded = self._s3_object.upload_part(self._upload_id, number, body, crc32)
        with self._lock:
            self.done[number] = uploaded
        if self._progress is not None:
            self._progress(self.done_bytes, self._total_bytes)


class ParallelCopy:
    """Copies the missing parts of one artifact; while one worker uploads, another downloads.

    Each worker has one connection and one buffer. Parts are taken in order, so the one that the hash
    waits for is always in progress.

    Parameters
    ----------
    etag, encoding
        Strong validator and coding that every part must have.
    """

    def __init__(
        self,
        download: Download,
        uploader: PartUploader,
        *,
        plan: PartPlan,
        etag: str,
        encoding: str | None,
        deadline: Deadline,
    ) -> None:
        self._download = download
        self._uploader = uploader
        self._plan = plan
        self._etag = etag
        self._encoding = encoding
        self._deadline = deadline
        self._missing = deque(part for part in plan if part.number not in uploader.done)
        self._clients: list[HttpClient] = []
        self._lock = threading.Lock()
        self._stopped = False
        self._error: BaseException | None = None

    def run(self, options: CopyOptions, opened: FirstResponse | None) -> None:
        """Copy the missing parts; ``opened`` is the first response, whose body begins the first of them.

        Raises
        ------
        OutOfTimeError
            Parts are still missing; those that were begun are stored.
        CourierError, UploadGoneError, RangesFailedError
            The first failure of any worker; the others have ended.
        """
        workers = min(options.workers_for(self._plan.part_size_bytes), len(self._missing))
        # The open response holds the beginning of one part, and one worker's connection.
        first = self._missing.popleft() if opened is not None else None
        with ThreadPoolExecutor(max(1, workers), thread_name_prefix="copy-part") as pool:
            try:
                for index in range(workers):
                    pool.submit(self._work, *((first, opened) if index == 0 else (None, None)))
                pool.shutdown(wait=True)
            except BaseException as error:
                # An interrupt of the thread that waits; leaving the pool waits for the workers, so they must end first.
                self._fail(error)
                raise
        if self._error is not None:
            raise self._error

    def _work(self, first: Part | None, opened: FirstResponse | None) -> None:
        client = self._download.open_client() if opened is None else opened.client
        with self._lock:
            self._clients.append(client)
            if self._stopped:
                client.cut()
        try:
            with client:
                buffer = bytearray(self._plan.part_size_bytes)
                part = first if first is not None else self._take()
                while part is not None:
                    if part.length < len(buffer):
                        del buffer[part.length :]  # the last one
                    self._read(client, part, buffer, opened)
                    opened = None
                    self._uploader.store(part.number, buffer)
                    part = self._take()
        except BaseException as error:  # noqa: BLE001 - kept, and raised by `run`
            self._fail(error)

    def _read(self, client: HttpClient, part: Part, buffer: bytearray, opened: FirstResponse | None) -> None:
        with memoryview(buffer) as view:
            if opened is not None:
                view[: opened.filled] = opened.buffer
            self._download.read_part(
                client,
                part,
                view,
                etag=self._etag,
                total_bytes=self._plan.size_bytes,
                encoding=self._encoding,
                opened=opened,
            )

    def _take(self) -> Part | None:
        with self._lock:
            if self._stopped or not self._missing:
                return None
            if not self._deadline.may_begin:
                raise OutOfTimeError
            return self._missing.popleft()

    def _fail(self, error: BaseException) -> None:
        """Keep the first error and stop every worker.

        When the time is up, parts that were begun are finished, as long as that takes no longer than
        `Deadline.watch` allows; after any other error, running reads are cut off.
        """
        with self._lock:
            if self._error is None or isinstance(self._error, OutOfTimeError):
                self._error = error
            self._stopped = True
            clients = [] if isinstance(error, OutOfTimeError) else list(self._clients)
        self._uploader.stop()
        for client in clients:
            client.cut()


def copy_sequentially(
    first: FirstResponse,
    response: Response,
    *,
    uploader: PartUploader,
    deadline: Deadline,
    options: CopyOptions,
    limits: SizeLimits,
) -> tuple[int, bytes]:
    """Read ``response`` to its end and store it in parts; return its length in bytes and its last bytes.

    For stores without ranges, length or validator. One buffer is filled while the others are uploaded;
    there are never more of them than `CopyOptions.workers_for` allows.

    Raises
    ------
    DownloadError
        The body broke off; another request has to begin at the beginning.
    ArtifactIncompleteError, ArtifactRefusedError
        It is longer than promised or allowed.
    OutOfTimeError
        The time was up first.
    """
    buffer, filled = first.buffer, first.filled
    received, number = 0, 1
    trailing = b""
    uploads: deque[Future[bytearray]] = deque()

    def upload(part: int, body: bytearray) -> bytearray:
        uploader.store(part, body)
        return body

    with ThreadPoolExecutor(max(1, options.workers - 1), thread_name_prefix="copy-part") as pool:
        try:
            while True:
                deadline.check()
                wanted = len(buffer) if first.total_bytes is None else min(len(buffer), first.total_bytes - received)
                with memoryview(buffer) as view:
                    filled += response.read_into(view[filled:wanted])
                received += filled
                limits.check_received(received, first.promised_bytes)
                ended = filled < wanted or received == first.total_bytes
                if filled:
                    if filled < len(buffer):
                        del buffer[filled:]
                    trailing = (trailing + buffer[-TRAILING_BYTES:])[-TRAILING_BYTES:]
                    uploads.append(pool.submit(upload, number, buffer))
                    number += 1
                if ended:
                    break
                buffer, filled = _next_buffer(uploads, _next_size(number, first, limits, options), options), 0
            for pending in uploads:
                pending.result()
        except BaseException:
            uploader.stop()
            raise
    if first.total_bytes is None:
        limits.check_end(
            received, first.promised_bytes, first.content, bytes(trailing), is_terminated=response.is_chunked
        )
    elif received < first.total_bytes:
        raise DownloadError(f"{response.host} ended after {received} of {first.total_bytes} bytes", short=True)
    return received, bytes(trailing)


def _next_size(number: int, first: FirstResponse, limits: SizeLimits, options: CopyOptions) -> int:
    if first.total_bytes is not None:
        # The first part has the size that was requested at first, which may cost one part more: a thousandth is ample.
        return options.part_size_for(first.total_bytes + first.total_bytes // 1_000)
    return options.sequential_part_size(number, first.promised_bytes or limits.largest_bytes)


def _next_buffer(uploads: deque[Future[bytearray]], size: int, options: CopyOptions) -> bytearray:
    """Wait until another buffer of this size is within the bound, and return one, used or new."""
    used: bytearray | None = None
    while len(uploads) >= options.workers_for(size):
        used = uploads.popleft().result()
    return used if used is not None and len(used) == size else bytearray(size)
