"""Rules about the definition of the state machine."""
# ruff: noqa: D401 - the first lines state the rules

import json
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from scripts.checks.checkout import Checkout, Definition, states_of
from scripts.checks.integrations import tasks_of

# Amazon States Language: more attempts than this are a loop without an end.
LARGEST_MAX_ATTEMPTS = 99
# "Handle Lambda service exceptions", Step Functions developer guide.
THROTTLED = "Lambda.TooManyRequestsException"
LEAST_PATIENCE_SECONDS = 4 * 3600


def tasks_have_timeouts_and_retries(checkout: Checkout) -> Iterator[str]:
    """Every Task has a timeout, and retries transient errors."""
    for name, task in tasks_of(checkout.definition).items():
        if not {"TimeoutSeconds", "TimeoutSecondsPath"} & task.keys():
            yield f"{name} has no TimeoutSeconds"
        if not task.get("Retry"):
            yield f"{name} has no Retry"
        for rule in task.get("Retry", []):
            if rule.get("MaxAttempts", 3) > LARGEST_MAX_ATTEMPTS:
                yield f"{name} retries more than {LARGEST_MAX_ATTEMPTS} times"


def throttling_is_waited_out(checkout: Checkout) -> Iterator[str]:
    """A function that is throttled is retried for hours: a new account has ten concurrent executions."""
    for name, task in tasks_of(checkout.filled_definition()).items():
        if ":function:" not in str(task["Resource"]) and "Function" not in str(task["Resource"]):
            continue
        patience = [
            rule.get("MaxAttempts", 3) * rule.get("MaxDelaySeconds", 0)
            for rule in task.get("Retry", [])
            if THROTTLED in rule["ErrorEquals"]
        ]
        if not patience or patience[0] < LEAST_PATIENCE_SECONDS:
            yield f"{name} gives up a throttled function within {LEAST_PATIENCE_SECONDS // 3600} hours"


def choices_have_defaults(checkout: Checkout) -> Iterator[str]:
    """An unexpected value does not fail a Choice: each one has a default."""
    for name, state in states_of(checkout.definition).items():
        if state.get("Type") == "Choice" and "Default" not in state:
            yield f"{name} has no Default"


def states_do_not_loop(checkout: Checkout) -> Iterator[str]:
    """No state is entered twice, so the cost of an execution is known."""
    graph = {name: set(_followers(state)) for name, state in states_of(checkout.definition).items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        yield f"states follow each other in a circle: {' -> '.join(exc.args[1])}"


def substitutions_match(checkout: Checkout) -> Iterator[str]:
    """The template substitutes exactly the placeholders that the definition uses."""
    used = set(re.findall(r"\$\{(\w+)\}", json.dumps(checkout.definition)))
    for name in sorted(used - checkout.substitutions.keys()):
        yield f"the definition uses ${{{name}}}, which the template does not fill in"
    for name in sorted(checkout.substitutions.keys() - used):
        yield f"the template fills in {name}, which the definition does not use"


def tasks_outlast_their_functions(checkout: Checkout) -> Iterator[str]:
    """A Task waits longer than its function runs; otherwise a retry would run beside the first invocation."""
    functions = {
        logical_id: resource["Properties"].get("Timeout", 3)
        for logical_id, resource in checkout.defaults["Resources"].items()
        if resource["Type"] == "AWS::Lambda::Function"
    }
    for name, task in tasks_of(checkout.filled_definition()).items():
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
