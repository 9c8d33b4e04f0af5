"""Lambda's part of the embedded AWS: the functions of the checkout, called in this process.

Differences from Lambda: all runs share one process and one environment, and a run that exceeds its timeout is not
ended.
"""

import importlib.util
import json
import os
import threading
import time
import traceback
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from unittest.mock import patch

from local.embedded.call_context import FunctionKilledError, FunctionRun, current_run
from local.embedded.function_spec import FunctionSpec
from local.embedded.interception import DeliverTwice, Discard, DropResponse, Interception, Invocation, Throttle
from local.embedded.log_capture import LogCapture
from local.embedded.sandbox_env import OWN_VARIABLES
from local.sam.intrinsics import TemplateError

Handler = Callable[[object, "LambdaContext"], object]


class ThrottledError(Exception):
    """Lambda has no capacity for this invocation."""


class DiscardedError(ThrottledError):
    """Lambda has discarded the event of this invocation."""


class LostResponseError(Exception):
    """The run ended, and its caller gets no response."""


@dataclass(frozen=True, kw_only=True)
class LambdaContext:
    """Lambda's context object, with what handlers and Powertools read."""

    function_name: str
    function_version: str
    invoked_function_arn: str
    memory_limit_in_mb: int
    aws_request_id: str
    log_group_name: str
    log_stream_name: str
    remaining_seconds: Callable[[], float] = field(repr=False)
    identity: None = None
    client_context: None = None

    def get_remaining_time_in_millis(self) -> int:
        """Return the time until Lambda would end this run."""
        return max(0, int(self.remaining_seconds() * 1000))


@dataclass(frozen=True)
class InvocationResult:
    """The outcome of a run: its result or Lambda's error document, as JSON text."""

    payload: str
    error_type: str | None = None


@dataclass(frozen=True, kw_only=True)
class FunctionUsage:
    """Totals of one function so far.

    ``throttles``
        Invocations that found no capacity.
    ``peak_concurrency``
        The most runs at once.
    """

    invocations: int
    errors: int
    throttles: int
    seconds: tuple[float, ...]
    peak_concurrency: int


class RemoteHandlerError(Exception):
    """A handler that runs in another process failed; ``result`` holds its error document."""

    def __init__(self, result: InvocationResult) -> None:
        super().__init__(result.error_type)
        self.result = result


class _FunctionCounts:
    """Counts the runs of one function; guarded by the runtime's lock."""

    def __init__(self) -> None:
        self.errors = 0
        self.throttles = 0
        self.seconds: list[float] = []
        self.running = 0
        self.peak_concurrency = 0


HandlerLoader = Callable[[FunctionSpec], Handler]


