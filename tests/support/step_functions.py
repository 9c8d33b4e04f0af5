"""A fake Step Functions, with the exceptions of the real client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3

from courier.ledger import BuildLedger
from courier.ledger.table import Change, Table
from courier.models import Build, BuildRef, News, Passage
from tests.support.providers import NOON, REGION, passage_of

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient


@cache
def _step_functions() -> SFNClient:
    # Made once: it is the slowest part of a test, and only its exceptions are used.
    return boto3.client("stepfunctions", region_name=REGION)


class FakeStepFunctions:
    """Step Functions as far as the courier uses it, with the real client's exceptions.

    Executions do not run by themselves: `arrive` puts one into its waiting state, as the definition does.
    """

    def __init__(self, table: Table) -> None:
        self.exceptions = _step_functions().exceptions
        self._table = table
        self.executions: dict[str, str] = {}
        self.waiting: dict[str, str] = {}
        self.released: list[News] = []
        self.failures: list[Exception] = []
        self.before_release: Callable[[], None] = lambda: None

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> dict[str, Any]:  # noqa: A002, N803 - boto3's names
        if self.failures:
            raise self.failures.pop(0)
        if name in self.executions:
            raise self.exceptions.ExecutionAlreadyExists(
                {"Error": {"Code": "ExecutionAlreadyExists"}}, "StartExecution"
            )
        json.loads(input)
        self.executions[name] = input
        return {"executionArn": f"{stateMachineArn.replace(':stateMachine:', ':execution:')}:{name}"}

    def send_task_success(self, *, taskToken: str, output: str) -> None:  # noqa: N803 - boto3's name
        self.before_release()
        if self.failures:
            raise self.failures.pop(0)
        if taskToken not in self.waiting:
            raise self.exceptions.TaskTimedOut({"Error": {"Code": "TaskTimedOut"}}, "SendTaskSuccess")
        del self.waiting[taskToken]
        self.released.append(News.model_validate_json(output))

    def arrive(self, ref: BuildRef, token: str | None = None) -> str:
        """Write a task token into the build's row, as the waiting states do."""
        token = token or f"token-of-{ref.build_id}-{len(self.released)}"
        self.waiting[token] = str(ref)
        self._table.update(
            str(ref),
            Change(
                set={"task_token": token, "due_source": ref.source},
                keep={"next_poll_at": "2000-01-01T00:00:00.000Z"},
            ),
        )
        return token

    def passages(self) -> list[Passage]:
        return [Passage.model_validate_json(text) for text in self.executions.values()]


def start_waiting(
    builds: BuildLedger, stepfunctions: FakeStepFunctions, refs: Iterable[Build], *, due: datetime = NOON
) -> None:
    """Register builds, start their executions, and put these into their waiting state."""
    for build in refs:
        builds.register(passage_of(build), next_poll_at=due)
        builds.set_execution(build.ref, f"execution-of-{build.ref.build_id}", waits=True)
        stepfunctions.arrive(build.ref)
