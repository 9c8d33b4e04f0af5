"""Tests can observe, fail, lose, repeat and kill calls and invocations."""

import json
import threading
from collections.abc import Callable

import pytest

from local.embedded.embedded_aws import EmbeddedAws
from local.embedded.function_runtime import LostResponseError, ThrottledError
from local.embedded.interception import (
    AwsCall,
    AwsError,
    CallFault,
    DeliverTwice,
    DropResponse,
    FalseSuccess,
    IgnoreConditions,
    Interception,
    Invocation,
    InvocationFault,
    Kill,
    ResponseFault,
    Throttle,
)

Start = Callable[[Interception], EmbeddedAws]


class OnAction(Interception):
    """Injects its faults into the first calls of one action."""

    def __init__(
        self, action: str, *, before: CallFault | None = None, after: ResponseFault | None = None, times: int = 1
    ) -> None:
        self.action = action
        self.before = before
        self.after = after
        self.left = times
        self.calls: list[AwsCall] = []
        self.statuses: list[int] = []

    def before_call(self, call: AwsCall) -> CallFault | None:
        self.calls.append(call)
        if call.action != self.action or self.before is None or self.left == 0:
            return None
        self.left -= 1
        return self.before

    def after_call(self, call: AwsCall, status: int) -> ResponseFault | None:
        self.statuses.append(status)
        if call.action != self.action or self.after is None or self.left == 0:
            return None
        self.left -= 1
        return self.after


class OnRun(Interception):
    """Injects its faults into the first runs."""

    def __init__(
        self, *, before: InvocationFault | None = None, after: DropResponse | None = None, times: int = 1
    ) -> None:
        self.before = before
        self.after = after
        self.left = times
        self.seen: list[tuple[Invocation, str | None]] = []

    def before_invocation(self, invocation: Invocation) -> InvocationFault | None:  # noqa: ARG002  # the base's
        if self.before is None or self.left == 0:
            return None
        self.left -= 1
        return self.before

    def after_invocation(self, invocation: Invocation, *, error_type: str | None) -> DropResponse | None:
        self.seen.append((invocation, error_type))
        if self.after is None or self.left == 0:
            return None
        self.left -= 1
        return self.after


def keys(aws: EmbeddedAws) -> set[str]:
    listed = aws.client("s3").list_objects_v2(Bucket=aws.resources["Store"])
    return {entry["Key"] for entry in listed.get("Contents", [])}


def test_a_call_is_seen_with_its_function_run_and_resource(disturbed: Start) -> None:
    seen = OnAction("none")
    aws = disturbed(seen)
    aws.invoke("work", {"do": "read"})
    (call,) = seen.calls
    assert (call.caller, call.action, call.resource) == ("work", "dynamodb:GetItem", aws.resources["Table"])
    assert call.invocation is not None
    assert json.loads(call.invocation.payload) == {"do": "read"}
    assert seen.statuses == [200]


@pytest.mark.parametrize(
    ("action", "iam_action"),
    [
        ("s3:UploadPart", "s3:PutObject"),
        ("s3:HeadObject", "s3:GetObject"),
        ("lambda:Invoke", "lambda:InvokeFunction"),
        ("dynamodb:UpdateItem", "dynamodb:UpdateItem"),
    ],
)
def test_a_call_names_the_right_that_it_needs(action: str, iam_action: str) -> None:
    assert AwsCall(caller="work", action=action, resource="*", invocation=None).iam_action == iam_action


def test_the_operators_calls_are_left_alone(disturbed: Start) -> None:
    seen = OnAction("s3:ListObjectsV2", before=AwsError(500, "InternalError"))
    assert keys(disturbed(seen)) == set()
    assert seen.calls == []


@pytest.mark.parametrize(
    ("event", "action", "error"),
    [
        ({"do": "read"}, "dynamodb:GetItem", AwsError(400, "ResourceNotFoundException", "no table")),
        ({"do": "put"}, "s3:PutObject", AwsError(403, "AccessDenied", "no right")),
    ],
)
def test_an_error_has_the_format_of_its_service(
    disturbed: Start, event: dict[str, str], action: str, error: AwsError
) -> None:
    result = disturbed(OnAction(action, before=error, times=9)).invoke("work", event)
    document = json.loads(result.payload)
    assert error.code in document["errorMessage"]
    assert error.message in document["errorMessage"]


def test_an_error_of_sns_reaches_the_state_machine(disturbed: Start) -> None:
    aws = disturbed(OnAction("sns:Publish", before=AwsError(403, "AuthorizationError", "no right")))
    aws.start_execution("Machine", {"name": "x", "wait": False})
    aws.wait_until_idle()
    (report,) = aws.executions()
    assert (report.status, report.error) == ("FAILED", "SNS.AuthorizationErrorException")


