"""The tables of the benchmark, in Markdown."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.copy.floor import Floor
from bench.copy.measure import Usage
from bench.copy.pace import Pace
from bench.copy.results import (
    MOST_PEAK_BYTES,
    MOST_PEAK_SPREAD,
    OURS,
    SMALL_TARGET,
    TARGET_BYTES,
    TARGETS,
    Ratio,
    Row,
    Target,
    peak_spread,
    ratios,
)
from bench.copy.servers import THROTTLED_BYTES_PER_SECOND, Speed
from courier.transfer.options import GIB, MIB

_ABOUT = """\
# The copy, side by side

Written by `make bench`. A report is moved from a source into an S3 endpoint, over TLS both ways, on loopback
(nginx; the endpoint takes what it is sent and keeps no object together); all files lie on tmpfs. The contestants
take turns, beginning with another one each round. Ours proves what it copies: every range under `If-Match`, a CRC32
for each part, and the SHA-256 of the whole, which is compared here with the report's. The others have their defaults.

Every copy is a process of its own, whose start does not count: a Python contestant is measured from inside, after
its imports and one copy of 1 KiB; a command-line tool as a whole process, less what the same command takes for 1 KiB.
Wall time and CPU (user and system) are medians; memory is the largest peak of any run, on top of the same baseline.
`ratio` is ours divided by theirs, in wall time where nothing else is said.
"""


@dataclass
class Results:
    """All that was measured.

    Attributes
    ----------
    rounds
        How often each contestant copied.
    bystanders
        The part of the machine's CPU that other processes took meanwhile: it makes every number worse.
    pace, floor
        What one connection gets from the throttled source, and what a copy from the other takes at least.
    copies
        One table for each speed of the source.
    small
        Rows of ours and of its rival by size, from warm processes.
    memory
        Ours by size.
    start_ups
        A whole process around a copy of 1 KiB, by label.
    versions, skipped
        By label; why a contestant is not in the tables.
    """

    rounds: int
    bystanders: float = 0.0
    pace: Pace | None = None
    floor: Floor | None = None
    copies: dict[Speed, list[Row]] = field(default_factory=dict)
    small: list[tuple[Row, Row]] = field(default_factory=list)
    memory: list[Row] = field(default_factory=list)
    start_ups: dict[str, Usage] = field(default_factory=dict)
    versions: dict[str, Mapping[str, str]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def render(results: Results) -> str:
    """Write the whole report."""
    sections = [_ABOUT, _machine(results)]
    for speed, rows in results.copies.items():
        if rows:
            sections.append(_copies(speed, rows, results))
    unthrottled = results.copies.get(Speed.UNTHROTTLED, [])
    if results.floor is not None and (ours := _ours(unthrottled)) is not None:
        sections.append(_floor(results.floor, ours, unthrottled))
    if results.small:
        sections.append(_small(results.small))
    if results.memory:
        sections.append(_memory(results.memory))
    sections += [_start_ups(results.start_ups), _versions(results.versions)]
    if results.skipped:
        sections.append("## Not measured\n\n" + "\n".join(f"- {name}: {why}" for name, why in results.skipped.items()))
    return "\n\n".join(section.strip() for section in sections) + "\n"


def _machine(results: Results) -> str:
    kernel = re.match(r"[\d.]*\d", platform.release())
    facts = [
        f"{len(os.sched_getaffinity(0))} cores of {_cpu_model()}",
        f"Linux {kernel[0] if kernel else '?'}",
        f"{results.rounds} {'round' if results.rounds == 1 else 'rounds'}",
    ]
    return (
        f"Machine: {', '.join(facts)}. The servers share it with the contestants;"
        f" other processes took {results.bystanders:.0%} of its CPU meanwhile."
    )


def _copies(speed: Speed, rows: Sequence[Row], results: Results) -> str:
    title = f"## {_size(rows[0].size_bytes)}, {speed} source"
    if speed is Speed.THROTTLED and results.pace is not None:
        title += (
            f"\n\n{THROTTLED_BYTES_PER_SECOND / 1e6:.0f} MB/s per connection, which is what S3 gives one GET. Measured:"
            f" {results.pace.whole:.0f} MB/s by one GET, {results.pace.ranges:.0f} MB/s by ranges of 8 MiB."
        )
    ours = _ours(rows)
    header = ["", "wall s", "fastest - slowest", "CPU s", "MiB/s", "peak MiB", "ratio", "target", ""]
    body = []
    for row in rows:
        target = TARGETS[speed].get(row.name, Target()) if row.size_bytes == TARGET_BYTES else Target()
        compared = [] if ours is None or row is ours else ratios(ours, row, target)
        body.append([*_measured(row), *_judged(compared)])
    return f"{title}\n\n{_table(header, body)}"


def _floor(floor: Floor, ours: Row, rows: Sequence[Row]) -> str:
    """Say how near the machine's limit ours is, and which targets lie beyond it."""
    steps = [[share.name, f"{share.ours:.2f}", f"{share.servers:.2f}"] for share in floor.shares]
    total = ["together", f"{floor.ours:.2f}", f"{floor.servers:.2f}"]
    least = floor.wall_seconds(floor.ours)
    text = (
        f"## The limit of this machine\n\nCPU seconds of each step of such a copy by itself: one connection, one"
        f" buffer, unthrottled source.\n\n{_table(['', 'the copy', 'the servers'], [*steps, total])}\n\n"
        f"On {floor.cores} cores that are {least:.2f} s for any copy that hashes and overlaps its steps without a gap;"
        f" with the {ours.cpu_seconds:.2f} s of CPU that ours takes, {floor.wall_seconds(ours.cpu_seconds):.2f} s."
        f" Ours took {ours.wall_seconds:.2f} s."
    )
    beyond = [
        f"{target.wall:.2f} of {row.label} would be {target.wall * row.wall_seconds:.2f} s"
        for row in rows
        if (target := TARGETS[Speed.UNTHROTTLED].get(row.name, Target())).wall is not None
        and target.wall * row.wall_seconds < floor.wall_seconds(floor.ours)
    ]
    return text + (f" Beyond that limit: {'; '.join(beyond)}." if beyond else "")


