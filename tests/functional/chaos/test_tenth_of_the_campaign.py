"""What a tenth of the campaign is; and its part that needs a plan: kills, lost answers, deliveries, errors of AWS."""

from __future__ import annotations

import pytest

from local.chaos.campaign import plan_experiments, tenth
from local.chaos.experiment_runner import ExperimentRunner
from local.chaos.experiments import Experiment
from tests.functional.chaos.tenth import failures, of_providers


@pytest.fixture(scope="module")
def experiments() -> list[Experiment]:
    with ExperimentRunner() as runner:
        return plan_experiments(runner)


def test_a_tenth_has_every_fault(experiments: list[Experiment]) -> None:
    chosen = tenth(experiments)
    assert 0.1 <= len(chosen) / len(experiments) <= 0.12
    assert {each.fault for each in chosen} == {each.fault for each in experiments}
    assert len({each.fault for each in experiments}) >= 40
    assert len({str(each) for each in chosen}) == len(chosen)
    assert {str(each) for each in of_providers()} <= {str(each) for each in chosen}
    assert {"insights", "reports", "large"} <= {each.scenario for each in chosen}


def test_what_aws_and_death_do_breaks_no_promise(experiments: list[Experiment]) -> None:
    others = {str(experiment) for experiment in of_providers()}
    assert failures([each for each in tenth(experiments) if str(each) not in others]) == {}
