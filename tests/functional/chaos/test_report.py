"""The report of a campaign has the required figures, and its sentences are wrapped."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from bench.chaos.report import Campaign, write_report
from local.chaos.checker import PROMISES, Violation
from local.chaos.experiments import Experiment, ExperimentResult

FAULTS = ("killed before", "killed after", "response lost", "link expired")


def finding(experiment: str, fault: str, *violations: Violation) -> ExperimentResult:
    return ExperimentResult(
        experiment=experiment,
        fault=fault,
        scenario="large",
        injected=2,
        kinds={fault: 2},
        builds=3,
        delivered=2,
        notices_once=3,
        notices_repeated=1,
        violations=violations,
    )


@pytest.fixture
def campaign() -> Campaign:
    experiments = [
        Experiment(
            fault=fault, where=f"copy_artifact: s3:GetObject at a.b:{line} < c.d:1, time {time}", scenario="large"
        )
        for fault in FAULTS
        for line in (1, 2)
        for time in (1, 2)
    ]
    findings = [finding(str(each), each.fault) for each in experiments]
    findings[0] = finding(
        str(experiments[0]), experiments[0].fault, Violation("no leak", "a"), Violation("one record", "b")
    )
    storms = [finding(f"storm {seed}", "storm") for seed in (2, 1)]
    return Campaign(experiments=experiments, findings=[*findings, *storms], storm_builds=3, seconds=90)


@pytest.fixture
def text(campaign: Campaign, tmp_path: Path) -> str:
    write_report(campaign, tmp_path / "reliability.md")
    return (tmp_path / "reliability.md").read_text(encoding="utf-8")


def test_the_figures_stand_at_its_beginning(text: str) -> None:
    figures = dict(re.findall(r"^\| \**([^|*]+?)\** \| \**([\d.]+)\** \|$", text.partition("## ")[0], re.MULTILINE))
    assert figures == {
        "kinds of fault, each alone": "4",
        "runs with one fault": "16",
        "kill points in the code": "2",
        "storms of 3 builds, everything at once": "2",
        "builds in all": "54",
        "faults injected in all": "36",
        "promises checked after each run": str(len(PROMISES)),
        "promises broken": "2",
    }


def test_the_share_that_the_tests_run_is_counted_and_not_claimed(text: str) -> None:
    # One of each fault, which is more than a tenth here.
    assert "4 of the runs (25%), with each kind of fault at least once" in " ".join(text.split())


def test_every_fault_has_a_row_with_the_required_figures(text: str) -> None:
    header = next(line for line in text.splitlines() if line.startswith("| fault | runs"))
    columns = [cell.strip() for cell in header.strip("|").split("|")]
    for column in (
        "times injected",
        "builds affected",
        "delivered",
        "notified once",
        "notified twice",
        "lost",
        "orphaned uploads",
        "leaks",
    ):
        assert column in columns
    for fault in FAULTS:
        row = next(line for line in text.splitlines() if line.startswith(f"| {fault} |"))
        cells = dict(zip(columns, (cell.strip() for cell in row.strip("|").split("|")), strict=True))
        assert (cells["times injected"], cells["builds affected"], cells["delivered"]) == ("8", "12", "8")
    assert text.index("| storm 1 |") < text.index("| storm 2 |")


def test_sentences_are_folded_at_the_width_of_a_page_and_not_before(text: str) -> None:
    for paragraph in text.split("\n\n"):
        lines = paragraph.splitlines()
        if paragraph.startswith(("#", "|")) or len(lines) < 2:
            continue
        assert max(map(len, lines)) <= 120, paragraph
        for line, following in itertools.pairwise(lines):
            if not following.startswith("- "):
                assert len(f"{line} {following.split()[0]}") > 118, (line, following)
