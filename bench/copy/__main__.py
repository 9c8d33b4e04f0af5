"""Run the benchmark: ``python -m bench.copy``, or ``make bench``."""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.copy.contestants import Contestant, PythonContestant, contestants, running_worker
from bench.copy.lambda_memory import MB_PER_VCPU, MEMORY_MB, ControlGroup, MemorySize
from bench.copy.limits import measure_connection, measure_limit
from bench.copy.measure import OtherProcesses, ToolFailedError, Usage
from bench.copy.report import Results, render
from bench.copy.results import OURS, SMALL_RIVAL, Row, rotated
from bench.copy.servers import BUCKET, Report, Servers, Speed, has_nginx, running_servers
from bench.copy.worker import CopyResult, CopyTask, Sink
from courier.transfer.options import GIB, MIB

OUTPUT: Final = Path(__file__).parents[1] / "results.md"
# Debian packages of tools that PyPI does not have.
_PACKAGES: Final = {"nginx": "nginx-light", "rclone": "rclone", "curl": "curl"}
_WARM_UP_BYTES: Final = 1024
_SMALL_KEY: Final = "small/report"
_KEY: Final = "artifacts/report"


@dataclass(frozen=True)
class Sizes:
    """The amounts that a run measures."""

    rounds: int
    report_bytes: int
    memory_bytes: Sequence[int]
    small_bytes: Sequence[int]
    small_copies: int


FULL: Final = Sizes(5, GIB, (64 * MIB, GIB, 4 * GIB), (MIB, 8 * MIB), 30)
QUICK: Final = Sizes(1, 64 * MIB, (32 * MIB, 64 * MIB), (MIB, 8 * MIB), 3)


class Bench:
    """One run of the benchmark against running servers."""

    def __init__(self, servers: Servers, field: Sequence[Contestant], sizes: Sizes, results: Results) -> None:
        self._servers = servers
        self._field = list(field)
        self._sizes = sizes
        self._results = results
        self._sink = Sink(servers.endpoint, BUCKET, str(servers.authority))

    def run(self) -> None:
        """Measure everything.

        Raises
        ------
        ToolFailedError
            Our own copy fails; there is no table without it.
        """
        others = OtherProcesses(self._servers.process_ids)
        for contestant in tuple(self._field):
            with self._or_without(contestant):
                self._results.start_ups[contestant.label] = contestant.start_up(self._warm_up, self._sink)
                self._results.versions[contestant.label] = contestant.versions()
        report = self._servers.report(self._sizes.report_bytes)
        self._results.connection = measure_connection(self._servers, report, Speed.THROTTLED)
        self._results.limit = measure_limit(self._servers, report)
        for speed in Speed:
            self._results.copies[speed] = self._copies(report, speed)
        by_name = {contestant.name: contestant for contestant in self._field}
        ours, rival = by_name.get(OURS), by_name.get(SMALL_RIVAL)
        if isinstance(ours, PythonContestant) and isinstance(rival, PythonContestant):
            self._results.small = [self._small(ours, rival, size) for size in self._sizes.small_bytes]
        if isinstance(ours, PythonContestant):
            if reason := ControlGroup.missing():
                self._results.skipped["The memory size of `copy_artifact`"] = reason
            else:
                self._results.lambda_memory = [self._lambda_memory(ours, report, size) for size in MEMORY_MB]
            self._results.memory = [self._memory(ours, size) for size in self._sizes.memory_bytes]
        self._results.others = others.share

    @property
    def _warm_up(self) -> CopyTask:
        small = self._servers.report(_WARM_UP_BYTES)
        return CopyTask(self._servers.url(small, Speed.UNTHROTTLED), _SMALL_KEY, small.size_bytes)

    def _copies(self, report: Report, speed: Speed) -> list[Row]:
        runs: defaultdict[str, list[CopyResult]] = defaultdict(list)
        task = CopyTask(self._servers.url(report, speed), _KEY, report.size_bytes)
        for number in range(self._sizes.rounds):
            for contestant in rotated(self._field, number):
                with self._or_without(contestant):
                    result = self._copy(contestant, task)
                    runs[contestant.name].append(result)
                    _log(f"{speed}, round {number + 1}: {contestant.name} {result.usage.wall_seconds:.2f} s")
        return [_row(contestant, report, runs[contestant.name]) for contestant in self._field]

    def _small(self, ours: PythonContestant, rival: PythonContestant, size_bytes: int) -> tuple[Row, Row]:
        report = self._servers.report(size_bytes)
        task = CopyTask(self._servers.url(report, Speed.UNTHROTTLED), _KEY, size_bytes)
        runs: defaultdict[str, list[CopyResult]] = defaultdict(list)
        with running_worker(ours, self._sink) as first, running_worker(rival, self._sink) as second:
            workers = [(ours, first), (rival, second)]
            for _, worker in workers:
                worker.copy(task)
            for number in range(self._sizes.small_copies):
                for contestant, worker in rotated(workers, number):
                    self._servers.empty_sink()
                    runs[contestant.name].append(worker.copy(task))
        self._servers.empty_sink()
        _log(f"small reports: {size_bytes // MIB} MiB")
        return _row(ours, report, runs[ours.name]), _row(rival, report, runs[rival.name])

    def _memory(self, ours: Contestant, size_bytes: int) -> Row:
        report = self._servers.report(size_bytes)
        task = CopyTask(self._servers.url(report, Speed.UNTHROTTLED), _KEY, size_bytes)
        result = self._copy(ours, task)
        self._servers.forget(report)
        _log(f"memory: {size_bytes // MIB} MiB")
        return _row(ours, report, [result])

    def _lambda_memory(self, ours: PythonContestant, report: Report, memory_mb: int) -> MemorySize:
        """Copy in one warm process per memory size, which has the processor time that Lambda would grant it."""
        runs: dict[Speed, list[Usage]] = {speed: [] for speed in Speed}
        with running_worker(ours, self._sink) as worker:
            worker.copy(self._warm_up)
            with ControlGroup().limit(worker.pid, memory_mb / MB_PER_VCPU):
                for speed, measured in runs.items():
                    task = CopyTask(self._servers.url(report, speed), _KEY, report.size_bytes)
                    for _ in range(self._sizes.rounds):
                        self._servers.empty_sink()
                        measured.append(worker.copy(task).usage)
        self._servers.empty_sink()
        _log(f"Lambda with {memory_mb} MB")
        return MemorySize(memory_mb, report.size_bytes, runs, worker.usage.peak_bytes)

    def _copy(self, contestant: Contestant, task: CopyTask) -> CopyResult:
        """Copy once, and check that all of it arrived."""
        self._servers.empty_sink()
        result = contestant.copy(task, self._warm_up, self._sink)
        if (sent := self._servers.empty_sink()) < task.size_bytes:
            raise ToolFailedError(f"{contestant.name} sent {sent} of {task.size_bytes} bytes")
        return result

    @contextmanager
    def _or_without(self, contestant: Contestant) -> Generator[None, None, None]:
        """Continue without a rival that fails; the report says why it is not in the tables."""
        try:
            yield
        except ToolFailedError as exc:
            if contestant.name == OURS:
                raise
            _log(f"{contestant.name} is left out: {exc}")
            self._results.skipped[contestant.label] = str(exc)
            self._field.remove(contestant)


