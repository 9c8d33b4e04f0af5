"""A failed execution is redriven at the state that failed, whichever it was, and nothing is done twice."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from typing_extensions import override

from local.chaos.checker import check
from local.chaos.disturbances import Counting
from local.chaos.evidence import Evidence
from local.chaos.laboratory import Laboratory
from local.chaos.scripts import large
from local.interception import STATE_MACHINE, Answer, AwsCall, CallVerdict
from local.moto_engine import EngineError

# More than all retries of any state, so that the execution fails.
FOR_GOOD = 7


class Broken(Counting):
    """One call fails until its state has given up; then somebody mends it, and redrives."""

    redrives = True

    def __init__(self, caller: str, action: str, *, function: str | None = None) -> None:
        super().__init__(times=FOR_GOOD)
        self._matches = (caller, action)
        self._function = function

    @override
    def before_call(self, call: AwsCall) -> CallVerdict | None:
        fits = (call.caller, call.action) == self._matches
        fits = fits and (self._function is None or self._function in call.resource)
        return Answer(500, "InternalError") if self.strikes(fits) else None


STATES = {
    "WaitForBuild": Broken(STATE_MACHINE, "dynamodb:UpdateItem"),
    "CopyArtifact": Broken(STATE_MACHINE, "lambda:Invoke", function="CopyArtifact"),
    "RecordOutcome": Broken(STATE_MACHINE, "lambda:Invoke", function="RecordOutcome"),
    "Notify": Broken(STATE_MACHINE, "sns:Publish"),
}


def failed_states(evidence: Evidence) -> list[str]:
    """Name the state in which each failed execution stood before its redrive."""
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
def test_every_task_can_be_redriven_and_duplicates_nothing(laboratory: Laboratory, state: str) -> None:
    evidence = laboratory.run(large(), STATES[state])
    assert failed_states(evidence) == [state]
    assert check(evidence) == []
    (run,) = evidence.executions
    assert run.status == "SUCCEEDED"
    assert Counter(run.states)[state] == 2
    assert [name for name, count in Counter(run.states).items() if count > 1] == [state]
    assert len(evidence.notices) == 1


def test_an_execution_that_has_not_failed_cannot_be_redriven(laboratory: Laboratory) -> None:
    class Redriving(Counting):
        refusals = 0

        @override
        def tick(self, laboratory: Laboratory) -> None:
            for run in laboratory.aws.executions():
                with pytest.raises(EngineError, match="cannot be redriven"):
                    laboratory.aws.redrive(run.arn)
                Redriving.refusals += 1
            with pytest.raises(EngineError, match="there is no execution"):
                laboratory.aws.redrive("arn:aws:states:eu-central-1:123456789012:execution:none:none")

    assert check(laboratory.run(large(), Redriving())) == []
    assert Redriving.refusals > 0