def _ours(rows: Sequence[Row]) -> Row | None:
    return next((row for row in rows if row.name == OURS), None)


def _small(pairs: Sequence[tuple[Row, Row]]) -> str:
    header = ["", "", "wall ms", "fastest - slowest", "CPU ms", "ratio", "target", ""]
    body = []
    for ours, rival in pairs:
        for row in (ours, rival):
            compared = ratios(ours, rival, SMALL_TARGET) if row is rival else []
            spread = f"{row.fastest_seconds * 1e3:.1f} - {row.slowest_seconds * 1e3:.1f}"
            times = [f"{row.wall_seconds * 1e3:.1f}", spread, f"{row.cpu_seconds * 1e3:.1f}"]
            body.append([_size(row.size_bytes), row.label, *times, *_judged(compared)])
    runs = len(pairs[0][0].runs)
    return (
        "## Small reports\n\n"
        f"Two processes that keep running, as a function that is called again does; {runs} copies each, in turns,"
        f" from the unthrottled source.\n\n{_table(header, body)}"
    )


def _memory(rows: Sequence[Row]) -> str:
    header = ["report", "peak MiB", "target", ""]
    body = [
        [
            _size(row.size_bytes),
            _mib(row.peak_bytes),
            f"< {_mib(MOST_PEAK_BYTES)}",
            _mark(row.peak_bytes < MOST_PEAK_BYTES),
        ]
        for row in rows
    ]
    spread = peak_spread(rows)
    body.append(
        ["largest / smallest", f"{spread:.2f}", f"<= {MOST_PEAK_SPREAD:.2f}", _mark(spread <= MOST_PEAK_SPREAD)]
    )
    return (
        "## Memory of ours\n\nOn top of a process that has made one copy of 1 KiB, from the unthrottled source.\n\n"
        + _table(header, body)
    )


def _start_ups(start_ups: Mapping[str, Usage]) -> str:
    header = ["", "wall s", "CPU s", "peak MiB"]
    body = [
        [label, f"{used.wall_seconds:.2f}", f"{used.cpu_seconds:.2f}", _mib(used.peak_bytes)]
        for label, used in start_ups.items()
    ]
    return f"## Start-up: a whole process that copies 1 KiB\n\n{_table(header, body)}"


def _versions(versions: Mapping[str, Mapping[str, str]]) -> str:
    lines = [
        f"- {label}: " + ", ".join(_version(name, text) for name, text in found.items())
        for label, found in versions.items()
    ]
    return "## Versions\n\n" + "\n".join(lines)


def _version(name: str, text: str) -> str:
    """Name a program once, and leave out what it says beyond its version."""
    number = re.search(r"v?\d[\w.+~-]*", text)
    return f"{name} {number[0].removeprefix('v') if number else text}"


def _measured(row: Row) -> list[str]:
    return [
        row.label + (", SHA-256 agrees" if row.sha256_held else ""),
        f"{row.wall_seconds:.2f}",
        f"{row.fastest_seconds:.2f} - {row.slowest_seconds:.2f}",
        f"{row.cpu_seconds:.2f}",
        f"{row.mib_per_second:.0f}",
        _mib(row.peak_bytes),
    ]


def _judged(compared: Iterable[Ratio]) -> list[str]:
    found = list(compared)
    return [
        ", ".join(f"{_quantity(ratio)}{ratio.value:.2f}" for ratio in found),
        ", ".join(f"{_quantity(ratio)}<= {ratio.most:.2f}" for ratio in found if ratio.most is not None),
        ", ".join(_mark(ratio.is_met) for ratio in found if ratio.is_met is not None),
    ]


def _quantity(ratio: Ratio) -> str:
    return "" if ratio.quantity == "wall" else f"{ratio.quantity} "


def _mark(is_met: bool | None) -> str:
    return "met" if is_met else "**missed**"


def _mib(count: float) -> str:
    return f"{count / MIB:.0f}"


def _size(count: int) -> str:
    if count >= GIB:
        return f"{count // GIB} GiB"
    return f"{count // MIB} MiB" if count >= MIB else f"{count // 1024} KiB"


def _table(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    rule = ["---" if index == 0 else "--:" for index in range(len(header))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *body))


def _cpu_model() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
    return found[1].strip() if found else platform.machine()
