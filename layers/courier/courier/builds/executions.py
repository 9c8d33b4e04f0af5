"""The life of one build as an execution: begin it once, and release it when the build has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from courier.errors import LedgerError
from courier.models import Passage, Verdict
from courier.object_keys import execution_name
from courier.observability.logger import logger

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_stepfunctions import SFNClient

    from courier.ledger import BuildLedger, BuildRow
    from courier.models import News


class Lifecycle:
    """Starts and releases executions of ``build_lifecycle``."""

    def __init__(self, state_machine: str, client: SFNClient, builds: BuildLedger) -> None:
        self._state_machine = state_machine
        self._client = client
        self._builds = builds

    def begin(self, passage: Passage, *, next_poll_at: datetime) -> bool:
        """Register a build and start its execution; False when it was known already.

        The row comes first: if this stops between the two, the row is found in flight without an
        execution, and `resume` starts the same one.
        """
        if not self._builds.register(passage, next_poll_at=next_poll_at):
            return False
        self._start(passage, passage.model_dump_json(exclude_none=True))
        return True

    def resume(self, row: BuildRow) -> bool:
        """Start the execution of a row that has none: whoever registered it did not get that far.

        False when the build needs no look: its end was known when it was registered.
        """
        if row.execution is not None or row.outcome is not None or row.passage is None:
            return True
        try:
            passage = Passage.model_validate_json(row.passage)
        except ValidationError as exc:
            raise LedgerError(f"row {row.build} holds a passage that cannot be read") from exc
        logger.warning("execution missing, started now", build=row.build)
        self._start(passage, row.passage)
        return passage.verdict is Verdict.WAIT

    def release(self, token: str, news: News) -> bool:
        """Let a waiting execution go on; False when it does not wait for this token any more."""
        gone = (
            self._client.exceptions.TaskTimedOut,
            self._client.exceptions.TaskDoesNotExist,
            self._client.exceptions.InvalidToken,
        )
        try:
            self._client.send_task_success(taskToken=token, output=news.model_dump_json())
        except gone as exc:
            # Somebody else released it, or its own time was up: either way it is on its way.
            logger.info("execution was not waiting", reason=type(exc).__name__)
            return False
        return True

    def _start(self, passage: Passage, passage_json: str) -> None:
        name = execution_name(passage.build.ref)
        try:
            execution = self._client.start_execution(
                stateMachineArn=self._state_machine, name=name, input=passage_json
            )["executionArn"]
        except self._client.exceptions.ExecutionAlreadyExists:
            execution = f"{self._state_machine.replace(':stateMachine:', ':execution:')}:{name}"
        self._builds.note_execution(passage.build.ref, execution, waits=passage.verdict is Verdict.WAIT)
