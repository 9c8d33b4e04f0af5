"""Sandboxes for a whole stack: one process per invocation under way, kept warm, as Lambda does."""

import json
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from local.embedded.function_runtime import Handler, InvocationResult, LambdaContext, RemoteHandlerError
from local.embedded.function_spec import FunctionSpec
from scripts.lambda_runtime.sandbox import ColdStart, FunctionCode, Sandbox


class SandboxPool:
    """Runs the functions of a deployed stack in sandboxes; `load` is what the embedded AWS asks for handlers.

    Parameters
    ----------
    python
        Of an environment that holds awslambdaric and boto3 only.
    code_of
        Gives the built code of a function.
    """

    def __init__(self, python: Path, code_of: Callable[[FunctionSpec], FunctionCode]) -> None:
        self._python = python
        self._code_of = code_of
        self._lock = threading.Lock()
        self._idle: dict[str, list[Sandbox]] = defaultdict(list)
        self._all: list[tuple[str, Sandbox]] = []

    def __enter__(self) -> Self:
        """Get ready; sandboxes start when they are needed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all sandboxes."""
        for _, sandbox in self._all:
            sandbox.stop()

    def load(self, spec: FunctionSpec) -> Handler:
        """Give a handler that hands its event to a sandbox."""

        def handler(event: object, context: LambdaContext) -> object:
            sandbox = self._take(spec)
            seconds = context.get_remaining_time_in_millis() / 1000
            outcome = sandbox.invoke(json.dumps(event), timeout_seconds=seconds, request_id=context.aws_request_id)
            with self._lock:
                if sandbox.is_alive:
                    self._idle[spec.name].append(sandbox)
            if outcome.error_type is not None:
                raise RemoteHandlerError(InvocationResult(outcome.payload, outcome.error_type))
            return json.loads(outcome.payload)

        return handler

    def cold_starts(self) -> dict[str, list[ColdStart]]:
        """Give the cold starts so far, by function."""
        found: dict[str, list[ColdStart]] = defaultdict(list)
        for name, sandbox in self._all:
            if sandbox.cold_start is not None:
                found[name].append(sandbox.cold_start)
        return dict(found)

    def output(self) -> str:
        """Give what all sandboxes wrote."""
        return "\n".join(sandbox.output() for _, sandbox in self._all)

    def _take(self, spec: FunctionSpec) -> Sandbox:
        with self._lock:
            if self._idle[spec.name]:
                return self._idle[spec.name].pop()
            sandbox = Sandbox(self._python, self._code_of(spec), variables=spec.variables, name=spec.physical_name)
            self._all.append((spec.name, sandbox))
            return sandbox
