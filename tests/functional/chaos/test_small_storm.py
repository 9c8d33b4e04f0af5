"""A storm of all faults, with twenty builds."""

from __future__ import annotations

from local.chaos.experiment_runner import ExperimentRunner
from local.chaos.storms import run_storm


def test_a_small_storm_breaks_no_promise(runner: ExperimentRunner) -> None:
    finding = run_storm(runner, seed=3, builds=20)
    assert finding.violations == []
    assert finding.builds == 20
    assert finding.injected > 10
    assert len(finding.kinds) > 5
