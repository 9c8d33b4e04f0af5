"""A deployed courier, through AWS's API only: the same for both engines."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from courier.models import BuildRef
from scripts.deployment.scenario import Case

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

# The longest that one group of builds takes, on a busy machine.
_LONGEST_SECONDS = 120.0
_POLL_SECONDS = 0.5
# Replaces the hour that a waiting state has beyond the deadline of its build: the wait ends after a second.
_HOUR = "$states.input.wait_seconds + 3600"
_HASTY = "-hasty"
_SECOND = "0 * $states.input.wait_seconds + 1"


class DeploymentError(Exception):
    """The deployed courier did not do what it must."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """One execution: its name, status, error, input, output (empty unless it succeeded) and history."""

    arn: str
    name: str
    status: str
    error: str
    input: dict[str, Any]
    output: dict[str, Any]
    events: list[dict[str, Any]]

    @property
    def scope(self) -> str:
        """The scope of its build."""
        return str(self.input["build"]["ref"]["scope"])

    @property
    def states(self) -> tuple[str, ...]:
        """The states that it entered, in order."""
        return tuple(
            event["stateEnteredEventDetails"]["name"] for event in self.events if event["type"].endswith("StateEntered")
        )


class DeployedCourier:
    """Ticks, requests and executions of one stack.

    Parameters
    ----------
    client
        Returns the AWS client of a service.
    resources
        Physical ids by logical ids.
    outputs
        The outputs of the stack.
    """

    def __init__(
        self, client: Callable[[str], Any], *, resources: Mapping[str, str], outputs: Mapping[str, str]
    ) -> None:
        self.client = client
        self.resources = resources
        self.outputs = outputs
        self._more_machines: list[str] = []

    def invoke(self, logical_id: str, event: object) -> object:
        """Invoke a function and return its result.

        Raises
        ------
        DeploymentError
            The function failed.
        """
        response = self.client("lambda").invoke(FunctionName=self.resources[logical_id], Payload=json.dumps(event))
        payload = response["Payload"].read().decode()
        if "FunctionError" in response:
            raise DeploymentError(f"{logical_id} failed: {payload[:2000]}")
        return json.loads(payload)

    def request(self, cases: Iterable[Case]) -> None:
        """Request the builds of these cases, one after another."""
        for case in cases:
            self.invoke("RequestBuildFunction", {"id": f"request-{case.name}", "detail": case.request()})

    def discover(self) -> None:
        """List the sources' builds, as the schedule does."""
        self.invoke("DiscoverBuildsFunction", {"scheduled_time": "2026-01-05T08:00:00Z"})

    def poll(self) -> None:
        """Poll the builds that are due, as the schedule does; a tick that finds no capacity is lost, as there."""
        try:
            self.invoke("PollBuildsFunction", {"scheduled_time": "2026-01-05T08:00:00Z"})
        except ClientError as exc:
            if exc.response["Error"]["Code"] != "TooManyRequestsException":
                raise

    def finish(self, cases: Iterable[Case], *, polls: bool = True) -> None:
        """Poll until the executions of these cases have ended.

        Raises
        ------
        DeploymentError
            They have not, after two minutes.
        """
        scopes = {case.scope for case in cases}
        self.wait_until(lambda: not self._has_running(scopes), f"the executions of {sorted(scopes)} end", polls=polls)

    def wait_until(
        self, is_so: Callable[[], bool], what: str, *, polls: bool = False, longest_seconds: float = _LONGEST_SECONDS
    ) -> None:
        """Wait, and poll meanwhile.

        Raises
        ------
        DeploymentError
            It is not so in time.
        """
        deadline = time.monotonic() + longest_seconds
        while time.monotonic() < deadline:
            if polls:
                self.poll()
            if is_so():
                return
            time.sleep(_POLL_SECONDS)
        raise DeploymentError(f"waited {longest_seconds:.0f} s, but not until {what}")

    def waiting(self, cases: Iterable[Case]) -> bool:
        """Return whether the builds of all these cases have their tokens in the ledger."""
        return all(self.waiting_count(case) for case in cases)

    def waiting_count(self, case: Case) -> int:
        """Return how many builds of this case have a token in the ledger."""
        return sum("task_token" in row and case.scope in row["build"]["S"] for row in self.rows())

    def running(self) -> int:
        """Return how many executions run."""
        return sum(run["status"] == "RUNNING" for run in self._list(self.resources["BuildLifecycle"]))

    def delete_more_machines(self) -> None:
        """Delete the state machines that `time_out` made."""
        for machine in self._states.list_state_machines()["stateMachines"]:
            if machine["name"].startswith(self.resources["BuildLifecycle"].rpartition(":")[2]) and machine[
                "name"
            ].endswith(_HASTY):
                self._states.delete_state_machine(stateMachineArn=machine["stateMachineArn"])

    def start(self, execution_input: dict[str, Any], name: str, *, state_machine: str | None = None) -> str:
        """Start an execution by hand and return its ARN."""
        started = self._states.start_execution(
            stateMachineArn=state_machine or self.resources["BuildLifecycle"],
            name=name,
            input=json.dumps(execution_input),
        )
        return str(started["executionArn"])

    def time_out(self, cases: Iterable[Case]) -> None:
        """Let the waits of these builds time out, in a state machine whose waits take one second.

        Its definition is the deployed one but for the hour that a wait has beyond the deadline of its build.
        """
        deployed = self._states.describe_state_machine(stateMachineArn=self.resources["BuildLifecycle"])
        if _HOUR not in deployed["definition"]:
            raise DeploymentError(f"the state machine does not wait for {_HOUR}")
        hasty = self._states.create_state_machine(
            name=deployed["name"] + _HASTY,
            definition=deployed["definition"].replace(_HOUR, _SECOND),
            roleArn=deployed["roleArn"],
        )["stateMachineArn"]
        for case in cases:
            (waiting,) = [run for run in self.executions(with_history=False) if run.scope == case.scope]
            self._states.stop_execution(executionArn=waiting.arn)
            self.start(waiting.input, f"hasty-{case.name}", state_machine=hasty)
        self.wait_until(lambda: all(run["status"] != "RUNNING" for run in self._list(hasty)), "the waits time out")
        self._more_machines.append(hasty)

    @property
    def _states(self) -> "SFNClient":
        client: SFNClient = self.client("stepfunctions")
        return client

    def _has_running(self, scopes: set[str]) -> bool:
        found = [run for run in self.executions(with_history=False) if run.scope in scopes]
        missing = scopes - {run.scope for run in found}
        return bool(missing) or any(run.status == "RUNNING" for run in found)

    def executions(self, *, with_history: bool = True) -> list[Execution]:
        """Return the executions of the stack that were not stopped by hand."""
        return [
            self._describe(run["executionArn"], with_history=with_history)
            for machine in (self.resources["BuildLifecycle"], *self._more_machines)
            for run in self._list(machine)
            if run["status"] != "ABORTED"
        ]

    def rows(self) -> list[dict[str, Any]]:
        """Return the ledger's rows, as DynamoDB writes them."""
        pages = self.client("dynamodb").get_paginator("scan").paginate(TableName=self.resources["LedgerTable"])
        return [row for page in pages for row in page["Items"]]

    def row(self, ref: BuildRef) -> dict[str, Any]:
        """Return the row of one build."""
        (row,) = [row for row in self.rows() if row["build"]["S"] == str(ref)]
        return row

    def _list(self, state_machine: str) -> list[dict[str, Any]]:
        try:
            pages = self._states.get_paginator("list_executions").paginate(stateMachineArn=state_machine)
            return [dict(run) for page in pages for run in page["executions"]]
        except ClientError as exc:
            raise DeploymentError(f"the executions cannot be listed: {exc}") from exc

    def _describe(self, arn: str, *, with_history: bool) -> Execution:
        described = self._states.describe_execution(executionArn=arn)
        events: list[dict[str, Any]] = []
        if with_history:
            pages = self._states.get_paginator("get_execution_history").paginate(executionArn=arn)
            events = [dict(event) for page in pages for event in page["events"]]
        return Execution(
            arn=arn,
            name=described["name"],
            status=described["status"],
            error=f"{described.get('error', '')}: {described.get('cause', '')}",
            input=json.loads(described["input"]),
            output=json.loads(described.get("output", "{}")),
            events=events,
        )
