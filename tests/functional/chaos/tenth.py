"""A tenth of the campaign, in parts: each is a file's, and so a process's."""

from __future__ import annotations

from collections.abc import Sequence

from local.chaos import provider_faults
from local.chaos.campaign import Chunk, one_of_each, run_chunk
from local.chaos.experiments import Experiment


def of_providers() -> list[Experiment]:
    """Give the experiments of the tenth that are known without playing a script: one of each fault of providers."""
    return one_of_each(list(provider_faults.experiments()))


def failures(experiments: Sequence[Experiment]) -> dict[str, object]:
    """Run experiments as `make chaos` does; give those that broke a promise, or whose fault never came."""
    findings = run_chunk(Chunk(experiments=experiments))
    assert [finding.experiment for finding in findings] == [str(experiment) for experiment in experiments]
    return {
        finding.experiment: [str(violation) for violation in finding.violations] or "never struck"
        for finding in findings
        if finding.violations or not finding.injected
    }
