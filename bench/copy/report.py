"""The tables of the benchmark, in Markdown."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.copy.lambda_memory import DOLLARS_PER_GB_SECOND, MB_PER_VCPU, MemorySize
from bench.copy.limits import ConnectionSpeed, CopyLimit
from bench.copy.measure import Usage
from bench.copy.results import (
    MOST_PEAK_BYTES,
    MOST_PEAK_SPREAD,
    OURS,
    SMALL_TARGET,
    TARGET_BYTES,
    TARGETS,
    CopyTarget,
    Ratio,
    Row,
    peak_spread,
    ratios,
)
from bench.copy.servers import THROTTLED_BYTES_PER_SECOND, Speed
from bench.markdown import table
from courier.transfer.options import GIB, MIB

_ABOUT = """\
# The copy compared with other tools

Written by `make bench`. Each contestant copies a report from a source to an S3 endpoint, both over TLS on loopback
(nginx; the endpoint receives the parts and assembles no object); all files are on tmpfs. The contestants take turns,
and each round starts with another one. Our copy verifies what it copies: every range under `If-Match`, a CRC32 for each
part, and the SHA-256 of the whole, which is compared here with the report's. The others run with their defaults.

Every copy is a process of its own, whose start does not count: a Python contestant is measured from inside, after
its imports and one copy of 1 KiB; a command-line tool as a whole process, minus the usage of the same command for
1 KiB. Wall time and CPU (user and system) are medians; memory is the largest peak of any run, on top of the same
baseline. `ratio` is our figure divided by theirs, in wall time unless stated otherwise.
"""


@dataclass
class Results:
    """All measurements.

    Attributes
    ----------
    rounds
        The number of copies of each contestant.
    others
        The share of the machine's CPU time that other processes used, which worsens every number.
    connection, limit
        The speed of one connection to the throttled source, and the least that a copy from the other takes.
    copies
        One table for each speed of the source.
    small
        Rows of our copy and of its rival by size, from warm processes.
    memory
        Rows of our copy by size.
    lambda_memory
        Our copy with the processor time that Lambda grants each memory size.
    start_ups
        Usage of a whole process that copies 1 KiB, by label.
    versions, skipped
        By label: the versions, and why a contestant is not in the tables.
    """

    rounds: int
    others: float = 0.0
    connection: ConnectionSpeed | None = None
    limit: CopyLimit | None = None
    copies: dict[Speed, list[Row]] = field(default_factory=dict)
    small: list[tuple[Row, Row]] = field(default_factory=list)
    memory: list[Row] = field(default_factory=list)
    lambda_memory: list[MemorySize] = field(default_factory=list)
    start_ups: dict[str, Usage] = field(default_factory=dict)
    versions: dict[str, Mapping[str, str]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def render(results: Results) -> str:
    """Return the whole report."""
    sections = [_ABOUT, _machine(results)]
    for speed, rows in results.copies.items():
        if rows:
            sections.append(_copies(speed, rows, results))
    unthrottled = results.copies.get(Speed.UNTHROTTLED, [])
    if results.limit is not None and (ours := _ours(unthrottled)) is not None:
        sections.append(_limit(results.limit, ours, unthrottled))
    if results.small:
        sections.append(_small(results.small))
    if results.memory:
        sections.append(_memory(results.memory))
    if results.lambda_memory:
        sections.append(_lambda_memory(results.lambda_memory))
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
        f" other processes used {results.others:.0%} of its CPU time."
    )


def _copies(speed: Speed, rows: Sequence[Row], results: Results) -> str:
    title = f"## {_size(rows[0].size_bytes)}, {speed} source"
    if speed is Speed.THROTTLED and results.connection is not None:
        title += (
            f"\n\n{THROTTLED_BYTES_PER_SECOND / 1e6:.0f} MB/s per connection, like one GET from S3. Measured:"
            f" {results.connection.whole:.0f} MB/s with one GET,"
            f" {results.connection.ranges:.0f} MB/s with ranges of 8 MiB."
        )
    ours = _ours(rows)
    header = ["", "wall s", "fastest - slowest", "CPU s", "MiB/s", "peak MiB", "ratio", "target", ""]
    body = []
    for row in rows:
        target = TARGETS[speed].get(row.name, CopyTarget()) if row.size_bytes == TARGET_BYTES else CopyTarget()
        compared = [] if ours is None or row is ours else ratios(ours, row, target)
        body.append([*_measured(row), *_compared(compared)])
    return f"{title}\n\n{_table(header, body)}"


def _limit(limit: CopyLimit, ours: Row, rows: Sequence[Row]) -> str:
    """Return how near our copy is to the limit of the machine, and which targets lie beyond it."""
    steps = [[step.name, f"{step.ours:.2f}", f"{step.servers:.2f}"] for step in limit.steps]
    total = ["together", f"{limit.ours:.2f}", f"{limit.servers:.2f}"]
    least = limit.wall_seconds(limit.ours)
    text = (
        f"## The limit of this machine\n\nCPU seconds of each step of such a copy alone: one connection, one"
        f" buffer, unthrottled source.\n\n{_table(['', 'the copy', 'the servers'], [*steps, total])}\n\n"
        f"On {limit.cores} cores the least is {least:.2f} s for any copy that hashes and overlaps its steps perfectly;"
        f" with the {ours.cpu_seconds:.2f} s of CPU time of our copy, {limit.wall_seconds(ours.cpu_seconds):.2f} s."
        f" Our copy took {ours.wall_seconds:.2f} s."
    )
    beyond = [
        f"{target.wall:.2f} of {row.label} would be {target.wall * row.wall_seconds:.2f} s"
        for row in rows
        if (target := TARGETS[Speed.UNTHROTTLED].get(row.name, CopyTarget())).wall is not None
        and target.wall * row.wall_seconds < limit.wall_seconds(limit.ours)
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
            body.append([_size(row.size_bytes), row.label, *times, *_compared(compared)])
    runs = len(pairs[0][0].runs)
    return (
        "## Small reports\n\n"
        f"Two processes that stay alive, like a warm function; {runs} copies each, alternating,"
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
        "## Memory of our copy\n\nOn top of a process after one copy of 1 KiB, from the unthrottled source.\n\n"
        + _table(header, body)
    )


def _lambda_memory(sizes: Sequence[MemorySize]) -> str:
    header = ["memory MB", "vCPU"]
    header += [f"{column}, {speed}" for speed in Speed for column in ("s per GiB", "$ per 1,000 GiB")]
    body = []
    for size in sizes:
        gib = size.report_bytes / GIB
        row = [f"{size.memory_mb:,}", f"{size.memory_mb / MB_PER_VCPU:.2f}"]
        for speed in Speed:
            row += [f"{size.seconds(speed) / gib:.2f}", f"{size.dollars(speed) / gib * 1000:.3f}"]
        body.append([*row, _mib(size.process_bytes)])
    return (
        "## The memory size of `copy_artifact`\n\nA warm process under a quota of processor time: Lambda grants one"
        f" vCPU per {MB_PER_VCPU:,} MB, and charges ${DOLLARS_PER_GB_SECOND:.10f} per GB-second (us-east-1, arm64). The"
        " network of a function is not simulated: where it is slower than the source here, it decides. The last column"
        " is the peak of the whole process, without Lambda's runtime and the function's own modules.\n\n"
        + _table([*header, "peak MiB"], body)
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
    """Return a program's name and version number without the rest of its output."""
    number = re.search(r"v?\d[\w.+~-]*", text)
    return f"{name} {number[0].removeprefix('v') if number else text}"


def _measured(row: Row) -> list[str]:
    return [
        row.label + (", SHA-256 agrees" if row.sha256_matches else ""),
        f"{row.wall_seconds:.2f}",
        f"{row.fastest_seconds:.2f} - {row.slowest_seconds:.2f}",
        f"{row.cpu_seconds:.2f}",
        f"{row.mib_per_second:.0f}",
        _mib(row.peak_bytes),
    ]


def _compared(compared: Iterable[Ratio]) -> list[str]:
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
    return "\n".join(table(header, body, numbers=True)).rstrip()


def _cpu_model() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
    return found[1].strip() if found else platform.machine()
