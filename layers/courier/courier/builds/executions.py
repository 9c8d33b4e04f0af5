"""The execution of one build: started once, and released when the build has ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import ValidationError

from courier.errors import LedgerError
from courier.models import NextStep, Passage
from courier.object_keys import execution_name
from courier.observability.logger import logger

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_stepfunctions import SFNClient

    from courier.ledger import BuildLedger, BuildRow
    from courier.models import Act, News


class Executions:
    """Starts and releases executions of ``build_lifecycle``."""

    def __init__(self, state_machine: str, client: SFNClient, builds: BuildLedger) -> None:
        self._state_machine = state_machine
        self._client = client
        self._builds = builds

    def register_and_start(self, passage: Passage, *, next_poll_at: datetime, acts: Sequence[Act] = ()) -> bool:
        """Register a build and start its execution; return False for a build that is already registered.

        The row comes first: if this stops between the two, the row is found in flight without an
        execution, and `start_missing` starts the same one.
        """
        if not self._builds.register(passage, next_poll_at=next_poll_at, acts=acts):
            return False
        self.start(passage)
        return True

    def start(self, passage: Passage) -> None:
        """Start the execution of a build whose row holds this passage; harmless when repeated."""
        self._start(passage, passage.model_dump_json(exclude_none=True))

    def start_missing(self, row: BuildRow) -> bool:
        """Start the execution of a row that has none because its registration was interrupted.

        Return False when the build needs no poll: it had already ended when it was registered.
        """
        if row.execution is not None or row.outcome is not None or row.passage is None:
            return True
        try:
            passage = Passage.model_validate_json(row.passage)
        except ValidationError as exc:
            raise LedgerError(f"row {row.build} holds a passage that cannot be read") from exc
        logger.warning("execution missing, started now", build=row.build)
        self._start(passage, row.passage)
        return passage.verdict is NextStep.WAIT

    def release(self, token: str, payload: News) -> bool:
        """Complete the waiting state of an execution; return False when it no longer waits for this token."""
        gone = (
            self._client.exceptions.TaskTimedOut,
            self._client.exceptions.TaskDoesNotExist,
            self._client.exceptions.InvalidToken,
        )
        try:
            self._client.send_task_success(taskToken=token, output=payload.model_dump_json())
        except gone as exc:
            # Another invocation released it, or its own timeout did: either way the execution goes on.
            logger.info("execution was not waiting", reason=type(exc).__name__)
            return False
        return True

    def _start(self, passage: Passage, passage_json: str) -> None:
        name = execution_name(passage.build.ref, passage.attempt, passage.waits)
        try:
            execution = self._client.start_execution(
                stateMachineArn=self._state_machine, name=name, input=passage_json
            )["executionArn"]
        except self._client.exceptions.ExecutionAlreadyExists:
            execution = f"{self._state_machine.replace(':stateMachine:', ':execution:')}:{name}"
        self._builds.set_execution(passage.build.ref, execution, waits=passage.verdict is NextStep.WAIT)
