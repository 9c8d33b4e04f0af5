"""Checks of the state machine's service integrations against botocore's models.

No linter knows the actions and parameters of ``aws-sdk`` integrations, nor whether a state that
waits for its task token passes the token on.
"""

import functools
import json
import re
from collections.abc import Iterator
from typing import Any

import botocore.session
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StringShape, StructureShape

from scripts.checks.checkout import Checkout, CheckResult, Definition, states_of

# arn:…:states:::[aws-sdk:]service:action[.pattern], in a definition whose placeholders are filled.
_INTEGRATION = re.compile(r"arn:[a-z-]+:states:::(aws-sdk:)?([A-Za-z0-9]+):([A-Za-z0-9]+)(?:\.(\w+(?::\d+)?))?")
_FUNCTION = re.compile(r"arn:[a-z-]+:lambda:[a-z0-9-]+:\d{12}:function:([A-Za-z0-9_-]+)")
_TOKEN = "$states.context.Task.Token"  # noqa: S105 - the path of the token, not a token

# Services that Step Functions and botocore name differently ("AWS SDK service integrations", developer guide).
_SDK_NAMES = {"cloudwatchlogs": "logs", "eventbridge": "events", "sfn": "stepfunctions"}

# Optimised integrations and their actions and patterns ("Integrating services", developer guide), a selection.
_OPTIMISED: dict[str, tuple[str, set[str], set[str | None]]] = {
    "dynamodb": ("dynamodb", {"getItem", "putItem", "updateItem", "deleteItem"}, {None}),
    "events": ("events", {"putEvents"}, {None, "waitForTaskToken"}),
    "lambda": ("lambda", {"invoke"}, {None, "waitForTaskToken"}),
    "sns": ("sns", {"publish"}, {None, "waitForTaskToken"}),
    "sqs": ("sqs", {"sendMessage"}, {None, "waitForTaskToken"}),
    "states": ("stepfunctions", {"startExecution"}, {None, "sync", "sync:2", "waitForTaskToken"}),
}

# Prefixes of a service's errors, which differ between the two kinds of integration.
_SDK_PREFIXES = {"dynamodb": "DynamoDb", "events": "EventBridge", "s3": "S3", "sns": "Sns", "stepfunctions": "Sfn"}
_OPTIMISED_PREFIXES = {"dynamodb": "DynamoDB", "sns": "SNS", "sqs": "SQS", "stepfunctions": "StepFunctions"}

# Errors that can end any integration ("Error handling in Step Functions", developer guide).
_STATES_ERRORS = {
    "States.ALL",
    "States.DataLimitExceeded",
    "States.HeartbeatTimeout",
    "States.Http.Socket",
    "States.Permissions",
    "States.QueryEvaluationError",
    "States.Runtime",
    "States.TaskFailed",
    "States.Timeout",
}
_LAMBDA_ERRORS = {
    "Lambda.AWSLambdaException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.ServiceException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "Lambda.Unknown",
    "Sandbox.Timedout",
}


def integrations(checkout: Checkout) -> CheckResult:
    """Check every Task of the state machine."""
    tasks = tasks_of(checkout.filled_definition())
    findings = [f"{name}: {finding}" for name, task in tasks.items() for finding in check_task(task)]
    return CheckResult(
        check="integrations", checked=f"{len(tasks)} tasks against botocore's models", findings=tuple(findings)
    )


def tasks_of(definition: Definition) -> dict[str, Definition]:
    """Return the Task states by name."""
    return {name: state for name, state in states_of(definition).items() if state.get("Type") == "Task"}


def check_task(task: Definition) -> Iterator[str]:
    """Yield the findings about one Task of a filled definition."""
    yield from _check_times(task)
    resource = str(task.get("Resource", ""))
    if _FUNCTION.fullmatch(resource):
        yield from _check_errors(task, _LAMBDA_ERRORS)
        return
    match = _INTEGRATION.fullmatch(resource)
    if match is None:
        yield f"{resource!r} is neither a function nor a service integration"
        return
    sdk, service, action, pattern = match.groups()
    if pattern == "waitForTaskToken":
        yield from _check_token(task)
    if sdk:
        if pattern not in (None, "waitForTaskToken"):
            yield f"aws-sdk integrations have no pattern {pattern!r}"
        service = _SDK_NAMES.get(service, service)
    else:
        if service not in _OPTIMISED:
            yield f"no optimised integration {service!r} is known here"
            return
        service, actions, patterns = _OPTIMISED[service]
        if action not in actions:
            yield f"the optimised integration of {service} has no action {action!r}"
            return
        if pattern not in patterns:
            yield f"{service}:{action} has no pattern {pattern!r}"
    yield from _check_call(service, action, task, sdk=bool(sdk))


