"""The matrix of a campaign, for the terminal and for docs/reliability.md."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.chaos.defects import DEFECTS
from local.chaos.checker import PROMISES
from local.chaos.experiments import Experiment, Finding

_COLUMNS: Final = (
    "fault",
    "runs",
    "times injected",
    "builds affected",
    "delivered",
    "notified once",
    "notified twice",
    "lost",
    "orphaned uploads",
    "leaks",
    "redriven",
    "broken",
)
_KILLS: Final = ("killed before", "killed after")

_ABOUT: Final = """\
# Reliability, measured

Written by `make chaos`: {runs} runs with one fault each, of {kinds} kinds, and {storms} storms, {builds} builds in all,
in {minutes:.0f} minutes on {machine}. Broken promises: **{broken}**.

The real template, functions and state machine ran on the embedded AWS (moto) against the simulated providers. Time is
virtual: it passes only when everything waits, so that hours of patience take no time, and the pauses between the tries
of one call are left out. A tenth of it runs in `make test`.

What this does not show: moto is not AWS. Its DynamoDB, S3 and Step Functions do what the courier relies on
(conditional writes, `If-None-Match`, task tokens, retries), and lose nothing by themselves; throttling and errors are
injected in front of it. Redriving is the embedded AWS's own, since moto has none. A function that is killed dies
between
two calls, never in the middle of a byte. Limits of time are not reached here; they have tests of their own.

## The promises

An independent checker reads S3 with all versions, what a subscriber received, the ledger, the executions and their
histories, the logs, and the providers' own truth. Each of its checks is shown to bite by evidence with a planted breach
(`tests/functional/chaos/test_checker.py`). The promises, by the names that it has for them: {promises}.

## One fault at a time

`notified twice` counts notices that had been sent before, with the same CloudEvents `id`: they come only from an answer
of SNS that was lost, or from a function killed between a publish and its acknowledgement. `redriven` counts executions
that failed and were redriven. `delivered` counts builds that gave what they were made for; the others failed, were
canceled, or had their report spoilt by the fault, and say so.
"""
_KILL_POINTS: Final = """
## Kill points

Each place in the code that makes an outside call is a kill point: right before the call leaves and right after it was
answered, at the first and, where there is one, at the second time that the place is passed.
"""
_STORMS: Final = """
## Storms

{storms} storms of {builds} builds each. For an hour of virtual time everything goes wrong by chance, from a seed; then
the schedules go on until nothing is in flight, and failed executions are redriven, as the runbook says.
"""


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """All that was tried, and what came of it."""

    experiments: Sequence[Experiment]
    findings: Sequence[Finding]
    storm_builds: int
    seconds: float

    @property
    def single(self) -> list[Finding]:
        """Runs with one fault."""
        return [finding for finding in self.findings if finding.fault != "storm"]

    @property
    def storms(self) -> list[Finding]:
        """Runs with everything at once."""
        return sorted((f for f in self.findings if f.fault == "storm"), key=lambda f: int(f.experiment.split()[-1]))

    @property
    def broken(self) -> list[Finding]:
        """Runs that broke a promise."""
        return [finding for finding in self.findings if finding.violations]

    @property
    def missing(self) -> int:
        """Experiments that were planned and not run."""
        return len(self.experiments) - len(self.single)

    @property
    def unreached(self) -> list[Finding]:
        """Runs whose fault never came."""
        return [finding for finding in self.single if not finding.struck]

    @property
    def faults(self) -> list[str]:
        """Names of the faults, in the order of the plan."""
        return list(dict.fromkeys(experiment.fault for experiment in self.experiments))


def matrix_lines(campaign: Campaign) -> list[str]:
    """Give the matrix as a Markdown table: one row per fault, and their sum."""
    by_fault: dict[str, list[Finding]] = {fault: [] for fault in campaign.faults}
    for finding in campaign.single:
        by_fault[finding.fault].append(finding)
    rows = [_row(fault, findings) for fault, findings in by_fault.items()]
    rows.append(_row("**all of them**", campaign.single))
    return _table(_COLUMNS, rows)


def storm_lines(campaign: Campaign) -> list[str]:
    """Give one row per storm."""
    rows = [_row(finding.experiment, [finding]) for finding in campaign.storms]
    rows.append(_row("**all storms**", campaign.storms))
    return _table(("storm", *_COLUMNS[1:]), rows)


def write_report(campaign: Campaign, path: Path) -> None:
    """Write docs/reliability.md."""
    path.write_text("\n".join(_report(campaign)) + "\n", encoding="utf-8")


def _row(name: str, findings: Sequence[Finding]) -> tuple[object, ...]:
    struck = [finding for finding in findings if finding.struck]
    return (
        name,
        len(findings),
        sum(finding.struck for finding in findings),
        sum(finding.builds for finding in struck),
        sum(finding.delivered for finding in findings),
        sum(finding.told_once for finding in findings),
        sum(finding.told_twice for finding in findings),
        sum(finding.lost for finding in findings),
        sum(finding.open_uploads for finding in findings),
        sum(finding.leaks for finding in findings),
        sum(finding.redriven for finding in findings),
        sum(bool(finding.violations) for finding in findings),
    )


def _table(columns: Iterable[str], rows: Iterable[Sequence[object]]) -> list[str]:
    names = list(columns)
    lines = [f"| {' | '.join(names)} |", f"|---|{'---:|' * (len(names) - 1)}"]
    return [*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)]


def _report(campaign: Campaign) -> Iterable[str]:
    points = Counter(
        str(experiment.where).partition(":")[0] for experiment in campaign.experiments if experiment.fault in _KILLS
    )
    kinds: Counter[str] = Counter()
    for finding in campaign.storms:
        kinds.update(finding.kinds)
    yield _ABOUT.format(
        runs=len(campaign.single),
        kinds=len(campaign.faults),
        storms=len(campaign.storms),
        builds=sum(finding.builds for finding in campaign.findings),
        minutes=campaign.seconds / 60,
        machine=_machine(),
        broken=len(campaign.broken),
        promises=", ".join(PROMISES),
    )
    yield from matrix_lines(campaign)
    yield _KILL_POINTS
    yield from _table(("function", "kills"), sorted(points.items()))
    if campaign.unreached:
        yield f"\n{len(campaign.unreached)} faults did not come to pass, because threads took another order."
    yield _STORMS.format(storms=len(campaign.storms), builds=campaign.storm_builds)
    yield from storm_lines(campaign)
    yield "\nWhat happened in them:\n"
    yield from _table(("fault", "times injected"), kinds.most_common())
    yield "\n## Defects found this way\n"
    yield from (f"- {defect}" for defect in DEFECTS)


def _machine() -> str:
    return f"{os.cpu_count()} cores ({platform.machine()}, {platform.system()}, Python {platform.python_version()})"