@pytest.mark.parametrize("lost", ["before", "after"])
def test_a_lost_response_is_retried(disturbed: Start, lost: str) -> None:
    losing = (
        OnAction("s3:PutObject", before=DropResponse())
        if lost == "before"
        else OnAction("s3:PutObject", after=DropResponse())
    )
    aws = disturbed(losing)
    assert aws.invoke("work", {"do": "put"}).error_type is None
    assert keys(aws) == {"a/one", "a/two"}
    assert len(losing.calls) == 3
    assert len(losing.statuses) == (2 if lost == "before" else 3)


@pytest.mark.parametrize("response", [FalseSuccess(), FalseSuccess(b"<html>Sign in</html>")])
@pytest.mark.parametrize(("when", "left"), [("before", set()), ("after", {"a/one"})])
def test_a_false_success_is_a_response_without_what_aws_promises(
    disturbed: Start, response: FalseSuccess, when: str, left: set[str]
) -> None:
    aws = disturbed(OnAction("s3:PutObject", **{when: response}))  # type: ignore[arg-type]  # either takes it
    assert json.loads(aws.invoke("work", {"do": "create"}).payload) == {"etag": None}
    assert keys(aws) == left


def test_a_store_that_ignores_conditions_overwrites(disturbed: Start) -> None:
    ignoring = OnAction("s3:PutObject", before=IgnoreConditions(), times=2)
    aws = disturbed(ignoring)
    assert [aws.invoke("work", {"do": "create"}).error_type for _ in range(3)] == [None, None, "ClientError"]
    assert ignoring.statuses == [200, 200, 412]


@pytest.mark.parametrize(("when", "left"), [("before", set()), ("after", {"kept"})])
def test_a_killed_run_does_nothing_any_more(disturbed: Start, when: str, left: set[str]) -> None:
    killing = OnAction("s3:PutObject", before=Kill()) if when == "before" else OnAction("s3:PutObject", after=Kill())
    aws = disturbed(killing)
    assert aws.invoke("work", {"do": "put and clean up"}).error_type == "Runtime.ExitError"
    assert keys(aws) == left
    assert len(killing.calls) == 1
    assert not [line for line in aws.logs() if "survived" in line.text]


def test_a_run_is_killed_from_a_thread_that_it_started(disturbed: Start) -> None:
    aws = disturbed(OnAction("s3:PutObject", before=Kill("Sandbox.Timedout"), times=9))
    assert aws.invoke("work", {"do": "put"}).error_type == "Sandbox.Timedout"
    assert keys(aws) == set()


def test_a_kill_hits_one_run_only(disturbed: Start) -> None:
    aws = disturbed(OnAction("s3:PutObject", before=Kill()))
    assert aws.invoke("work", {"do": "put and clean up"}).error_type == "Runtime.ExitError"
    assert aws.invoke("work", {"do": "put"}).error_type is None


def test_the_state_machine_tries_a_killed_run_again(disturbed: Start) -> None:
    aws = disturbed(OnAction("dynamodb:GetItem", before=Kill()))
    earlier = aws.usage()["work"].invocations
    aws.start_execution("Machine", {"name": "x", "wait": False, "do": "read"})
    aws.wait_until_idle()
    assert [report.status for report in aws.executions()] == ["SUCCEEDED"]
    assert aws.usage()["work"].invocations - earlier == 3


@pytest.mark.parametrize("fault", [Throttle(), DropResponse()])
def test_the_state_machine_retries_a_call_without_a_response_from_lambda(
    disturbed: Start, fault: Throttle | DropResponse
) -> None:
    once = OnRun(before=fault) if isinstance(fault, Throttle) else OnRun(after=fault)
    aws = disturbed(once)
    aws.start_execution("Machine", {"name": "x", "wait": False})
    aws.wait_until_idle()
    assert [report.status for report in aws.executions()] == ["SUCCEEDED"]


def test_an_event_is_delivered_twice(disturbed: Start) -> None:
    aws = disturbed(OnRun(before=DeliverTwice()))
    earlier = aws.usage()["work"].invocations
    assert aws.invoke("work", {}).error_type is None
    assert aws.usage()["work"].invocations - earlier == 2


def test_a_caller_sees_throttling_and_nothing_when_the_response_is_lost(disturbed: Start) -> None:
    ran = OnRun(before=Throttle(), after=DropResponse(), times=2)
    aws = disturbed(ran)
    with pytest.raises(ThrottledError):
        aws.invoke("work", {})
    assert ran.seen == []
    ran.before = None
    with pytest.raises(LostResponseError):
        aws.invoke("work", {"do": "fail"})
    assert [error_type for _, error_type in ran.seen] == ["HopelessError"]


def test_a_late_call_waits_for_the_test(disturbed: Start) -> None:
    arrived, go = threading.Event(), threading.Event()

    class Late(Interception):
        def before_call(self, call: AwsCall) -> CallFault | None:  # noqa: ARG002  # the base's
            arrived.set()
            assert go.wait(10)
            return None

    aws = disturbed(Late())
    future = aws.invoke_asynchronously("work", {"do": "read"})
    assert arrived.wait(10)
    assert aws.busy()
    assert not future.done()
    go.set()
    assert future.result(10).attempts == 1
