"""A failed execution is redriven at the state that failed, and nothing is done twice."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import yaml
from typing_extensions import override

from local.chaos.checker import check
from local.chaos.evidence import Evidence
from local.chaos.experiment_runner import ChaosScenario, ExperimentRunner
from local.chaos.fault_injectors import CountingInjector
from local.chaos.scenarios import TREASURE_SECRET, build_id, large, treasure_source
from local.embedded.interception import STATE_MACHINE, AwsCall, AwsError, CallFault
from local.embedded.moto.step_functions import MotoError
from local.simulator import BuildPlan, DataModel, Scenario, ScheduledBuild, TreasureAccount

DEFINITION = Path(__file__).parents[3] / "statemachine" / "build_lifecycle.asl.yaml"
# More than all retries of any state, so that the execution fails.
FOR_GOOD = 7


class Broken(CountingInjector):
    """One call fails until its state has failed; then the call works again, and the execution is redriven."""

    redrives = True

    def __init__(self, caller: str, action: str, *, function: str | None = None) -> None:
        super().__init__(times=FOR_GOOD)
        self._matches = (caller, action)
        self._function = function

    @override
    def before_call(self, call: AwsCall) -> CallFault | None:
        fits = (call.caller, call.action) == self._matches
        fits = fits and (self._function is None or self._function in call.resource)
        return AwsError(500, "InternalError") if self.should_inject(fits) else None


def no_report() -> ChaosScenario:
    """Return a scenario with one build without a report."""
    builds = (ScheduledBuild(BuildPlan(run_seconds=90), build_id=build_id(70)),)
    sales = DataModel(oid="5d1d4f1c-1111-4222-8333-000000000001", name="sales", builds=builds)
    simulation = Scenario(treasure=TreasureAccount(models=(sales,)))
    secrets = {TREASURE_SECRET: simulation.treasure.key}
    return ChaosScenario(
        name="no report", simulation=simulation, sources=lambda url: [treasure_source(url)], secrets=secrets
    )


STATES = {
    "WaitForReport": (large, Broken(STATE_MACHINE, "dynamodb:UpdateItem")),
    "WaitForBuild": (no_report, Broken(STATE_MACHINE, "dynamodb:UpdateItem")),
    "CopyArtifact": (large, Broken(STATE_MACHINE, "lambda:Invoke", function="CopyArtifact")),
    "RecordOutcome": (large, Broken(STATE_MACHINE, "lambda:Invoke", function="RecordOutcome")),
    "Notify": (large, Broken(STATE_MACHINE, "sns:Publish")),
}


# Entered only if nothing polled a build for an hour after its deadline, which no scenario does. It is the task of
# RecordOutcome, and tests/unit/usecases/test_operator_actions.py has what it returns.
NOT_ENTERED = {"RecordTimeout"}


def test_every_task_is_among_them() -> None:
    states = yaml.safe_load(DEFINITION.read_text(encoding="utf-8"))["States"]
    assert set(STATES) | NOT_ENTERED == {name for name, state in states.items() if state["Type"] == "Task"}
    assert states["RecordTimeout"]["Resource"] == states["RecordOutcome"]["Resource"]


def failed_states(evidence: Evidence) -> list[str]:
    """Return the state at which each execution failed before its redrive."""
    found = []
    for history in evidence.histories:
        last = ""
        for event in json.loads(history)[1]:
            if event["type"].endswith("StateEntered"):
                last = event["stateEnteredEventDetails"]["name"]
            if event["type"] == "ExecutionFailed":
                found.append(last)
    return found


@pytest.mark.parametrize("state", STATES)
def test_every_task_can_be_redriven_and_duplicates_nothing(runner: ExperimentRunner, state: str) -> None:
    scenario, broken = STATES[state]
    evidence = runner.run(scenario(), broken)
    assert failed_states(evidence) == [state]
    assert check(evidence) == []
    (run,) = evidence.executions
    assert run.status == "SUCCEEDED"
    assert Counter(run.states)[state] == 2
    assert [name for name, count in Counter(run.states).items() if count > 1] == [state]
    assert len(evidence.notices) == 1


def test_an_execution_that_has_not_failed_cannot_be_redriven(runner: ExperimentRunner) -> None:
    class Redriving(CountingInjector):
        failures = 0

        @override
        def tick(self, runner: ExperimentRunner) -> None:
            for run in runner.aws.executions():
                with pytest.raises(MotoError, match="cannot be redriven"):
                    runner.aws.redrive(run.arn)
                Redriving.failures += 1
            with pytest.raises(MotoError, match="there is no execution"):
                runner.aws.redrive("arn:aws:states:eu-central-1:123456789012:execution:none:none")

    assert check(runner.run(large(), Redriving())) == []
    assert Redriving.failures > 0
