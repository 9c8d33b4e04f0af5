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
from bench.copy.floor import measure_floor
from bench.copy.measure import Bystanders, ToolFailedError
from bench.copy.pace import measure_pace
from bench.copy.report import Results, render
from bench.copy.results import OURS, SMALL_RIVAL, Row, rotated
from bench.copy.servers import BUCKET, Report, Servers, Speed, has_nginx, running_servers
from bench.copy.worker import Done, Job, Place
from courier.transfer.options import GIB, MIB

OUTPUT: Final = Path(__file__).parents[1] / "results.md"
# Debian's names of what pip cannot bring.
_PACKAGES: Final = {"nginx": "nginx-light", "rclone": "rclone", "curl": "curl"}
_WARM_UP_BYTES: Final = 1024
_SMALL_KEY: Final = "small/report"
_KEY: Final = "artifacts/report"


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

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
        self._place = Place(servers.endpoint, BUCKET, str(servers.authority))

    def run(self) -> None:
        """Measure everything.

        Raises
        ------
        ToolFailedError
            Our own copy does not work; there is no table without it.
        """
        bystanders = Bystanders(self._servers.process_ids)
        for contestant in tuple(self._field):
            with self._or_without(contestant):
                self._results.start_ups[contestant.label] = contestant.start_up(self._warm_up, self._place)
                self._results.versions[contestant.label] = contestant.versions()
        report = self._servers.report(self._sizes.report_bytes)
        self._results.pace = measure_pace(self._servers, report, Speed.THROTTLED)
        self._results.floor = measure_floor(self._servers, report)
        for speed in Speed:
            self._results.copies[speed] = self._copies(report, speed)
        by_name = {contestant.name: contestant for contestant in self._field}
        ours, rival = by_name.get(OURS), by_name.get(SMALL_RIVAL)
        if isinstance(ours, PythonContestant) and isinstance(rival, PythonContestant):
            self._results.small = [self._small(ours, rival, size) for size in self._sizes.small_bytes]
        if ours is not None:
            self._results.memory = [self._memory(ours, size) for size in self._sizes.memory_bytes]
        self._results.bystanders = bystanders.share

    @property
    def _warm_up(self) -> Job:
        small = self._servers.report(_WARM_UP_BYTES)
        return Job(self._servers.url(small, Speed.UNTHROTTLED), _SMALL_KEY, small.size_bytes)

    def _copies(self, report: Report, speed: Speed) -> list[Row]:
        runs: defaultdict[str, list[Done]] = defaultdict(list)
        job = Job(self._servers.url(report, speed), _KEY, report.size_bytes)
        for number in range(self._sizes.rounds):
            for contestant in rotated(self._field, number):
                with self._or_without(contestant):
                    done = self._copy(contestant, job)
                    runs[contestant.name].append(done)
                    _say(f"{speed}, round {number + 1}: {contestant.name} {done.usage.wall_seconds:.2f} s")
        return [_row(contestant, report, runs[contestant.name]) for contestant in self._field]

    def _small(self, ours: PythonContestant, rival: PythonContestant, size_bytes: int) -> tuple[Row, Row]:
        report = self._servers.report(size_bytes)
        job = Job(self._servers.url(report, Speed.UNTHROTTLED), _KEY, size_bytes)
        runs: defaultdict[str, list[Done]] = defaultdict(list)
        with running_worker(ours, self._place) as first, running_worker(rival, self._place) as second:
            workers = [(ours, first), (rival, second)]
            for _, worker in workers:
                worker.copy(job)
            for number in range(self._sizes.small_copies):
                for contestant, worker in rotated(workers, number):
                    self._servers.empty_sink()
                    runs[contestant.name].append(worker.copy(job))
        self._servers.empty_sink()
        _say(f"small reports: {size_bytes // MIB} MiB")
        return _row(ours, report, runs[ours.name]), _row(rival, report, runs[rival.name])

    def _memory(self, ours: Contestant, size_bytes: int) -> Row:
        report = self._servers.report(size_bytes)
        job = Job(self._servers.url(report, Speed.UNTHROTTLED), _KEY, size_bytes)
        done = self._copy(ours, job)
        self._servers.forget(report)
        _say(f"memory: {size_bytes // MIB} MiB")
        return _row(ours, report, [done])

    def _copy(self, contestant: Contestant, job: Job) -> Done:
        """Copy once, and see that all of it arrived."""
        self._servers.empty_sink()
        done = contestant.copy(job, self._warm_up, self._place)
        if (sent := self._servers.empty_sink()) < job.size_bytes:
            raise ToolFailedError(f"{contestant.name} sent {sent} of {job.size_bytes} bytes")
        return done

    @contextmanager
    def _or_without(self, contestant: Contestant) -> Generator[None, None, None]:
        """Go on without a rival that fails; the report says why it is not in the tables."""
        try:
            yield
        except ToolFailedError as exc:
            if contestant.name == OURS:
                raise
            _say(f"{contestant.name} is out: {exc}")
            self._results.skipped[contestant.label] = str(exc)
            self._field.remove(contestant)


def _row(contestant: Contestant, report: Report, done: Sequence[Done]) -> Row:
    digests = {each.sha256 for each in done}
    held = None if digests == {None} else digests == {report.sha256}
    if held is False:
        raise ToolFailedError(f"{contestant.name} computed another SHA-256 than the report has")
    return Row(contestant.name, contestant.label, report.size_bytes, [each.usage for each in done], held)


def _missing() -> list[str]:
    """Give Debian's packages that are not installed."""
    lines = [contestant.missing() or "" for contestant in contestants()]
    if not has_nginx():
        lines.append("no nginx")
    return [package for program, package in _PACKAGES.items() if any(f"no {program}" in line for line in lines)]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables and write them down."""
    parser = argparse.ArgumentParser(prog="python -m bench.copy", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of 64 MiB; says whether it works, not how fast")
    parser.add_argument("--rounds", type=int, help="instead of 5")
    parser.add_argument("--only", help="names of contestants, separated by commas", metavar="NAMES")
    parser.add_argument("--output", type=Path, help="where to write the tables; without it, only a full run does")
    parser.add_argument("--missing", action="store_true", help="name Debian's packages that are not installed, and end")
    options = parser.parse_args(arguments)
    if options.missing:
        print(" ".join(_missing()))
        return 0
    if not has_nginx():
        _say("nginx is not installed: make bench-setup")
        return 2
    sizes = QUICK if options.quick else FULL
    if options.rounds:
        sizes = Sizes(options.rounds, sizes.report_bytes, sizes.memory_bytes, sizes.small_bytes, sizes.small_copies)
    results = Results(sizes.rounds)
    wanted = options.only.split(",") if options.only else None
    field = []
    for contestant in contestants():
        if wanted is not None and contestant.name not in wanted:
            continue
        if why := contestant.missing():
            results.skipped[contestant.label] = why
            _say(f"{contestant.name} is skipped: {why}")
        else:
            field.append(contestant)
    try:
        with running_servers() as servers:
            Bench(servers, field, sizes, results).run()
    except (RuntimeError, ToolFailedError) as exc:
        _say(str(exc))
        return 1
    text = render(results)
    print(text)
    output = options.output or (None if options.quick or wanted or options.rounds else OUTPUT)
    if output is not None:
        output.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
