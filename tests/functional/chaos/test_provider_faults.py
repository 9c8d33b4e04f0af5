"""One experiment of each fault of the providers and their object stores breaks no promise."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from local.chaos import provider_faults
from local.chaos.campaign import one_of_each
from local.chaos.experiment_runner import ExperimentRunner
from local.chaos.experiments import Experiment
from tests.functional.chaos.shared_runs import failures, shared_runs

RUNS = shared_runs(one_of_each(list(provider_faults.experiments())))


def test_every_fault_is_in_one_run() -> None:
    names = [experiment.fault for run in RUNS for experiment in run]
    assert sorted(names) == sorted({experiment.fault for experiment in provider_faults.experiments()})
    assert len(names) > 80


@pytest.mark.parametrize("experiments", RUNS, ids=lambda run: f"{run[0].fault} and {len(run) - 1} more")
def test_faults_of_the_providers_break_no_promise(runner: ExperimentRunner, experiments: Sequence[Experiment]) -> None:
    assert failures(runner, experiments) == []
