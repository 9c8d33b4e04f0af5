"""An execution starts to wait for its build although DynamoDB fails the first attempts; the wait itself ends once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.chaos.experiment_runner import ExperimentRunner, FaultInjector
from local.chaos.experiments import Experiment, run_experiment
from local.chaos.fault_injectors import CallInjector, ResponseInjector
from local.embedded.interception import STATE_MACHINE, AwsError, DropResponse

DEFINITION = Path(__file__).parents[3] / "statemachine" / "build_lifecycle.asl.yaml"
WRITE = (STATE_MACHINE, "dynamodb:UpdateItem")


@pytest.mark.parametrize(
    "make_injector",
    [
        pytest.param(
            partial(CallInjector, *WRITE, AwsError(500, "InternalError"), times=3), id="an error without a model"
        ),
        pytest.param(partial(CallInjector, *WRITE, AwsError(400, "ThrottlingException"), times=3), id="throttled"),
        pytest.param(partial(ResponseInjector, *WRITE, DropResponse()), id="the answer is lost, the token is written"),
    ],
)
def test_the_token_is_written_in_the_end(runner: ExperimentRunner, make_injector: Callable[[], FaultInjector]) -> None:
    finding = run_experiment(
        runner,
        Experiment(fault="the write fails", where="WaitForReport", scenario="large", make_injector=make_injector),
    )
    assert finding.injected > 0
    assert (finding.redriven, finding.violations) == (0, [])


def waits() -> dict[str, dict[str, Any]]:
    states = yaml.safe_load(DEFINITION.read_text(encoding="utf-8"))["States"]
    return {name: state for name, state in states.items() if "waitForTaskToken" in state.get("Resource", "")}


def test_the_waits_differ_only_in_what_follows() -> None:
    found = waits()
    assert {name: state.pop("Next") for name, state in found.items()} == {
        "WaitForReport": "CopyArtifact",
        "WaitForBuild": "RecordOutcome",
    }
    assert all(state.pop("Comment") for state in found.values())
    assert found["WaitForReport"] == found["WaitForBuild"]


def test_the_end_of_the_wait_is_not_repeated() -> None:
    wait = waits()["WaitForReport"]
    first, *others = wait["Retry"]
    assert first == {"ErrorEquals": ["States.Timeout"], "MaxAttempts": 0}
    assert [rule["ErrorEquals"] for rule in others] == [["States.ALL"]]
    assert [rule["ErrorEquals"] for rule in wait["Catch"]] == [["States.Timeout"]]
