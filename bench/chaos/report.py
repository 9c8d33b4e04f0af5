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
from bench.markdown import fold, table
from local.chaos.campaign import tenth
from local.chaos.checker import PROMISES
from local.chaos.experiments import Experiment, ExperimentResult

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

Written by `make chaos` on {machine}, in {minutes:.0f} minutes.

| | |
| --- | --: |
| kinds of fault, each alone | {kinds} |
| runs with one fault | {runs} |
| kill points in the code | {points} |
| storms of {storm_builds} builds, everything at once | {storms} |
| builds in all | {builds} |
| faults injected in all | {injected} |
| promises checked after each run | {promises} |
| **promises broken** | **{broken}** |

The real template, functions and state machine run on the embedded AWS (moto) against the simulated providers. Time is
virtual: it advances only when everything waits, so hours of retries take no time, and the pauses between the retries of
one call are left out. {tenth} of the runs ({share:.0%}), with each kind of fault at least once, and one small storm are
part of `make test`.

Limits of this campaign: moto is not AWS. Its DynamoDB, S3 and Step Functions do what the courier relies on (conditional
writes, `If-None-Match`, task tokens, retries) and never fail on their own; the campaign injects throttling and errors
in front of them. The embedded AWS implements redriving itself, because moto has none. A killed function dies between
two calls, never in the middle of one. Timeouts are not reached here; they have tests of their own.

## The promises

An independent checker reads S3 with all versions, the messages of a subscriber, the ledger, the executions and their
histories, the logs, and the providers' own state. Planted violations prove that each of its checks bites
(`tests/functional/chaos/test_checker.py`). Its names of the promises: {names}.

## One fault at a time

`builds affected` counts the builds of the runs in which the fault was injected. `delivered` counts builds that produced
their report; the others failed, were canceled, or had their report damaged by the fault, and their outcome says so.
`notified twice` counts notices that were sent before, with the same CloudEvents `id`: they occur only after a lost
response of SNS, or when a function is killed between a publish and its acknowledgement. `lost` counts builds and
requests without any outcome. `redriven` counts executions that failed and were redriven.
"""
_KILL_POINTS: Final = """\
## Kill points

Each place in the code that makes an outside call is a kill point, identified by the function and the call stack: there
are {points}. The function is killed right before the call is sent and right after the response arrives, at the first
and, where there is one, at the second pass of the place.
"""
_STORMS: Final = """\
## Storms

{storms} storms of {storm_builds} builds each. For an hour of virtual time, faults of all kinds occur at random from a
seed; then the schedules go on until nothing is in flight. As the runbook prescribes, failed executions are redriven,
and requests that became dead letters are sent again.
"""


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """The planned experiments and the results of all runs."""

    experiments: Sequence[Experiment]
    findings: Sequence[ExperimentResult]
    storm_builds: int
    seconds: float

    @property
    def single(self) -> list[ExperimentResult]:
        """Runs with one fault."""
        return [finding for finding in self.findings if finding.fault != "storm"]

    @property
    def storms(self) -> list[ExperimentResult]:
        """Runs with all faults at once, by seed."""
        return sorted((f for f in self.findings if f.fault == "storm"), key=lambda f: int(f.experiment.split()[-1]))

    @property
    def broken(self) -> list[ExperimentResult]:
        """Runs that broke a promise."""
        return [finding for finding in self.findings if finding.violations]

    @property
    def missing(self) -> int:
        """The number of experiments that were planned and not run."""
        return len(self.experiments) - len(self.single)

    @property
    def unreached(self) -> list[ExperimentResult]:
        """Runs whose fault was not injected."""
        return [finding for finding in self.single if not finding.injected]

    @property
    def kill_points(self) -> Counter[str]:
        """The number of kill points of each function."""
        points = {
            # Without the number of the pass.
            str(experiment.where).rpartition(", time ")[0]
            for experiment in self.experiments
            if experiment.fault in _KILLS
        }
        return Counter(point.partition(":")[0] for point in points)

    @property
    def faults(self) -> list[str]:
        """The names of the faults, in the order of the plan."""
        return list(dict.fromkeys(experiment.fault for experiment in self.experiments))


def matrix_lines(campaign: Campaign) -> list[str]:
    """Return the matrix as a Markdown table: one row per fault, and their sum."""
    by_fault: dict[str, list[ExperimentResult]] = {fault: [] for fault in campaign.faults}
    for finding in campaign.single:
        by_fault[finding.fault].append(finding)
    rows = [_row(fault, findings) for fault, findings in by_fault.items()]
    rows.append(_row("**all of them**", campaign.single))
    return table(_COLUMNS, rows, numbers=True)


def storm_lines(campaign: Campaign) -> list[str]:
    """Return a Markdown table with one row per storm, and their sum."""
    rows = [_row(finding.experiment, [finding]) for finding in campaign.storms]
    rows.append(_row("**all storms**", campaign.storms))
    return table(("storm", *_COLUMNS[1:]), rows, numbers=True)


def write_report(campaign: Campaign, path: Path) -> None:
    """Write docs/reliability.md."""
    path.write_text(fold(_report(campaign)), encoding="utf-8")


def _row(name: str, findings: Sequence[ExperimentResult]) -> tuple[object, ...]:
    injected = [finding for finding in findings if finding.injected]
    return (
        name,
        len(findings),
        sum(finding.injected for finding in findings),
        sum(finding.builds for finding in injected),
        sum(finding.delivered for finding in findings),
        sum(finding.notices_once for finding in findings),
        sum(finding.notices_repeated for finding in findings),
        sum(finding.lost for finding in findings),
        sum(finding.open_uploads for finding in findings),
        sum(finding.leaks for finding in findings),
        sum(finding.redriven for finding in findings),
        sum(bool(finding.violations) for finding in findings),
    )


def _report(campaign: Campaign) -> Iterable[str]:
    kinds: Counter[str] = Counter()
    for finding in campaign.storms:
        kinds.update(finding.kinds)
    in_tests = len(tenth(campaign.experiments))
    facts = {
        "machine": _machine(),
        "minutes": campaign.seconds / 60,
        "kinds": len(campaign.faults),
        "runs": len(campaign.single),
        "points": campaign.kill_points.total(),
        "storms": len(campaign.storms),
        "storm_builds": campaign.storm_builds,
        "builds": sum(finding.builds for finding in campaign.findings),
        "injected": sum(finding.injected for finding in campaign.findings),
        "promises": len(PROMISES),
        "broken": sum(len(finding.violations) for finding in campaign.findings),
        "tenth": in_tests,
        "share": in_tests / len(campaign.experiments),
        "names": ", ".join(PROMISES),
    }
    yield _ABOUT.format_map(facts)
    yield from matrix_lines(campaign)
    yield _KILL_POINTS.format_map(facts)
    points = campaign.kill_points
    rows = [*sorted(points.items()), ("**all of them**", points.total())]
    yield from table(("function", "kill points"), rows, numbers=True)
    if campaign.unreached:
        yield f"{len(campaign.unreached)} faults were not injected, because the threads ran in another order.\n"
    yield _STORMS.format_map(facts)
    yield from storm_lines(campaign)
    yield "Faults injected in them:\n"
    yield from table(("fault", "times injected"), kinds.most_common(), numbers=True)
    yield "## Defects that the campaign found\n"
    yield from (f"- {defect}" for defect in DEFECTS)


def _machine() -> str:
    return f"{os.cpu_count()} cores ({platform.machine()}, {platform.system()}, Python {platform.python_version()})"
