"""A tenth of the campaign, in two halves of about the same length: each is a file's, and so a process's."""

from __future__ import annotations

from local.chaos.campaign import Chunk, plan_experiments, run_chunk, tenth
from local.chaos.experiments import Experiment, Finding
from local.chaos.laboratory import Laboratory

HALVES = 2


def planned() -> list[Experiment]:
    """Plan the whole campaign, by what the functions do now."""
    with Laboratory() as laboratory:
        return plan_experiments(laboratory)


def findings_of_half(experiments: list[Experiment], half: int) -> list[Finding]:
    """Run every second experiment of the tenth, as `make chaos` runs all."""
    chunk = Chunk(experiments=tenth(experiments)[half::HALVES])
    findings = run_chunk(chunk)
    assert len(findings) == len(chunk.experiments)
    return findings


def failures(findings: list[Finding]) -> dict[str, object]:
    """Give the experiments that broke a promise, or whose fault never came."""
    return {
        finding.experiment: [str(violation) for violation in finding.violations] or "never struck"
        for finding in findings
        if finding.violations or not finding.struck
    }
