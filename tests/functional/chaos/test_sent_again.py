"""A request whose attempts were all killed becomes a dead letter, and succeeds once it is sent again."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from local.chaos import scenarios
from local.chaos.checker import Allowance, check
from local.chaos.experiment_runner import ExperimentRunner, FaultInjector
from local.embedded.interception import AwsCall, CallFault, Kill

# Lambda tries an asynchronous event three times.
ATTEMPTS = 3


class KillsRequests(FaultInjector):
    """Kills `request_build` at its first write, until the event is a dead letter."""

    def __init__(self) -> None:
        self.kills = 0

    @override
    def before_call(self, call: AwsCall) -> CallFault | None:
        if call.caller != "request_build" or call.action != "dynamodb:UpdateItem" or self.kills == ATTEMPTS:
            return None
        self.kills += 1
        return Kill()


class AndSendsAgain(KillsRequests):
    redrives: ClassVar[bool] = True


def test_a_request_that_failed_for_good_is_a_dead_letter(runner: ExperimentRunner) -> None:
    scenario = scenarios.start_retried()
    evidence = runner.run(scenario, KillsRequests())
    assert [letter for letter in evidence.dead_letters if "event-0" in letter]
    assert check(evidence, Allowance(outcomes=scenario.outcomes)) == []


def test_sent_again_it_leads_to_a_record(runner: ExperimentRunner) -> None:
    scenario = scenarios.start_retried()
    evidence = runner.run(scenario, AndSendsAgain())
    assert not [letter for letter in evidence.dead_letters if "event-0" in letter]
    assert len([version for version in evidence.objects if version.key.startswith("records/")]) == 1
    assert check(evidence, Allowance(outcomes=scenario.outcomes)) == []
