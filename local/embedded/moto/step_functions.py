"""Patches and reads of the internals of moto 5.2.5, with `integrations` and `jsonata` the only such code.

moto is pinned because private names are used. Each patch names the upstream issue that would end it.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from antlr4 import ParserRuleContext  # type: ignore[import-untyped]  # it comes with moto, without types
from moto import backends as moto_backends
from moto.cloudformation.models import Stack
from moto.core.config import default_user_config
from moto.core.exceptions import AWSError
from moto.moto_api._internal.models import moto_api_backend
from moto.stepfunctions.models import Execution as PlainExecution
from moto.stepfunctions.models import stepfunctions_backends
from moto.stepfunctions.parser.api import ExecutionStatus, HistoryEventType
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.eval_component import EvalComponent
from moto.stepfunctions.parser.asl.jsonata import jsonata as moto_jsonata
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.parse.preprocessor import Preprocessor
from moto.stepfunctions.parser.backend.execution import Execution
from moto.stepfunctions.parser.models import StepFunctionsParserBackend, stepfunctions_parser_backends
from moto.stepfunctions.parser.utils import TMP_THREADS

from local.embedded.moto.attribute_values import attribute_values_patched
from local.embedded.moto.integrations import integrations_patched
from local.embedded.moto.jsonata import evaluate_jsonata
from local.sam.intrinsics import StackLocation

# The access key with which moto's interpreter signs its calls (its `boto_client_for`).
INTERPRETER_ACCESS_KEY = "ak"

# RedriveExecution, API reference: "unsuccessful executions ... failed, timed out, or aborted".
_REDRIVABLE = {ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT, ExecutionStatus.ABORTED}

_RUNNING = ExecutionStatus.RUNNING

# The time that the threads of stopped executions get; they only have to return from a wait.
_STOP_SECONDS = 20
_STOP_CHECK_SECONDS = 0.02

# The attribute of a redriven execution that holds its earlier history.
_EARLIER_HISTORY = "history_before_redrive"

# A state machine of the interpreter holds only the second kind; moto annotates the first.
AnyExecution = PlainExecution | Execution


class MotoError(Exception):
    """moto did not behave as this version is known to."""


@dataclass(frozen=True)
class CreatedStateMachine:
    """A state machine as moto's CloudFormation created it: a name and a definition that nothing executes."""

    name: str
    arn: str
    definition: str
    role_arn: str


@dataclass(frozen=True)
class RawExecution:
    """One execution: the responses of DescribeExecution and GetExecutionHistory, with instants in ISO format."""

    description: dict[str, Any]
    history: list[dict[str, Any]]


@contextmanager
def moto_patched(pause: Callable[[float], object]) -> Iterator[None]:
    """Run moto with its Step Functions interpreter and all patches, without state of an earlier run.

    Parameters
    ----------
    pause
        Waits before a Retry, in seconds of the definition.
    """
    moto_api_backend.reset()
    logger = logging.getLogger("moto")
    level = logger.level
    # moto logs every failing state, also retried and caught ones; the executions' histories are more precise.
    logger.setLevel(logging.CRITICAL)
    try:
        with (
            patch.dict(default_user_config, {"stepfunctions": {"execute_state_machine": True}}),
            # moto reads its own folder twice for each request, a fifth of the time of a request. The index of
            # https://github.com/getmoto/moto/pull/4209 does not cover this lookup; no other upstream issue found
            # (searched getmoto/moto, 2026-11).
            patch.object(moto_backends, "list_of_moto_modules", tuple(moto_backends.list_of_moto_modules()).__iter__),
            patch.object(moto_jsonata, "_eval_jsonata", evaluate_jsonata),
            # moto sleeps before a Retry, uninterruptibly and at full length.
            # No upstream issue found (searched getmoto/moto, 2026-11).
            patch.object(retrier_decl, "time", SimpleNamespace(sleep=pause)),
            integrations_patched(),
            attribute_values_patched(),
            # moto reads every template as YAML, which takes a hundred times as long as JSON.
            # No upstream issue found (searched getmoto/moto, 2026-11).
            patch.object(Stack, "parse_template", staticmethod(json.loads)),
            patch.object(AmazonStateLanguageParser, "parse", _parser_with_cache()),
            patch.multiple(StepFunctionsParserBackend, **_patched_methods()),
        ):
            yield
    finally:
        logger.setLevel(level)
        moto_api_backend.reset()


