"""Medians and ratios of the runs, and their targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, TypeVar

from bench.copy.measure import Usage
from bench.copy.servers import Speed
from courier.transfer.options import MIB

_T = TypeVar("_T")

OURS: Final = "build-courier"


@dataclass(frozen=True)
class Row:
    """All runs of one contestant over the same report.

    ``sha256_matches`` is None for a contestant that computes none.
    """

    name: str
    label: str
    size_bytes: int
    runs: Sequence[Usage]
    sha256_matches: bool | None = None

    @property
    def wall_seconds(self) -> float:
        """The median."""
        return median(run.wall_seconds for run in self.runs)

    @property
    def fastest_seconds(self) -> float:
        """The shortest run."""
        return min(run.wall_seconds for run in self.runs)

    @property
    def slowest_seconds(self) -> float:
        """The longest run."""
        return max(run.wall_seconds for run in self.runs)

    @property
    def cpu_seconds(self) -> float:
        """The median of user and system time together."""
        return median(run.cpu_seconds for run in self.runs)

    @property
    def peak_bytes(self) -> float:
        """The largest memory of any run, because a bound concerns the worst."""
        return max(run.peak_bytes for run in self.runs)

    @property
    def mib_per_second(self) -> float:
        """Size by median wall time."""
        return self.size_bytes / MIB / self.wall_seconds


@dataclass(frozen=True)
class Ratio:
    """Our figure of one quantity divided by a rival's, and its maximum; None where there is no target."""

    quantity: str
    value: float
    most: float | None

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; None without a target."""
        return None if self.most is None else self.value <= self.most


@dataclass(frozen=True)
class CopyTarget:
    """Maxima of our figures as shares of a rival's."""

    wall: float | None = None
    cpu: float | None = None
    peak: float | None = None


# The targets of the copy, with a report of this size.
TARGET_BYTES: Final = 1024 * MIB
TARGETS: Final[Mapping[Speed, Mapping[str, CopyTarget]]] = {
    Speed.THROTTLED: {
        "rclone": CopyTarget(wall=0.40),
        "requests-upload-fileobj": CopyTarget(wall=0.40),
        "curl-aws": CopyTarget(wall=0.40),
        "curl-s5cmd": CopyTarget(wall=0.40),
        "requests-obstore": CopyTarget(wall=0.30),
        "requests-put-object": CopyTarget(wall=0.40, peak=1 / 15),
    },
    Speed.UNTHROTTLED: {
        "rclone": CopyTarget(wall=0.75, cpu=0.80),
        "requests-upload-fileobj": CopyTarget(wall=0.75),
        "curl-aws": CopyTarget(wall=0.75),
        "curl-s5cmd": CopyTarget(wall=0.75),
        "requests-obstore": CopyTarget(wall=1.15),
        "requests-put-object": CopyTarget(wall=0.25, peak=1 / 15),
    },
}
# Reports of one part, in warm processes, against the whole body in memory.
SMALL_RIVAL: Final = "requests-put-object"
SMALL_TARGET: Final = CopyTarget(wall=1.10)
# Our copy alone: the memory on top of the process, for any size of the report.
MOST_PEAK_BYTES: Final = 64 * MIB
MOST_PEAK_SPREAD: Final = 1.10


def ratios(ours: Row, other: Row, target: CopyTarget) -> list[Ratio]:
    """Compare two rows by wall time, and by CPU and memory where there is a target."""
    found = [Ratio("wall", ours.wall_seconds / other.wall_seconds, target.wall)]
    if target.cpu is not None:
        found.append(Ratio("CPU", ours.cpu_seconds / other.cpu_seconds, target.cpu))
    if target.peak is not None:
        found.append(Ratio("memory", ours.peak_bytes / other.peak_bytes, target.peak))
    return found


def peak_spread(rows: Sequence[Row]) -> float:
    """Return the largest peak divided by the smallest, over reports of different sizes."""
    peaks = [row.peak_bytes for row in rows]
    return max(peaks) / min(peaks)


def rotated(items: Sequence[_T], steps: int) -> list[_T]:
    """Return the items starting at another one, so that none is first in every round."""
    start = steps % max(1, len(items))
    return [*items[start:], *items[:start]]
