"""Rules of the state machine's definition."""
# ruff: noqa: D401 - the first lines state the rules

import json
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from scripts.judges.case import Case, Definition, states_of
from scripts.judges.integrations import tasks_of

# Amazon States Language: more attempts than this are a loop without an end.
LARGEST_MAX_ATTEMPTS = 99


def tasks_have_timeouts_and_retries(case: Case) -> Iterator[str]:
    """Every Task ends by itself, and a passing trouble does not end it."""
    for name, task in tasks_of(case.definition).items():
        if not {"TimeoutSeconds", "TimeoutSecondsPath"} & task.keys():
            yield f"{name} has no TimeoutSeconds"
        if not task.get("Retry"):
            yield f"{name} has no Retry"
        for rule in task.get("Retry", []):
            if rule.get("MaxAttempts", 3) > LARGEST_MAX_ATTEMPTS:
                yield f"{name} retries more than {LARGEST_MAX_ATTEMPTS} times"


def choices_have_defaults(case: Case) -> Iterator[str]:
    """No Choice ends an execution because nobody thought of a value."""
    for name, state in states_of(case.definition).items():
        if state.get("Type") == "Choice" and "Default" not in state:
            yield f"{name} has no Default"


def states_do_not_loop(case: Case) -> Iterator[str]:
    """No state is entered twice, so the price of an execution is known."""
    graph = {name: set(_followers(state)) for name, state in states_of(case.definition).items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        yield f"states follow each other in a circle: {' -> '.join(exc.args[1])}"


def substitutions_match(case: Case) -> Iterator[str]:
    """What the template fills in is used, and what the definition uses is filled in."""
    used = set(re.findall(r"\$\{(\w+)\}", json.dumps(case.definition)))
    for name in sorted(used - case.substitutions.keys()):
        yield f"the definition uses ${{{name}}}, which the template does not fill in"
    for name in sorted(case.substitutions.keys() - used):
        yield f"the template fills in {name}, which the definition does not use"


def tasks_outlast_their_functions(case: Case) -> Iterator[str]:
    """A Task that gives up before its function does leaves a second invocation beside the first."""
    functions = {
        logical_id: resource["Properties"].get("Timeout", 3)
        for logical_id, resource in case.plain["Resources"].items()
        if resource["Type"] == "AWS::Lambda::Function"
    }
    for name, task in tasks_of(case.filled_definition()).items():
        function = str(task["Resource"]).rpartition(":function:")[2]
        limit = functions.get(function)
        if limit is not None and not task.get("TimeoutSeconds", 0) > limit:
            yield f"{name} must have more TimeoutSeconds than the {limit} of {function}"


def _followers(state: Definition) -> Iterator[str]:
    for holder in [state, *state.get("Choices", []), *state.get("Catch", [])]:
        if "Next" in holder:
            yield holder["Next"]
    if "Default" in state:
        yield state["Default"]
