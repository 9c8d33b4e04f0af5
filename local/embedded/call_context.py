"""The caller of an AWS call: carried from the function's thread through botocore to the embedded AWS.

On AWS every function runs in its own process; here all share one, so the running invocation is a context variable.
Threads that a function starts inherit it, as Python itself does from 3.14 on.
"""

import contextvars
import functools
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from unittest.mock import patch

from botocore import handlers
from botocore.awsrequest import AWSRequest

from local.embedded.interception import UNKNOWN_CALLER, AwsCall, Invocation

CALL_HEADER = "X-Embedded-Call"

# Services whose name in botocore differs from that in IAM.
_IAM_PREFIXES = {"sfn": "states", "secrets-manager": "secretsmanager", "cloudwatch-logs": "logs"}

# The parameters that name the resource of a call; the first one present counts.
_RESOURCE_PARAMETERS = (
    "TableName",
    "TopicArn",
    "QueueUrl",
    "SecretId",
    "Path",
    "Name",
    "FunctionName",
    "stateMachineArn",
    "executionArn",
    "StackName",
    "Namespace",
)

_PARAMETERS_KEY = "embedded_aws_resource"


class FunctionKilledError(BaseException):
    """The function's process is gone. Not an Exception, so that no except clause of a handler catches it."""


class FunctionRun:
    """One run of a function, as its AWS calls see it; another thread may kill it."""

    def __init__(self, invocation: Invocation) -> None:
        self.invocation = invocation
        self.killed_by: str | None = None

    def check(self) -> None:
        """Raise in the calling thread if the run was killed."""
        if self.killed_by is not None:
            raise FunctionKilledError(self.killed_by)


current_run: contextvars.ContextVar[FunctionRun | None] = contextvars.ContextVar("current_run", default=None)


class CallTracker:
    """Records which run makes which AWS call, while it is `installed`."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._pending: dict[str, tuple[AwsCall, FunctionRun | None]] = {}

    def take(self, number: str | None) -> tuple[AwsCall, FunctionRun | None] | None:
        """Return the call that a request's header names, once; None for a request that botocore did not make."""
        return self._pending.pop(number, None) if number else None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Add hooks to every botocore session created from now on, and pass the current run to new threads."""
        hooks = (
            ("provide-client-params", _remember_resource),
            ("request-created", self._record_call),
            ("before-send", _stop_if_killed),
            ("response-received", _stop_if_killed),
        )
        # The only hook of botocore that reaches sessions which other code creates.
        handlers.BUILTIN_HANDLERS.extend(hooks)
        try:
            with patch.object(threading.Thread, "start", _inheriting_context(threading.Thread.start)):
                yield
        finally:
            for hook in hooks:
                handlers.BUILTIN_HANDLERS.remove(hook)

    def _record_call(self, request: AWSRequest, operation_name: str, event_name: str, **_: object) -> None:
        run = current_run.get()
        service = event_name.split(".")[1]
        call = AwsCall(
            caller=run.invocation.function if run else UNKNOWN_CALLER,
            action=f"{_IAM_PREFIXES.get(service, service)}:{operation_name}",
            resource=request.context.get(_PARAMETERS_KEY, "*"),
            invocation=run.invocation if run else None,
        )
        number = str(next(self._numbers))
        self._pending[number] = (call, run)
        request.headers[CALL_HEADER] = number


def resource_of(parameters: Mapping[str, object]) -> str:
    """Return the resource that a call with these parameters works on."""
    if "Bucket" in parameters:
        return "/".join(str(parameters[name]) for name in ("Bucket", "Key") if name in parameters)
    for name in _RESOURCE_PARAMETERS:
        if name in parameters:
            index = f"/index/{parameters['IndexName']}" if "IndexName" in parameters else ""
            return f"{parameters[name]}{index}"
    tables = parameters.get("RequestItems")
    return ",".join(sorted(tables)) if isinstance(tables, dict) else "*"


def _remember_resource(params: Mapping[str, object], context: dict[str, object], **_: object) -> None:
    context[_PARAMETERS_KEY] = resource_of(params)


def _stop_if_killed(**_: object) -> None:
    run = current_run.get()
    if run is not None:
        run.check()


def _inheriting_context(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    def inherit_and_start(thread: threading.Thread) -> None:
        if current_run.get() is not None:
            inherited = functools.partial(contextvars.copy_context().run, thread.run)
            thread.run = inherited  # type: ignore[method-assign]  # this thread's own, not the class's
        start(thread)

    return inherit_and_start