def _check_call(service: str, action: str, task: Definition, *, sdk: bool) -> Iterator[str]:
    model = _model(service)
    if model is None:
        yield f"AWS has no service {service!r}"
        return
    operation = _pascal(action)
    if not action[0].islower() or operation not in model.operation_names:
        yield f"{service} has no action {action!r}"
        return
    shape = model.operation_model(operation).input_shape
    if shape is not None:
        yield from _check_value(shape, task.get("Arguments", {}), where=action)
    yield from _check_errors(task, _service_errors(model, operation, sdk=sdk))


def _service_errors(model: ServiceModel, operation: str, *, sdk: bool) -> set[str]:
    prefix = (_SDK_PREFIXES if sdk else _OPTIMISED_PREFIXES).get(model.service_name)
    if prefix is None:
        return set()
    # Step Functions passes on the names of the SDK for Java.
    modelled = {error.name.removesuffix("Exception") for error in model.operation_model(operation).error_shapes}
    return {f"{prefix}.{name}Exception" for name in modelled | {"SdkClient", prefix}}


def named_errors(task: Definition) -> Iterator[tuple[str, str]]:
    """Yield each error name of a Task, and whether ``Retry`` or ``Catch`` lists it."""
    for part in ("Retry", "Catch"):
        for rule in task.get(part, []):
            for name in rule.get("ErrorEquals", []):
                yield part, name


def _check_errors(task: Definition, known: set[str]) -> Iterator[str]:
    # Names without a dot are our own exception classes, which the house rules check.
    for part, name in named_errors(task):
        if "." in name and name not in known | _STATES_ERRORS:
            yield f"{part} names {name!r}, which cannot end this Task"


def _check_times(task: Definition) -> Iterator[str]:
    timeout, heartbeat = task.get("TimeoutSeconds"), task.get("HeartbeatSeconds")
    if isinstance(timeout, int) and isinstance(heartbeat, int) and heartbeat > timeout:
        yield f"HeartbeatSeconds {heartbeat} is longer than TimeoutSeconds {timeout}"


def _check_token(task: Definition) -> Iterator[str]:
    if _TOKEN not in json.dumps(task.get("Arguments", {})):
        yield f"it waits for its task token and never passes it on ({_TOKEN})"
    if "TimeoutSeconds" not in task:
        yield "it waits for its task token without TimeoutSeconds, so for up to a year"


def _check_value(shape: Shape, value: Any, *, where: str) -> Iterator[str]:  # noqa: ANN401 - any JSON
    if isinstance(value, str) and value.startswith("{%"):
        return
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        yield from _check_members(shape, value, where=where)
    elif isinstance(shape, MapShape) and isinstance(value, dict):
        for name, item in value.items():
            yield from _check_value(shape.value, item, where=f"{where}.{name}")
    elif isinstance(shape, ListShape) and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _check_value(shape.member, item, where=f"{where}[{index}]")
    elif isinstance(shape, StringShape):
        # Step Functions serializes an object to JSON where the API expects a string.
        if isinstance(value, str) and shape.enum and value not in shape.enum:
            yield f"{where} must be one of {', '.join(shape.enum)}"
    elif isinstance(value, dict | list) or isinstance(shape, StructureShape | MapShape | ListShape):
        yield f"{where} must be a {shape.type_name}"


def _check_members(shape: StructureShape, value: dict[str, Any], *, where: str) -> Iterator[str]:
    # Step Functions writes every parameter in PascalCase, regardless of the API.
    members = {_pascal(name): member for name, member in shape.members.items()}
    for name in sorted(value.keys() - members.keys()):
        yield f"{where} has no parameter {name!r}"
    for name in shape.required_members:
        if _pascal(name) not in value:
            yield f"{where} needs the parameter {_pascal(name)!r}"
    for name in sorted(value.keys() & members.keys()):
        yield from _check_value(members[name], value[name], where=f"{where}.{name}")


def _pascal(name: str) -> str:
    return name[0].upper() + name[1:]


@functools.cache
def _model(service: str) -> ServiceModel | None:
    session = botocore.session.Session()
    if service not in session.get_available_services():
        return None
    return session.get_service_model(service)
