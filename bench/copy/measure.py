"""Wall time, CPU and peak memory of processes, and of one copy inside this process."""

from __future__ import annotations

import os
import resource
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

KIB: Final = 1024
# Peaks only grow, so this interval misses only the growth in the last 5 ms of a process.
_SAMPLE_SECONDS: Final = 0.005
_TICK_SECONDS: Final = 1 / os.sysconf("SC_CLK_TCK")
_CLEAR_PEAK: Final = "5"  # Linux, Documentation/filesystems/proc.rst, clear_refs


@dataclass(frozen=True)
class Usage:
    """Wall time, CPU time (user and system) and peak of the resident memory."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int


class ToolFailedError(Exception):
    """A contestant failed."""


class ProcessMeter:
    """Samples the peak memory of one process, and reads its CPU time when it ends.

    ``ru_maxrss`` is no substitute: a new process inherits the peak of its parent, which is larger than most of the
    tools here.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._peak_bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="bench-meter", daemon=True)
        self._started = time.perf_counter()
        self._thread.start()

    def wait(self) -> tuple[int, Usage]:
        """Wait for the end and return the exit status and the usage, including its children."""
        _, status, used = os.wait4(self._process.pid, 0)
        wall = time.perf_counter() - self._started
        self._done.set()
        self._thread.join()
        # Otherwise the process object would wait for the same process.
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return self._process.returncode, Usage(wall, used.ru_utime + used.ru_stime, self._peak_bytes)

    def _sample(self) -> None:
        while True:
            self._peak_bytes = max(self._peak_bytes, _memory(self._process.pid).get("VmHWM", 0))
            if self._done.wait(_SAMPLE_SECONDS):
                return


def run_pipeline(commands: Sequence[Sequence[str]], *, environment: Mapping[str, str]) -> Usage:
    """Run a pipeline and return its wall time and the sums of CPU times and peaks.

    Raises
    ------
    ToolFailedError
        A command ended with an error.
    """
    started = time.perf_counter()
    processes: list[subprocess.Popen[bytes]] = []
    meters: list[ProcessMeter] = []
    for number, command in enumerate(commands, start=1):
        process = subprocess.Popen(
            command,
            stdin=processes[-1].stdout if processes else subprocess.DEVNULL,
            stdout=subprocess.PIPE if number < len(commands) else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        if processes and (read_end := processes[-1].stdout) is not None:
            read_end.close()  # so that the writer notices when its reader ends
        processes.append(process)
        meters.append(ProcessMeter(process))
    ends = [meter.wait() for meter in meters]
    wall = time.perf_counter() - started
    for command, (status, _) in zip(commands, ends, strict=True):
        if status != 0:
            raise ToolFailedError(f"{Path(command[0]).name} ended with status {status}")
    return Usage(wall, sum(used.cpu_seconds for _, used in ends), sum(used.peak_bytes for _, used in ends))


class InProcessMeter:
    """Measures this process inside a ``with`` block; the peak is counted on top of the memory before."""

    def __init__(self) -> None:
        self.usage = Usage(0.0, 0.0, 0)

    def __enter__(self) -> InProcessMeter:
        Path("/proc/self/clear_refs").write_text(_CLEAR_PEAK, "ascii")
        self._baseline_bytes = _memory(os.getpid())["VmRSS"]
        self._cpu_seconds = own_cpu_seconds()
        self._started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        wall = time.perf_counter() - self._started
        cpu = own_cpu_seconds() - self._cpu_seconds
        self.usage = Usage(wall, cpu, _memory(os.getpid())["VmHWM"] - self._baseline_bytes)


class OtherProcesses:
    """CPU time of other processes: all that neither this process, nor its children, nor the servers used.

    Parameters
    ----------
    servers
        Process ids of the servers, which are running children.
    """

    def __init__(self, servers: Sequence[int]) -> None:
        self._servers = servers
        self._busy, self._total = _machine_seconds()
        self._ours = self._own_seconds()

    @property
    def share(self) -> float:
        """Their share of all CPU time since the start."""
        busy, total = _machine_seconds()
        theirs = busy - self._busy - (self._own_seconds() - self._ours)
        return max(0.0, theirs / max(total - self._total, _TICK_SECONDS))

    def _own_seconds(self) -> float:
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return own_cpu_seconds() + ended.ru_utime + ended.ru_stime + sum(map(cpu_seconds, self._servers))


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a running process."""
    # utime and stime, counted after the name, which may contain blanks (proc(5)).
    numbers = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(numbers[11]) + int(numbers[12])) * _TICK_SECONDS


def _machine_seconds() -> tuple[float, float]:
    """Return the busy CPU seconds of all cores, and their total."""
    numbers = [int(number) for number in Path("/proc/stat").read_text("ascii").splitlines()[0].split()[1:9]]
    idle = numbers[3] + numbers[4]  # idle and iowait
    return (sum(numbers) - idle) * _TICK_SECONDS, sum(numbers) * _TICK_SECONDS


def own_cpu_seconds() -> float:
    """Return the CPU time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _memory(pid: int) -> dict[str, int]:
    """Return the resident memory and its peak, or nothing if the process has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text("ascii")
    except OSError:
        return {}
    rows = (line.partition(":") for line in text.splitlines())
    return {name: int(value.split()[0]) * KIB for name, _, value in rows if name in {"VmHWM", "VmRSS"}}
