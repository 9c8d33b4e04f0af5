"""The arithmetic of a copy: how an artifact is cut into parts, and how much memory that takes."""

from collections.abc import Iterator
from dataclasses import dataclass

from courier.transfer.options import LARGEST_PART_BYTES, MIB, MOST_PARTS, CopyOptions

# Part buffers never take more than this while a part itself is not larger.
BUFFER_BYTES = 48 * MIB
# An artifact of unknown length gets larger parts after every so many, so that 10,000 reach any length.
PARTS_PER_STAGE = 1_000


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
