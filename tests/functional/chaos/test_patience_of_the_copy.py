"""A temporary problem does not cost a finished report: an unusual response, a revoked key, a killed function."""

from __future__ import annotations

from functools import partial

import pytest

from local.chaos.checker import Allowance, check
from local.chaos.experiment_runner import ExperimentRunner
from local.chaos.experiments import Experiment, run_experiment
from local.chaos.fault_injectors import EVERY_ATTEMPT, CallInjector, ExchangeFault, ExchangeInjector, ExchangeRecorder
from local.chaos.scenarios import large
from local.embedded.interception import AwsError
from local.simulator import HTML_PAGE, ErrorStatus, Fault, FaultRule, LinkExpired, Reply, RequestKind, SetFields

# The request and the poller ask for the job once each; the third one is the copy.
LINK_REQUESTS = 3


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(ErrorStatus(401), id="key refused"),
        pytest.param(ErrorStatus(404), id="not found"),
        pytest.param(ErrorStatus(409), id="conflict"),
        pytest.param(Reply(200, HTML_PAGE), id="page of a proxy"),
        pytest.param(SetFields({"presigned_url": None}), id="no link yet"),
    ],
)
def test_one_unusual_response_does_not_cost_the_report(runner: ExperimentRunner, fault: Fault) -> None:
    evidence = runner.run(large(), faults=[FaultRule(fault, RequestKind.GET_JOB, nth=LINK_REQUESTS, times=2)])
    assert any(entry.faults for entry in evidence.requests)
    assert check(evidence) == []


def test_what_stays_wrong_ends_as_undeliverable(runner: ExperimentRunner) -> None:
    evidence = runner.run(
        large(), faults=[FaultRule(ErrorStatus(404), RequestKind.GET_JOB, nth=LINK_REQUESTS, times=None)]
    )
    assert check(evidence, Allowance(outcomes=frozenset({"undeliverable"}))) == []
    (record,) = evidence.records.values()
    assert '"undeliverable"' in (record.text or "")
    assert "BuildNotFoundError" in (record.text or "")


def test_a_dead_link_is_not_requested_again_and_again(runner: ExperimentRunner) -> None:
    evidence = runner.run(large(), faults=[FaultRule(LinkExpired(), RequestKind.ARTIFACT, times=None)])
    (run,) = evidence.executions
    assert run.status == "SUCCEEDED"
    copies = [line for line in evidence.histories[0].split('"type"') if "LambdaFunctionScheduled" in line]
    assert len(copies) == 2  # one copy, one record


def test_a_killed_copy_goes_on_by_itself(runner: ExperimentRunner) -> None:
    recorder = ExchangeRecorder()
    runner.run(large(), recorder)
    upload = next(exchange for exchange in recorder.exchanges if exchange.call == "s3:UploadPart")
    finding = run_experiment(
        runner,
        Experiment(
            fault="killed after",
            where=str(upload),
            scenario="large",
            make_injector=partial(ExchangeInjector, upload, ExchangeFault.KILL_AFTER),
        ),
    )
    assert (finding.injected, finding.redriven, finding.delivered) == (1, 0, 1)
    assert finding.violations == []


@pytest.mark.parametrize("action", ["dynamodb:GetItem", "ssm:GetParametersByPath"])
def test_a_copy_outlives_a_service_that_refuses_every_try(runner: ExperimentRunner, action: str) -> None:
    make_injector = partial(
        CallInjector, "copy_artifact", action, AwsError(400, "ThrottlingException"), times=EVERY_ATTEMPT
    )
    finding = run_experiment(
        runner,
        Experiment(
            fault="throttled by AWS, every attempt", where=action, scenario="large", make_injector=make_injector
        ),
    )
    assert finding.injected >= 4
    assert finding.violations == []
