"""Sandboxes for a whole stack: one process per concurrent invocation, kept warm, as in Lambda."""

import json
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Self

from local.embedded.function_runtime import Handler, InvocationResult, LambdaContext, RemoteHandlerError
from local.embedded.function_spec import FunctionSpec
from scripts.lambda_runtime.sandbox import FunctionCode, Sandbox


class SandboxPool:
    """Runs the functions of a deployed stack in sandboxes; the embedded AWS calls `load` for the handlers.

    Parameters
    ----------
    python
        Interpreter of an environment that contains the client.
    code_of
        Returns the code of a function.
    client
        Module of the runtime client.
    max_concurrency
        Further invocations wait, and their time starts when they have a sandbox; None for no limit.
    """

    def __init__(
        self,
        python: Path,
        code_of: Callable[[FunctionSpec], FunctionCode],
        *,
        client: str = "awslambdaric",
        max_concurrency: int | None = None,
    ) -> None:
        self._python = python
        self._code_of = code_of
        self._client = client
        self._slots = threading.Semaphore(max_concurrency) if max_concurrency else nullcontext()
        self._lock = threading.Lock()
        self._idle: dict[str, list[Sandbox]] = defaultdict(list)
        self._all: list[Sandbox] = []

    def __enter__(self) -> Self:
        """Return the pool; sandboxes start with the first invocations."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all sandboxes."""
        with ExitStack() as stack:
            for sandbox in self._all:
                stack.callback(sandbox.stop)

    def load(self, spec: FunctionSpec) -> Handler:
        """Return a handler that passes its event to a sandbox."""

        def handler(event: object, context: LambdaContext) -> object:
            with self._slots:
                sandbox = self._take(spec)
                outcome = sandbox.invoke(
                    json.dumps(event), timeout_seconds=spec.timeout_seconds, request_id=context.aws_request_id
                )
                with self._lock:
                    if sandbox.is_alive:
                        self._idle[spec.name].append(sandbox)
            if outcome.error_type is not None:
                raise RemoteHandlerError(InvocationResult(outcome.payload, outcome.error_type))
            return json.loads(outcome.payload)

        return handler

    def _take(self, spec: FunctionSpec) -> Sandbox:
        with self._lock:
            if self._idle[spec.name]:
                return self._idle[spec.name].pop()
            sandbox = Sandbox(
                self._python,
                self._code_of(spec),
                variables={**spec.variables, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_megabytes)},
                name=spec.physical_name,
                client=self._client,
            )
            self._all.append(sandbox)
            return sandbox
