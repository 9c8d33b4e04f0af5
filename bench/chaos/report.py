"""The matrix of a campaign, for the terminal and for docs/reliability.md."""

from __future__ import annotations

import os
import platform
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypedDict

from bench.chaos.defects import DEFECTS
from local.chaos.campaign import tenth
from local.chaos.checker import PROMISES
from local.chaos.experiments import Experiment, ExperimentResult


class _Wrapping(TypedDict):
    break_long_words: bool
    break_on_hyphens: bool


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
# Names, paths and figures are not broken in two.
_WRAPPING: Final = _Wrapping(break_long_words=False, break_on_hyphens=False)
_KILLS: Final = ("killed before", "killed after")

_ABOUT: Final = (
    """\
# Reliability, measured

Written by `make chaos` on {machine}, in {minutes:.0f} minutes.

| | |
|---|---:|
| kinds of fault, each alone | {kinds} |
| runs with one fault | {runs} |
| kill points in the code | {points} |
| storms of {storm_builds} builds, everything at once | {storms} |
| builds in all | {builds} |
| faults injected in all | {injected} |
| promises checked after each run | {promises} |
| **promises broken** | **{broken}** |
""",
    """The real template, functions and state machine ran on the embedded AWS (moto) against the simulated providers.
    Time is virtual: it passes only when everything waits, so that hours of patience take no time, and the pauses
    between the tries of one call are left out. {tenth} of the runs ({share:.0%}), with each kind of fault at least
    once, and one small storm are part of `make test`.""",
    """What this does not show: moto is not AWS. Its DynamoDB, S3 and Step Functions do what the courier relies on
    (conditional writes, `If-None-Match`, task tokens, retries), and lose nothing by themselves; throttling and errors
    are injected in front of it. Redriving is the embedded AWS's own, since moto has none. A function that is killed
    dies between two calls, never in the middle of a byte. Limits of time are not reached here; they have tests of
    their own.""",
    "## The promises",
    """An independent checker reads S3 with all versions, what a subscriber received, the ledger, the executions and
    their histories, the logs, and the providers' own truth. Each of its checks is shown to bite by evidence with a
    planted breach (`tests/functional/chaos/test_checker.py`). The promises, by the names that it has for them:
    {names}.""",
    "## One fault at a time",
    """`builds affected` counts the builds of the runs in which the fault struck. `delivered` counts builds that gave
    what they were made for; the others failed, were canceled, or had their report spoilt by the fault, and say so.
    `notified twice` counts notices that had been sent before, with the same CloudEvents `id`: they come only from an
    answer of SNS that was lost, or from a function killed between a publish and its acknowledgement. `lost` counts
    builds and requests that nobody would ever hear of. `redriven` counts executions that failed and were redriven.""",
)
_KILL_POINTS: Final = (
    "## Kill points",
    """Each place in the code that makes an outside call is a kill point, told apart by the function and by who called
    it: {points} of them. The function is killed right before the call leaves and right after it was answered, at the
    first and, where there is one, at the second time that the place is passed.""",
)
_STORMS: Final = (
    "## Storms",
    """{storms} storms of {storm_builds} builds each. For an hour of virtual time everything goes wrong by chance, from
    a seed; then the schedules go on until nothing is in flight, and as the runbook says, failed executions are
    redriven, and requests that became dead letters are sent again.""",
)
# As wide as the other documents.
_WIDTH: Final = 120


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """All that was tried, and what came of it."""

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
        """Runs with everything at once."""
        return sorted((f for f in self.findings if f.fault == "storm"), key=lambda f: int(f.experiment.split()[-1]))

    @property
    def broken(self) -> list[ExperimentResult]:
        """Runs that broke a promise."""
        return [finding for finding in self.findings if finding.violations]

    @property
    def missing(self) -> int:
        """Experiments that were planned and not run."""
        return len(self.experiments) - len(self.single)

    @property
    def unreached(self) -> list[ExperimentResult]:
        """Runs whose fault never came."""
        return [finding for finding in self.single if not finding.injected]

    @property
    def kill_points(self) -> Counter[str]:
        """How many places of each function a kill was tried at."""
        places = {
            # Without the number of the time that it was passed.
            str(experiment.where).rpartition(", time ")[0]
            for experiment in self.experiments
            if experiment.fault in _KILLS
        }
        return Counter(place.partition(":")[0] for place in places)

    @property
    def faults(self) -> list[str]:
        """Names of the faults, in the order of the plan."""
        return list(dict.fromkeys(experiment.fault for experiment in self.experiments))


def matrix_lines(campaign: Campaign) -> list[str]:
    """Give the matrix as a Markdown table: one row per fault, and their sum."""
    by_fault: dict[str, list[ExperimentResult]] = {fault: [] for fault in campaign.faults}
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


def _table(columns: Iterable[str], rows: Iterable[Sequence[object]]) -> list[str]:
    names = list(columns)
    lines = [f"| {' | '.join(names)} |", f"|---|{'---:|' * (len(names) - 1)}"]
    return [*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)]


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
    yield from _prose(_ABOUT, facts)
    yield from matrix_lines(campaign)
    yield ""
    yield from _prose(_KILL_POINTS, facts)
    points = campaign.kill_points
    yield from _table(("function", "kill points"), [*sorted(points.items()), ("**all of them**", points.total())])
    if campaign.unreached:
        yield f"\n{len(campaign.unreached)} faults did not come to pass, because threads took another order."
    yield ""
    yield from _prose(_STORMS, facts)
    yield from storm_lines(campaign)
    yield "\nWhat happened in them:\n"
    yield from _table(("fault", "times injected"), kinds.most_common())
    yield "\n## Defects found this way\n"
    for defect in DEFECTS:
        yield textwrap.fill(defect, _WIDTH, initial_indent="- ", subsequent_indent="  ", **_WRAPPING)


def _prose(paragraphs: Iterable[str], facts: Mapping[str, object]) -> Iterator[str]:
    """Give paragraphs with their figures, each followed by an empty line; tables and headings stay as they are."""
    for paragraph in paragraphs:
        text = paragraph.format_map(facts).strip()
        yield text if text.startswith("#") else textwrap.fill(" ".join(text.split()), _WIDTH, **_WRAPPING)
        yield ""


def _machine() -> str:
    return f"{os.cpu_count()} cores ({platform.machine()}, {platform.system()}, Python {platform.python_version()})"