def _parser_with_cache() -> Callable[[str], tuple[EvalComponent, ParserRuleContext]]:
    """Return a parser that caches the syntax trees; moto parses the definition for each execution.

    No upstream issue found (searched getmoto/moto, 2026-11).
    """
    parse = AmazonStateLanguageParser.parse
    trees: dict[str, ParserRuleContext] = {}

    def parse_once(definition: str) -> tuple[EvalComponent, ParserRuleContext]:
        if definition not in trees:
            program, trees[definition] = parse(definition)
            return program, trees[definition]
        # The program is created anew: its states hold their execution.
        return Preprocessor().visit(trees[definition]), trees[definition]

    return staticmethod(parse_once)


def _patched_methods() -> dict[str, Any]:
    """Return replacements for methods of moto's interpreter that fail, or differ from AWS, under concurrency.

    https://github.com/getmoto/moto/pull/9500 made start_execution idempotent, but not thread-safe. For the others no
    upstream issue was found (searched getmoto/moto, 2026-11).
    """
    lock = threading.Lock()
    list_executions = StepFunctionsParserBackend._get_executions  # noqa: SLF001
    start_execution = StepFunctionsParserBackend.start_execution

    def list_started(backend: StepFunctionsParserBackend, status: ExecutionStatus | None = None) -> list[Execution]:
        # An execution that still parses its definition has no environment, on which moto's SendTask* would fail.
        return [execution for execution in list_executions(backend, status) if _environment(execution) is not None]

    def start_one(backend: StepFunctionsParserBackend, *args: Any, **kwargs: Any) -> Execution:  # noqa: ANN401
        # moto checks the name first and reserves it later; two threads would both get it.
        with lock:
            return start_execution(backend, *args, **kwargs)

    def at_most_once(send: Callable[..., Any]) -> Callable[..., Any]:
        def send_once(backend: StepFunctionsParserBackend, task_token: str, *args: Any, **kwargs: Any) -> object:  # noqa: ANN401
            # AWS accepts a token once; moto accepts it until the execution ends, and does not know it afterwards.
            with lock:
                for execution in list_started(backend):
                    endpoint = _environment(execution).callback_pool_manager.get(task_token)
                    if endpoint is not None and endpoint._notify_event.is_set():  # noqa: SLF001
                        raise AWSError("Task Timed Out: 'Provided task does not exist anymore'", "TaskTimedOut")
                return send(backend, task_token, *args, **kwargs)

        return send_once

    return {
        "_get_executions": list_started,
        "start_execution": start_one,
        "send_task_success": at_most_once(StepFunctionsParserBackend.send_task_success),
        "send_task_failure": at_most_once(StepFunctionsParserBackend.send_task_failure),
    }


def created_state_machine(location: StackLocation, arn: str) -> CreatedStateMachine:
    """Return a state machine that a stack has created.

    Raises
    ------
    MotoError
        It does not exist.
    """
    for machine in stepfunctions_backends[location.account][location.region].state_machines:
        if machine.arn == arn:
            return CreatedStateMachine(machine.name, machine.arn, machine.definition, machine.roleArn)
    raise MotoError(f"the stack has no state machine {arn}")


def raw_executions(location: StackLocation) -> list[RawExecution]:
    """Return all executions of all state machines, oldest first."""
    backend = stepfunctions_parser_backends[location.account][location.region]
    runs = []
    for execution in backend._get_executions():  # noqa: SLF001
        described = execution.to_describe_output()
        history = json.loads(json.dumps(execution.to_history_output()["events"], default=_instant))
        history = [*getattr(execution, _EARLIER_HISTORY, []), *history]
        runs.append(RawExecution(description=json.loads(json.dumps(described, default=_instant)), history=history))
    return sorted(runs, key=lambda run: str(run.description["startDate"]))


def redrive(location: StackLocation, arn: str) -> None:
    """Resume a failed execution at the state that failed, as RedriveExecution does.

    moto has no RedriveExecution; no upstream issue found (searched getmoto/moto, 2026-11).

    The execution keeps its name and its ARN, and the state gets the same input. Differences from AWS: the history shows
    the state as entered again, with a new ``EnteredTime``, and an execution that failed inside a Map or Parallel state
    cannot be redriven.

    Raises
    ------
    MotoError
        There is no such execution, or it has not failed.
    """
    backend = stepfunctions_parser_backends[location.account][location.region]
    for machine in backend.state_machines:
        # A machine of the interpreter holds its own kind of execution; moto annotates the other.
        executions: list[Any] = list(machine.executions)
        for run in executions:
            if run.execution_arn == arn:
                if run.exec_status not in _REDRIVABLE:
                    raise MotoError(f"{run.name} is {run.exec_status}, so it cannot be redriven")
                _restart(backend, machine, run)
                return
    raise MotoError(f"there is no execution {arn}")