def _row(contestant: Contestant, report: Report, result: Sequence[CopyResult]) -> Row:
    digests = {each.sha256 for each in result}
    matches = None if digests == {None} else digests == {report.sha256}
    if matches is False:
        raise ToolFailedError(f"{contestant.name} computed a SHA-256 that differs from the report's")
    return Row(contestant.name, contestant.label, report.size_bytes, [each.usage for each in result], matches)


def _missing() -> list[str]:
    """Return the Debian packages that are not installed."""
    lines = [contestant.missing() or "" for contestant in contestants()]
    if not has_nginx():
        lines.append("no nginx")
    return [package for program, package in _PACKAGES.items() if any(f"no {program}" in line for line in lines)]


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables and write them to a file."""
    parser = argparse.ArgumentParser(prog="python -m bench.copy", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of 64 MiB: a test, not a measurement")
    parser.add_argument("--rounds", type=int, help="number of rounds, by default 5")
    parser.add_argument("--only", help="names of contestants, separated by commas", metavar="NAMES")
    parser.add_argument("--output", type=Path, help="where to write the tables; without it, only a full run does")
    parser.add_argument("--missing", action="store_true", help="name Debian's packages that are not installed, and end")
    options = parser.parse_args(arguments)
    if options.missing:
        print(" ".join(_missing()))
        return 0
    if not has_nginx():
        _log("nginx is not installed: make bench-setup")
        return 2
    sizes = QUICK if options.quick else FULL
    if options.rounds:
        sizes = Sizes(options.rounds, sizes.report_bytes, sizes.memory_bytes, sizes.small_bytes, sizes.small_copies)
    results = Results(sizes.rounds)
    selected = options.only.split(",") if options.only else None
    field = []
    for contestant in contestants():
        if selected is not None and contestant.name not in selected:
            continue
        if reason := contestant.missing():
            results.skipped[contestant.label] = reason
            _log(f"{contestant.name} is skipped: {reason}")
        else:
            field.append(contestant)
    try:
        with running_servers() as servers:
            Bench(servers, field, sizes, results).run()
    except (RuntimeError, ToolFailedError) as exc:
        _log(str(exc))
        return 1
    text = render(results)
    print(text)
    output = options.output or (None if options.quick or selected or options.rounds else OUTPUT)
    if output is not None:
        output.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