class FunctionRuntime:
    """Loads and calls the handlers.

    Parameters
    ----------
    clock
        Monotonic seconds, with which the remaining time of a function is measured.
    concurrency_quota
        The most runs at once of all functions together, the account's quota; by default any number.
    load_handler
        Returns the handler of a function; by default that of the checkout's module, imported here.
    """

    def __init__(
        self,
        specs: Sequence[FunctionSpec],
        *,
        logs: LogCapture,
        interception: Interception,
        clock: Callable[[], float] = time.monotonic,
        concurrency_quota: int | None = None,
        load_handler: HandlerLoader | None = None,
    ) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._logs = logs
        self._interception = interception
        self._clock = clock
        self._load_handler = load_handler or load_checked_out
        self._lock = threading.Lock()
        reserved = sum(spec.reserved_concurrency or 0 for spec in specs)
        self._unreserved = None if concurrency_quota is None else concurrency_quota - reserved
        self._occupied: Counter[str | None] = Counter()
        self._tallies = {spec.name: _FunctionCounts() for spec in specs}
        self._handlers: dict[str, Handler] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the functions, in the template's order."""
        return tuple(self._specs)

    def spec(self, name: str) -> FunctionSpec:
        """Find a function by its folder's name, logical id, physical name or ARN.

        Raises
        ------
        KeyError
            There is no such function.
        """
        for spec in self._specs.values():
            if name in (spec.name, spec.logical_id, spec.physical_name, spec.arn, f"{spec.arn}:$LATEST"):
                return spec
        raise KeyError(name)

    def load(self) -> None:
        """Import all handlers, as Lambda does at a cold start.

        Raises
        ------
        TemplateError
            A handler does not exist where the template says.
        """
        for spec in self._specs.values():
            own = {name: value for name, value in spec.variables.items() if name in OWN_VARIABLES}
            with patch.dict(os.environ, own | {"AWS_LAMBDA_FUNCTION_NAME": spec.physical_name}):
                self._handlers[spec.name] = self._load_handler(spec)

    def invoke(self, invocation: Invocation) -> InvocationResult:
        """Invoke a function and wait for it.

        Raises
        ------
        ThrottledError
            The quota is used up, or the interception injects it.
        LostResponseError
            The interception injects it.
        """
        fault = self._interception.before_invocation(invocation)
        if isinstance(fault, Discard):
            raise DiscardedError(f"the event of {invocation.function} is discarded")
        with self._capacity(invocation.function, is_refused=isinstance(fault, Throttle)):
            if isinstance(fault, DeliverTwice):
                self._run(invocation)
            result = self._run(invocation)
            response = self._interception.after_invocation(invocation, error_type=result.error_type)
        if isinstance(response, DropResponse):
            raise LostResponseError(invocation.function)
        return result

    @contextmanager
    def _capacity(self, function: str, *, is_refused: bool) -> Iterator[None]:
        """Occupy one place of the function's reserved concurrency, or of the unreserved one of the account."""
        reserved = self._specs[function].reserved_concurrency
        pool, limit = (None, self._unreserved) if reserved is None else (function, reserved)
        with self._lock:
            if is_refused or (limit is not None and self._occupied[pool] >= limit):
                self._tallies[function].throttles += 1
                # Lambda's own message.
                raise ThrottledError("Rate Exceeded.")
            self._occupied[pool] += 1
        try:
            yield
        finally:
            with self._lock:
                self._occupied[pool] -= 1

    def usage(self) -> dict[str, FunctionUsage]:
        """Return the totals of each function so far."""
        with self._lock:
            return {
                name: FunctionUsage(
                    invocations=len(tally.seconds),
                    errors=tally.errors,
                    throttles=tally.throttles,
                    seconds=tuple(tally.seconds),
                    peak_concurrency=tally.peak_concurrency,
                )
                for name, tally in self._tallies.items()
            }

    def _run(self, invocation: Invocation) -> InvocationResult:
        self._logs.attach()
        spec = self._specs[invocation.function]
        tally = self._tallies[spec.name]
        run = FunctionRun(invocation)
        with self._lock:
            tally.running += 1
            tally.peak_concurrency = max(tally.peak_concurrency, tally.running)
        started = self._clock()
        context = self._context(spec, invocation, started)
        token = current_run.set(run)
        try:
            result = _call(self._handlers[spec.name], invocation.payload, context)
        finally:
            current_run.reset(token)
            with self._lock:
                tally.running -= 1
                tally.seconds.append(self._clock() - started)
        if run.killed_by is not None:
            result = _error(run.killed_by, "the process ended before it responded", [])
        if result.error_type is not None:
            with self._lock:
                tally.errors += 1
        return result

    def _context(self, spec: FunctionSpec, invocation: Invocation, started: float) -> LambdaContext:
        return LambdaContext(
            function_name=spec.physical_name,
            function_version="$LATEST",
            invoked_function_arn=spec.arn,
            memory_limit_in_mb=spec.memory_megabytes,
            aws_request_id=invocation.request_id,
            log_group_name=f"/aws/lambda/{spec.physical_name}",
            log_stream_name="embedded",
            remaining_seconds=lambda: spec.timeout_seconds - (self._clock() - started),
        )


def new_request_id() -> str:
    """Return a new request id in Lambda's format."""
    return str(uuid.uuid4())


def load_checked_out(spec: FunctionSpec) -> Handler:
    """Import the handler of the checkout's module.

    Raises
    ------
    TemplateError
        It does not exist where the template says.
    """
    module_name, _, function_name = spec.handler.rpartition(".")
    path = spec.folder / f"{module_name.replace('.', '/')}.py"
    location = importlib.util.spec_from_file_location(f"build_courier_function_{spec.name}", path)
    if location is None or location.loader is None or not path.is_file():
        raise TemplateError(
            f"{spec.logical_id}: its handler {spec.handler} would be in {path.name}, which does not exist"
        )
    module: ModuleType = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    handler = getattr(module, function_name, None)
    if not callable(handler):
        raise TemplateError(f"{spec.logical_id}: {path.name} has no function {function_name}")
    return handler  # type: ignore[no-any-return]  # a module's attribute


def _call(handler: Handler, payload: str, context: LambdaContext) -> InvocationResult:
    try:
        result = handler(json.loads(payload), context)
    except RemoteHandlerError as exc:
        return exc.result
    except (FunctionKilledError, SystemExit) as exc:
        return _error("Runtime.ExitError", f"the process ended: {exc}", [])
    except Exception as exc:  # noqa: BLE001  as Lambda's runtime does, every exception becomes an error document
        return _error(type(exc).__name__, str(exc), traceback.format_tb(exc.__traceback__)[1:])
    try:
        return InvocationResult(json.dumps(result))
    except (TypeError, ValueError) as exc:
        return _error("Runtime.MarshalError", f"Unable to marshal response: {exc}", [])


def _error(error_type: str, message: str, stack: list[str]) -> InvocationResult:
    document = {"errorMessage": message, "errorType": error_type, "stackTrace": stack}
    return InvocationResult(json.dumps(document), error_type)
