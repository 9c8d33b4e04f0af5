"""Plays the scenario through a deployed courier, with the faults of its engine."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from scripts.deployment.deployed_courier import DeployedCourier, DeploymentError, Execution
from scripts.deployment.scenario import (
    CASES,
    CONTINUED,
    EMPTY,
    ENDED_EARLIER,
    KILLED,
    LATE_BUILD,
    LATE_REPORT,
    MISSING_TABLE,
    PLAIN,
    SMALL,
    THROTTLED,
    UNKNOWN_SOURCE,
    Case,
)

COPY_FUNCTION = "CopyArtifactFunction"
# After these attempts the pauses of the state machine add up to 315 s: 5 + 10 + 20 + 40 + 80 + 160.
THROTTLED_ATTEMPTS = 7


class Faults(Protocol):
    """What an engine does to the copy while a context is open."""

    def little_time(self, courier: DeployedCourier) -> AbstractContextManager[None]:
        """Let invocations of the copy begin with little time."""

    def killed(self, courier: DeployedCourier, case: Case) -> AbstractContextManager[None]:
        """Kill the process of the copy of this build, once it has begun."""

    def throttled(self, courier: DeployedCourier, case: Case) -> AbstractContextManager[None]:
        """Throttle the copy of this build for the first `THROTTLED_ATTEMPTS`."""


def play(courier: DeployedCourier, faults: Faults, progress: Callable[[str], None]) -> dict[str, Execution]:
    """Run every case and return the executions by the names of their cases.

    Raises
    ------
    DeploymentError
        An execution does not end as its case says.
    """
    progress(f"{len(PLAIN)} builds from request to notice, one empty, one discovered")
    courier.request((*PLAIN, EMPTY))
    courier.discover()
    courier.finish((*PLAIN, EMPTY, ENDED_EARLIER))
    progress("a copy that needs a second invocation")
    courier.request([CONTINUED])
    with faults.little_time(courier):
        courier.finish([CONTINUED])
    progress("a copy whose process is killed")
    courier.request([KILLED])
    with faults.killed(courier, KILLED):
        courier.finish([KILLED])
    progress(f"a copy that is throttled for five minutes ({THROTTLED_ATTEMPTS} attempts)")
    courier.request([THROTTLED])
    with faults.throttled(courier, THROTTLED):
        courier.finish([THROTTLED])
    progress("both waits time out")
    late = (LATE_REPORT, LATE_BUILD)
    courier.request(late)
    courier.wait_until(lambda: courier.waiting(late), "the builds wait", polls=False)
    courier.time_out(late)
    progress("a source that is not configured, a table that is missing")
    by_scope = {execution.scope: execution for execution in courier.executions()}
    _start_copy(courier, UNKNOWN_SOURCE, by_scope[SMALL.scope])
    courier.finish([UNKNOWN_SOURCE], polls=False)
    table = courier.resources["LedgerTable"]
    courier.client("dynamodb").delete_table(TableName=table)
    _start_copy(courier, MISSING_TABLE, by_scope[SMALL.scope])
    courier.finish([MISSING_TABLE], polls=False)
    by_scope = {execution.scope: execution for execution in courier.executions()}
    played = {case.name: by_scope[case.scope] for case in CASES}
    _check(played, CASES)
    return played


def play_briefly(courier: DeployedCourier, faults: Faults) -> None:
    """Run one report, and one whose copy is throttled.

    Raises
    ------
    DeploymentError
        An execution does not end as its case says.
    """
    courier.request([SMALL])
    courier.finish([SMALL])
    courier.request([THROTTLED])
    with faults.throttled(courier, THROTTLED):
        courier.finish([THROTTLED])
    by_scope = {execution.scope: execution for execution in courier.executions()}
    _check({case.name: by_scope[case.scope] for case in (SMALL, THROTTLED)}, (SMALL, THROTTLED))


def _check(played: Mapping[str, Execution], cases: Iterable[Case]) -> None:
    if wrong := [line for case in cases for line in _faults(case, played[case.name])]:
        raise DeploymentError("\n".join(wrong))


def _start_copy(courier: DeployedCourier, case: Case, pattern: Execution) -> None:
    """Start an execution by hand, with the input of another one but for its build."""
    verdict = "fetch" if case is UNKNOWN_SOURCE else "wait"
    ref = {"source": case.name, "scope": case.scope, "build_id": case.name}
    build = pattern.input["build"] | {"ref": ref, "completed_at": "2026-01-05T08:00:00Z", "status": "succeeded"}
    courier.start(pattern.input | {"build": build, "verdict": verdict}, case.name)


def _faults(case: Case, execution: Execution) -> list[str]:
    found = []
    if execution.status != case.status:
        found.append(f"{case.name}: the execution is {execution.status} ({execution.error[:1000]}), not {case.status}")
    if execution.states != case.states:
        found.append(f"{case.name}: it entered {execution.states}, not {case.states}")
    if case.outcome and execution.output.get("outcome") != case.outcome:
        found.append(f"{case.name}: the outcome is {execution.output.get('outcome')}, not {case.outcome}")
    return found
