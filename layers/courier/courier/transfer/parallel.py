"""The fast way: several workers, each with one connection and one buffer, take one part after another."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from courier.transfer.deadline import Deadline
from courier.transfer.download import Look, SourceReader
from courier.transfer.http_client import Fetcher
from courier.transfer.internal_errors import OutOfTimeError
from courier.transfer.part_plan import Part, Plan
from courier.transfer.part_uploader import PartSink


class PartCrew:
    """Copies the missing parts of one artifact; while one worker uploads, another downloads.

    Parts are taken in order, so the one that the hash waits for is always under way.

    Parameters
    ----------
    open_fetcher
        Makes the connections of one worker.
    etag
        Strong validator that every part must have.
    """

    def __init__(
        self,
        reader: SourceReader,
        sink: PartSink,
        *,
        plan: Plan,
        etag: str,
        deadline: Deadline,
        open_fetcher: Callable[[], Fetcher],
    ) -> None:
        self._reader = reader
        self._sink = sink
        self._plan = plan
        self._etag = etag
        self._deadline = deadline
        self._open_fetcher = open_fetcher
        self._missing: deque[Part] = deque()
        self._fetchers: list[Fetcher] = []
        self._lock = threading.Lock()
        self._stopped = False
        self._error: BaseException | None = None

    def run(self, missing: Sequence[Part], workers: int, *, opened: Look | None = None) -> None:
        """Copy the parts; ``opened`` is the first look, whose answer is the beginning of the first of them.

        Raises
        ------
        OutOfTimeError
            Parts are missing still; those that were begun are stored.
        CourierError, UploadGoneError
            The first thing that went wrong in any worker; the others have ended.
        """
        self._missing.extend(missing)
        crew = min(workers, len(missing))
        # The opened answer holds the beginning of one part, and one worker's connection.
        first = self._missing.popleft() if opened is not None else None
        with ThreadPoolExecutor(max(1, crew), thread_name_prefix="copy-part") as pool:
            try:
                for index in range(crew):
                    pool.submit(self._work, *((first, opened) if index == 0 else (None, None)))
                pool.shutdown(wait=True)
            except BaseException as error:
                # An interrupt of the thread that waits; leaving the pool waits for the workers, so they must end first.
                self._fail(error)
                raise
        if self._error is not None:
            raise self._error

    def _work(self, first: Part | None, opened: Look | None) -> None:
        fetcher = self._open_fetcher() if opened is None else opened.fetcher
        with self._lock:
            self._fetchers.append(fetcher)
            if self._stopped:
                fetcher.cut()
        try:
            with fetcher:
                buffer = bytearray(self._plan.part_size_bytes)
                part = first if first is not None else self._take()
                while part is not None:
                    if part.length < len(buffer):
                        del buffer[part.length :]  # the last one
                    self._read(fetcher, part, buffer, opened)
                    opened = None
                    self._sink.store(part.number, buffer)
                    part = self._take()
        except BaseException as error:  # noqa: BLE001 - kept, and raised by `run`
            self._fail(error)

    def _read(self, fetcher: Fetcher, part: Part, buffer: bytearray, opened: Look | None) -> None:
        with memoryview(buffer) as view:
            if opened is not None:
                view[: opened.filled] = opened.buffer
            self._reader.read_part(
                fetcher, part, view, etag=self._etag, total_bytes=self._plan.size_bytes, opened=opened
            )

    def _take(self) -> Part | None:
        with self._lock:
            if self._stopped or not self._missing:
                return None
            if not self._deadline.may_begin:
                raise OutOfTimeError
            return self._missing.popleft()

    def _fail(self, error: BaseException) -> None:
        """Keep the first error and let everybody stop.

        When the time is up, parts that were begun are finished, as long as that takes no longer than
        the watch over the deadline allows; after anything else, what is being read is cut off.
        """
        with self._lock:
            if self._error is None or isinstance(self._error, OutOfTimeError):
                self._error = error
            self._stopped = True
            fetchers = [] if isinstance(error, OutOfTimeError) else list(self._fetchers)
        self._sink.stop()
        for fetcher in fetchers:
            fetcher.cut()
