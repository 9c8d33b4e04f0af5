"""The arithmetic of a copy: how an artifact is cut into parts, and how much memory that takes."""

from collections.abc import Iterator
from dataclasses import dataclass

MIB = 1024**2
GIB = 1024**3

# S3 user guide, "Amazon S3 multipart upload limits".
SMALLEST_PART_BYTES = 5 * MIB
LARGEST_PART_BYTES = 5 * GIB
MOST_PARTS = 10_000

# Part buffers never take more than this while a part itself is not larger.
BUFFER_BYTES = 48 * MIB
# An artifact of unknown length gets larger parts after every so many, so that 10,000 reach any length.
PARTS_PER_STAGE = 1_000


@dataclass(frozen=True, kw_only=True)
class CopyOptions:
    """What an operator may tune.

    Attributes
    ----------
    workers
        Parts in flight at once.
    part_size_bytes
        Size of a part, as long as 10,000 of them suffice. Memory over the baseline of the process is::

            min(workers, parts) x part size + about 10 MiB (connections, TLS, threads)

        which is 32 MiB + 10 MiB by default. An artifact above 78 GiB (10,000 x 8 MiB) gets parts of a
        ten-thousandth of its size, and fewer workers so that their buffers stay within 48 MiB. Above
        469 GiB one part alone is larger than that, and the memory is one part: 525 MiB for 5 TiB.
        An artifact of unknown length whose limit (``largest_bytes``) exceeds 10,000 parts starts
        the same way; its parts double after every 1,000, so that it outgrows the 48 MiB from 54 GiB on.
    longest_seconds
        The whole copy ends after so long, over all invocations.
    most_continuations
        How often a copy is taken up again.
    stop_seconds
        No part is begun when less than this is left of the invocation, and reads that still run at
        half of it are cut off: one part of 8 MiB takes far less, and completing needs some time as well.
    connect_seconds, read_seconds
        Timeouts of the download: to connect, and between two arrivals of bytes.
    """

    workers: int = 4
    part_size_bytes: int = 8 * MIB
    longest_seconds: float = 24 * 3600.0
    most_continuations: int = 200
    stop_seconds: float = 60.0
    connect_seconds: float = 10.0
    read_seconds: float = 30.0

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= 64:  # noqa: PLR2004 - the reason is in the text
            raise ValueError(f"workers must be between 1 and 64, not {self.workers}; more only fight for bandwidth")
        if not SMALLEST_PART_BYTES <= self.part_size_bytes <= LARGEST_PART_BYTES:
            raise ValueError(f"a part has between 5 MiB and 5 GiB on S3, not {self.part_size_bytes} bytes")


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its number counted from 1, where it starts, and how many bytes it has."""

    number: int
    start: int
    length: int


@dataclass(frozen=True)
class Plan:
    """An artifact of known size, cut into parts of the same size but for the last."""

    size_bytes: int
    part_size_bytes: int

    @property
    def parts(self) -> int:
        """How many parts there are."""
        return -(-self.size_bytes // self.part_size_bytes)

    def part(self, number: int) -> Part:
        """Give one part by its number, counted from 1."""
        start = (number - 1) * self.part_size_bytes
        return Part(number, start, min(self.part_size_bytes, self.size_bytes - start))

    def __iter__(self) -> Iterator[Part]:
        return (self.part(number) for number in range(1, self.parts + 1))


def part_size_for(size_bytes: int, smallest_bytes: int) -> int:
    """Give the part size, whole MiB when it has to grow, with which 10,000 parts hold the artifact.

    Raises
    ------
    ValueError
        Not even 10,000 of S3's largest parts hold it.
    """
    needed = -(-size_bytes // MOST_PARTS)
    if needed <= smallest_bytes:
        return smallest_bytes
    size = -(-needed // MIB) * MIB
    if size > LARGEST_PART_BYTES:
        raise ValueError(f"{size_bytes} bytes do not fit into one S3 object")
    return size


def workers_for(part_size_bytes: int, options: CopyOptions) -> int:
    """Give the number of workers whose buffers stay within the bound; at least one.

    Options that ask for larger buffers with their own part size get them.
    """
    bound = max(BUFFER_BYTES, options.workers * options.part_size_bytes)
    return max(1, min(options.workers, bound // part_size_bytes))


def stream_part_size(number: int, longest_bytes: int, options: CopyOptions) -> int:
    """Give the size of part ``number`` of an artifact whose length is unknown, and at most ``longest_bytes``."""
    if longest_bytes <= MOST_PARTS * options.part_size_bytes:
        return options.part_size_bytes
    doublings: int = 2 ** ((number - 1) // PARTS_PER_STAGE)
    return min(options.part_size_bytes * doublings, LARGEST_PART_BYTES)
