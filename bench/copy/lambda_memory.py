"""The copy under Lambda's share of the processor: which memory size of ``copy_artifact`` is quick, and which is cheap.

Lambda grants a function processor time in proportion to its memory: one vCPU per 1,769 MB
(https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html). A control group with that quota stands for
it; its network, which grows with memory as well, is only as fast as the source here.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from bench.copy.measure import Usage
from bench.copy.servers import Speed
from local.polling_study.prices import read_prices

MEMORY_MB: Final = (512, 1024, 1769, 3008)
MB_PER_VCPU: Final = 1769
# A request costs nothing beside the time of a copy.
DOLLARS_PER_GB_SECOND: Final = read_prices().cost({"lambda_gb_second": 1})["lambda_gb_second"]
# The shorter, the closer to a slower processor: a long period would let a short copy run at full speed.
_PERIOD_MICROSECONDS: Final = 20_000
_NAME: Final = "build-courier-bench"


@dataclass(frozen=True)
class MemorySize:
    """The copies of one report with one memory size, and the largest resident memory of the whole process."""

    memory_mb: int
    report_bytes: int
    runs: Mapping[Speed, Sequence[Usage]]
    process_bytes: int

    def seconds(self, speed: Speed) -> float:
        """Return the median wall time."""
        return median(run.wall_seconds for run in self.runs[speed])

    def dollars(self, speed: Speed) -> float:
        """Return what Lambda charges for the median."""
        return self.seconds(speed) * self.memory_mb / 1024 * DOLLARS_PER_GB_SECOND


class ControlGroup:
    """A control group of the Linux kernel, of version 1 or 2, that limits the processor time of its processes."""

    def __init__(self) -> None:
        first, second = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
        self._is_first = (first / "cpu.cfs_quota_us").exists()
        self._folder = (first if self._is_first else second) / _NAME

    @staticmethod
    def missing() -> str | None:
        """Return why there is none, or None."""
        if os.geteuid() != 0:
            return "a quota of processor time needs root"
        controllers = Path("/sys/fs/cgroup/cgroup.controllers")
        has_second = controllers.exists() and "cpu" in controllers.read_text("ascii").split()
        return None if has_second or Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").exists() else "no control group"

    @contextmanager
    def limit(self, pid: int, vcpus: float) -> Generator[None, None, None]:
        """Limit a process and its threads while the block runs."""
        quota = round(vcpus * _PERIOD_MICROSECONDS)
        self._folder.mkdir(exist_ok=True)
        try:
            if self._is_first:
                (self._folder / "cpu.cfs_period_us").write_text(str(_PERIOD_MICROSECONDS), "ascii")
                (self._folder / "cpu.cfs_quota_us").write_text(str(quota), "ascii")
            else:
                (self._folder / "cpu.max").write_text(f"{quota} {_PERIOD_MICROSECONDS}", "ascii")
            (self._folder / "cgroup.procs").write_text(str(pid), "ascii")
            yield
        finally:
            (self._folder.parent / "cgroup.procs").write_text(str(pid), "ascii")
            self._folder.rmdir()