def _restart(backend: StepFunctionsParserBackend, machine: Any, failed: Execution) -> None:  # noqa: ANN401  # moto's, untyped
    history = json.loads(json.dumps(failed.to_history_output()["events"], default=_instant))
    entered = [event["stateEnteredEventDetails"] for event in history if event["type"].endswith("StateEntered")]
    if not entered:
        raise MotoError(f"{failed.name} failed before it entered a state")
    whole = machine.definition
    machine.executions.remove(failed)
    # moto takes a snapshot of the definition when it starts an execution.
    machine.definition = json.dumps({**json.loads(whole), "StartAt": entered[-1]["name"]})
    try:
        again = backend.start_execution(machine.arn, name=failed.name, execution_input=entered[-1]["input"])
    finally:
        machine.definition = whole
    redriven = {"type": "ExecutionRedriven", "executionRedrivenEventDetails": {}}
    setattr(again, _EARLIER_HISTORY, [*getattr(failed, _EARLIER_HISTORY, []), *history, redriven])


def running_executions(location: StackLocation) -> int:
    """Count the executions that have not ended."""
    return len(_running(location))


def failed_executions(location: StackLocation) -> list[str]:
    """Return the ARNs of the executions that have failed and were not redriven."""
    return [each.execution_arn for each in _executions(location) if each.exec_status is ExecutionStatus.FAILED]


def working_executions(location: StackLocation) -> int:
    """Count the executions that have not ended and do not wait for a task token."""
    return sum(not _waits_for_token(execution) for execution in _running(location))


def more_are_working(location: StackLocation, number: int) -> bool:
    """Return whether more than ``number`` executions are active; checks no more of them than necessary."""
    working = (each for each in _running(location) if not _waits_for_token(each))
    return next(islice(working, number, None), None) is not None


def _running(location: StackLocation) -> list[AnyExecution]:
    """Return the executions that have not ended; one that was just created has no status for a moment."""
    return [each for each in _executions(location) if each.exec_status is None or each.exec_status is _RUNNING]


def _executions(location: StackLocation) -> list[Any]:
    machines = stepfunctions_parser_backends[location.account][location.region].state_machines
    return [execution for machine in machines for execution in list(machine.executions)]


def _waits_for_token(execution: AnyExecution) -> bool:
    environment = _environment(execution)
    if environment is None:
        return False
    history = environment.event_manager._history_event_list  # noqa: SLF001
    handed_out = bool(history) and history[-1]["type"] == HistoryEventType.TaskSubmitted
    # A returned token wakes a thread that has not written anything yet.
    pool = list(environment.callback_pool_manager._pool.values())  # noqa: SLF001
    return handed_out and any(not endpoint._notify_event.is_set() for endpoint in pool)  # noqa: SLF001


def stop_executions(location: StackLocation) -> None:
    """Abort the running executions, and wait until none of the interpreter's threads is left.

    Raises
    ------
    MotoError
        A thread does not end.
    """
    backend = stepfunctions_parser_backends[location.account][location.region]
    for _ in range(int(_STOP_SECONDS / _STOP_CHECK_SECONDS)):
        for execution in backend._get_executions(ExecutionStatus.RUNNING):  # noqa: SLF001
            _stop(execution)
        alive = [thread for thread in TMP_THREADS if thread.is_alive()]
        if not alive:
            TMP_THREADS.clear()
            return
        alive[0].join(_STOP_CHECK_SECONDS)
    raise MotoError(f"{len(alive)} threads of executions did not end: {_names(alive)}")


def forget_executions(location: StackLocation) -> None:
    """Forget all executions, which must have ended."""
    for machine in stepfunctions_parser_backends[location.account][location.region].state_machines:
        machine.executions.clear()


def _instant(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    raise TypeError(f"{type(value).__name__} in the description of an execution")


def _stop(execution: Execution) -> None:
    environment = _environment(execution)
    environment.set_stop(stop_date=datetime.now(UTC), cause="the embedded AWS stops", error=None)
    for endpoint in list(environment.callback_pool_manager._pool.values()):  # noqa: SLF001
        endpoint.interrupt_all()


def _environment(execution: AnyExecution) -> Any:  # noqa: ANN401  # moto's, untyped
    worker = execution.exec_worker if isinstance(execution, Execution) else None
    return worker.env if worker else None


def _names(threads: list[threading.Thread]) -> str:
    return ", ".join(sorted({thread.name for thread in threads}))
