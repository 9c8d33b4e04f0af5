"""The real interpreter runs the template's state machine: tokens, retries, catches, and notices."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from moto.stepfunctions.models import StateMachine
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker

from local.embedded.embedded_aws import EmbeddedAws
from local.embedded.results import ExecutionReport


def run(aws: EmbeddedAws, event: dict[str, object]) -> ExecutionReport:
    arn = aws.start_execution("Machine", event)
    aws.wait_until_idle()
    (report,) = [report for report in aws.executions() if report.arn == arn]
    return report


def test_an_execution_calls_functions_both_ways_and_publishes(small: EmbeddedAws) -> None:
    subscription = small.subscribe()
    report = run(small, {"name": "a", "wait": False, "say": 'a "quoted" word'})
    assert report.status == "SUCCEEDED"
    assert report.states == ("Kind", "Work", "WorkAgain", "Announce")
    assert report.seconds is not None
    assert report.history_events > len(report.states)
    (notice,) = subscription.notices()
    assert notice.subject == "done"
    assert notice.attributes == {"outcome": "delivered"}
    assert notice.message.startswith("It said: ")
    assert json.loads(notice.message.removeprefix("It said: "))["echo"]["echo"]["say"] == 'a "quoted" word'
    assert json.loads(notice.envelope)["Type"] == "Notification"
    assert subscription.notices() == []


def test_a_token_in_the_table_releases_the_execution(small: EmbeddedAws) -> None:
    waiting = run(small, {"name": "b", "wait": True})
    assert waiting.status == "RUNNING"
    assert waiting.states[-1] == "WaitForToken"
    assert small.busy()
    (row,) = [row for row in small.ledger_rows() if row["build"] == "b"]
    small.client("stepfunctions").send_task_success(taskToken=str(row["task_token"]), output='{"news": "done"}')
    small.wait_until_idle()
    (report,) = [report for report in small.executions() if report.arn == waiting.arn]
    assert report.status == "SUCCEEDED"
    assert not small.busy()


def test_a_token_is_taken_once(small: EmbeddedAws) -> None:
    client = small.client("stepfunctions")
    run(small, {"name": "once", "wait": True, "do": "not yet"})
    (row,) = [row for row in small.ledger_rows() if row["build"] == "once"]
    token = str(row["task_token"])
    client.send_task_success(taskToken=token, output="{}")
    with pytest.raises(client.exceptions.TaskTimedOut):
        client.send_task_success(taskToken=token, output="{}")
    small.wait_until_idle()
    with pytest.raises(client.exceptions.TaskTimedOut):
        client.send_task_failure(taskToken=token)


def test_an_unknown_token_is_refused_also_while_an_execution_starts(
    small: EmbeddedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = small.client("stepfunctions")
    go = threading.Event()
    parse = ExecutionWorker._get_evaluation_entrypoint

    def parse_late(worker: ExecutionWorker) -> object:
        assert go.wait(10)
        return parse(worker)

    monkeypatch.setattr(ExecutionWorker, "_get_evaluation_entrypoint", parse_late)
    small.start_execution("Machine", {"name": "late", "wait": False})
    with pytest.raises(client.exceptions.InvalidToken):
        client.send_task_success(taskToken="made up", output="{}")
    go.set()
    small.wait_until_idle()


def test_two_starts_under_one_name_are_one_execution(small: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    client = small.client("stepfunctions")
    both_checked = threading.Barrier(2)
    original = StateMachine._handle_name_input_idempotency

    def check_together(machine: StateMachine, name: str, text: str) -> object:
        found = original(machine, name, text)
        with suppress(threading.BrokenBarrierError):
            both_checked.wait(0.2)
        return found

    monkeypatch.setattr(StateMachine, "_handle_name_input_idempotency", check_together)

    def start(number: int) -> bool:
        text = json.dumps({"name": "race", "wait": False, "number": number})
        try:
            client.start_execution(stateMachineArn=small.outputs["MachineArn"], name="race", input=text)
        except client.exceptions.ExecutionAlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(start, range(2))) == [False, True]
    small.wait_until_idle()
    assert [report.name for report in small.executions()].count("race") == 1


def test_the_same_name_with_another_input_is_refused(small: EmbeddedAws) -> None:
    client = small.client("stepfunctions")
    machine = small.outputs["MachineArn"]
    client.start_execution(stateMachineArn=machine, name="twin", input='{"name": "c", "wait": false}')
    small.wait_until_idle()
    with pytest.raises(client.exceptions.ExecutionAlreadyExists):
        client.start_execution(stateMachineArn=machine, name="twin", input='{"name": "d", "wait": false}')


def test_pauses_before_retries_are_scaled(small: EmbeddedAws) -> None:
    # 30 s and 60 s in the definition, a thousandth of it here.
    report = run(small, {"name": "e", "wait": False, "do": "not yet"})
    assert report.status == "SUCCEEDED"
    assert report.seconds is not None
    assert report.seconds < 20
    assert report.states.count("Work") == 1


def test_errors_are_caught_by_their_class_name(small: EmbeddedAws) -> None:
    report = run(small, {"name": "f", "wait": False, "do": "fail"})
    assert report.status == "SUCCEEDED"
    assert any("HopelessError" in text for text in small.history_texts())


def test_an_error_without_a_catch_fails_the_execution(small: EmbeddedAws) -> None:
    report = run(small, {"name": "g", "wait": False, "do": "unspeakable"})
    assert (report.status, report.error) == ("FAILED", "Runtime.MarshalError")
    assert "Unable to marshal" in str(report.cause)
    assert report.output is None


def test_calls_of_the_interpreter_are_the_state_machines(small: EmbeddedAws) -> None:
    before = small.calls()
    run(small, {"name": "h", "wait": True})
    run(small, {"name": "i", "wait": False})
    actions = {action for caller, action, _ in small.calls() - before if caller == "state_machine"}
    assert actions == {"dynamodb:UpdateItem", "lambda:Invoke", "sns:Publish"}
    callers = {caller for caller, _, _ in small.calls()}
    assert callers <= {"operator", "state_machine", "work"}
