"""What is decided before a copy begins: options, what the artifact must be, where it goes, its parts, its deadline."""

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final
from unicodedata import category

from courier.errors import (
    ArtifactError,
    ArtifactIncompleteError,
    ArtifactRefusedError,
    CopyUnfinishedError,
    SettingsError,
)

if TYPE_CHECKING:
    from courier.config.settings import ArtifactSettings

MIB: Final = 1024**2
GIB: Final = 1024**3

# S3 user guide, "Amazon S3 multipart upload limits".
SMALLEST_PART_BYTES: Final = 5 * MIB
LARGEST_PART_BYTES: Final = 5 * GIB
MOST_PARTS: Final = 10_000
# Part buffers never take more than this while a part itself is not larger.
BUFFER_BYTES: Final = 48 * MIB
# An artifact of unknown length gets larger parts after every so many, so that 10,000 reach any length.
PARTS_PER_STAGE: Final = 1_000

_LONGEST_KEY_BYTES: Final = 1_024
# Control characters, and halves of characters that UTF-8 cannot hold.
_NEVER_IN_A_KEY: Final = frozenset({"Cc", "Cs"})
# How often the deadline of a running copy is checked; a second more or less does not matter beside `stop_seconds`.
_WATCH_SECONDS: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class CopyOptions:
    """Tuning options of a copy.

    Attributes
    ----------
    workers
        Parts in flight at once. Each has its own connection, and S3 serves 85 to 90 MB/s on one connection
        (S3 user guide, "Performance design patterns"): while some parts are uploaded, others are downloaded.
    part_size_bytes
        Size of a part, as long as 10,000 of them suffice. Memory over the baseline of the process is::

            min(workers, parts) x part size + about 10 MiB (connections, TLS, threads)

        which is 48 MiB + 10 MiB by default. An artifact above 78 GiB (10,000 x 8 MiB) gets parts of a
        ten-thousandth of its size, and fewer workers so that their buffers stay within 48 MiB. Above
        469 GiB one part alone is larger than that, and the memory is one part: 525 MiB for 5 TiB.
        An artifact of unknown length whose limit (``largest_bytes``) exceeds 10,000 parts starts
        the same way; its parts double after every 1,000, so that it outgrows the 48 MiB from 54 GiB on.
    longest_seconds
        Time limit of the whole copy, over all invocations.
    most_continuations
        How often a copy may be resumed.
    stop_seconds
        No part is begun when less than this is left of the invocation, and reads that are still running at
        half of it are cut off: one part of 8 MiB takes far less, and completing the upload needs some time as well.
    connect_seconds, read_seconds
        Timeouts of the download: to connect, and between two arrivals of bytes.
    ranges
        Request parts of the artifact. Without it, the artifact is read in one GET, for links that are good for one.
    content_md5
        Send Content-MD5 to S3 in the place of ``x-amz-checksum-*``, which some S3-compatible stores refuse.
    honours_conditions
        Whether the store honours ``If-None-Match``. None: Amazon S3 does; at any other endpoint the key is looked at
        before and after each write, because a store that ignores the header would overwrite an object.
    """

    workers: int = 6
    part_size_bytes: int = 8 * MIB
    longest_seconds: float = 24 * 3600.0
    most_continuations: int = 200
    stop_seconds: float = 60.0
    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    ranges: bool = True
    content_md5: bool = False
    honours_conditions: bool | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= 64:  # noqa: PLR2004 - the reason is in the text
            raise ValueError(f"workers must be between 1 and 64, not {self.workers}; more only compete for bandwidth")
        if not SMALLEST_PART_BYTES <= self.part_size_bytes <= LARGEST_PART_BYTES:
            raise ValueError(f"a part has between 5 MiB and 5 GiB on S3, not {self.part_size_bytes} bytes")

    def part_size_for(self, size_bytes: int) -> int:
        """Return the part size, whole MiB when it has to grow, with which 10,000 parts hold the artifact.

        Raises
        ------
        ArtifactRefusedError
            Not even 10,000 of S3's largest parts hold it.
        """
        needed = -(-size_bytes // MOST_PARTS)
        if needed <= self.part_size_bytes:
            return self.part_size_bytes
        size = -(-needed // MIB) * MIB
        if size > LARGEST_PART_BYTES:
            raise ArtifactRefusedError(f"{size_bytes} bytes do not fit into one S3 object")
        return size

    def sequential_part_size(self, number: int, longest_bytes: int) -> int:
        """Return the size of part ``number`` of an artifact whose length is unknown, and at most ``longest_bytes``."""
        if longest_bytes <= MOST_PARTS * self.part_size_bytes:
            return self.part_size_bytes
        doublings: int = 2 ** ((number - 1) // PARTS_PER_STAGE)
        return min(self.part_size_bytes * doublings, LARGEST_PART_BYTES)

    def workers_for(self, part_size_bytes: int) -> int:
        """Return the number of workers whose buffers stay within the bound; at least one.

        Options that ask for larger buffers with their own part size get them.
        """
        bound = max(BUFFER_BYTES, self.workers * self.part_size_bytes)
        return max(1, min(self.workers, bound // part_size_bytes))


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What the artifact must be.

    Attributes
    ----------
    content_types
        Media types to accept; empty accepts any but pages of HTML and XML.
    largest_bytes
        A larger artifact is refused, whether its size is announced or received.
    sha256
        Hexadecimal; None when it is not known. A copy with a known digest is never resumed by another
        invocation, because it is verified before it is published.
    """

    content_types: tuple[str, ...]
    largest_bytes: int
    sha256: str | None = None

    @classmethod
    def of_settings(cls, settings: "ArtifactSettings") -> "Expected":
        """Return what a source's settings expect."""
        return cls(content_types=settings.content_types, largest_bytes=settings.largest_bytes)


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where the artifact is stored; ``bucket`` may be the ARN of an access point.

    Raises
    ------
    SettingsError
        S3 or a reader could take the key for another one: it is empty, longer than 1,024 bytes, or has
        control characters or a segment ``.`` or ``..``. Every other character is S3's to take, blanks of all kinds too.
    """

    bucket: str
    key: str

    def __post_init__(self) -> None:
        if not self.bucket or not self.key:
            raise SettingsError(f"{self.key!r} in bucket {self.bucket!r} cannot be the key of a report: one is empty")
        length = len(self.key.encode(errors="surrogatepass"))
        if length > _LONGEST_KEY_BYTES:
            raise SettingsError(f"a key has at most {_LONGEST_KEY_BYTES} bytes on S3, this one has {length}")
        odd = next((character for character in self.key if category(character) in _NEVER_IN_A_KEY), None)
        if odd is not None:
            at = self.key.index(odd) + 1
            raise SettingsError(f"{self.key!r} cannot be the key of a report: character {at} is U+{ord(odd):04X}")
        if self.key.startswith("/") or {".", ".."} & set(self.key.split("/")):
            raise SettingsError(f"{self.key!r} would leave its prefix where keys are read as paths")


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its number counted from 1, where it starts, and how many bytes it has."""

    number: int
    start: int
    length: int


@dataclass(frozen=True)
class PartPlan:
    """An artifact of known size, cut into parts of the same size but for the last."""

    size_bytes: int
    part_size_bytes: int

    @property
    def parts(self) -> int:
        """How many parts there are."""
        return -(-self.size_bytes // self.part_size_bytes)

    def part(self, number: int) -> Part:
        """Return one part by its number, counted from 1."""
        start = (number - 1) * self.part_size_bytes
        return Part(number, start, min(self.part_size_bytes, self.size_bytes - start))

    def __iter__(self) -> Iterator[Part]:
        return (self.part(number) for number in range(1, self.parts + 1))


class OutOfTimeError(Exception):
    """The time of this invocation, or of the whole copy, is up. Internal to the copy."""


class Deadline:
    """The time that a copy has left.

    Parameters
    ----------
    seconds_left
        Seconds until this invocation is killed.
    clock
        The current time, for the limit over all invocations.

    Attributes
    ----------
    now
        The clock.
    started_at
        When the copy began, in this invocation or an earlier one.
    """

    def __init__(self, seconds_left: Callable[[], float], clock: Callable[[], datetime], options: CopyOptions) -> None:
        self._seconds_left = seconds_left
        self.now = clock
        self._options = options
        self.started_at = clock()
        self._had_time = seconds_left() > 2 * options.stop_seconds

    @property
    def is_overdue(self) -> bool:
        """Whether the copy has used up its time over all invocations."""
        return (self.now() - self.started_at).total_seconds() > self._options.longest_seconds

    @property
    def may_begin(self) -> bool:
        """Whether there is time for another part."""
        return self._seconds_left() > self._options.stop_seconds and not self.is_overdue

    def check(self) -> None:
        """Check that there is time for another request of a part that was begun.

        Raises
        ------
        OutOfTimeError
            There is not.
        """
        if self._seconds_left() <= self._options.stop_seconds / 2 or self.is_overdue:
            raise OutOfTimeError

    def has(self, seconds: float) -> bool:
        """Whether there is time to wait for so long, and for another request after that."""
        return self._seconds_left() - seconds > self._options.stop_seconds / 2

    def no_progress(self, reason: str) -> ArtifactError:
        """Return the error for an invocation without progress, which is excused if it began with little time."""
        if self._had_time:
            return ArtifactIncompleteError(reason)
        return CopyUnfinishedError(f"{reason}, but the invocation had little time; call again")

    @contextmanager
    def watch(self, cut: Callable[[], None]) -> Generator[None, None, None]:
        """Call ``cut`` from another thread once the time is up: a read may hang longer than the invocation lives."""
        done = threading.Event()

        def check_until_done() -> None:
            while not done.wait(_WATCH_SECONDS):
                try:
                    self.check()
                except OutOfTimeError:
                    cut()
                    return

        watcher = threading.Thread(target=check_until_done, name="copy-deadline", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
