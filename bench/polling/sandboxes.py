"""Sandboxes of `scripts.lambda_runtime` whose runtime client measures each invocation."""

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from local.embedded.function_runtime import Handler, InvocationResult, LambdaContext, RemoteHandlerError
from local.embedded.function_spec import FunctionSpec
from scripts.lambda_runtime.pool import SandboxPool
from scripts.lambda_runtime.sandbox import FunctionCode


@dataclass(frozen=True, kw_only=True)
class MeasuredInvocation:
    """One invocation of a warm process, as the process measured it; ``ended_at`` is on the monotonic clock.

    ``calls``
        Requests to AWS by service and operation.
    """

    function: str
    payload: str
    memory_gb: float
    ended_at: float
    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    log_bytes: int
    calls: Mapping[str, int]

    @property
    def gb_seconds(self) -> float:
        """Billed GB-seconds of a warm invocation: its milliseconds, rounded up, times the function's memory."""
        return -(-self.wall_seconds // 0.001) / 1000 * self.memory_gb


class MeasuredPool:
    """Runs functions from their sources in the processes of a `SandboxPool` and keeps the measurements.

    Parameters
    ----------
    clock
        The functions' clock; None for the real one.
    max_concurrency
        Further invocations wait for a free process, because the machine has few processors.
    """

    def __init__(self, *, clock: Callable[[], datetime] | None = None, max_concurrency: int = 4) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._invocations: list[MeasuredInvocation] = []
        self._pool = SandboxPool(
            Path(sys.executable),
            lambda spec: FunctionCode(folder=spec.folder, handler=spec.handler),
            client="bench.polling.measuring_client",
            max_concurrency=max_concurrency,
        )

    def __enter__(self) -> Self:
        """Return the pool; processes start with the first invocations."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all processes."""
        self._pool.__exit__(kind, error, trace)

    @property
    def invocations(self) -> Sequence[MeasuredInvocation]:
        """All finished invocations in the order of their ends."""
        with self._lock:
            return tuple(self._invocations)

    def load(self, spec: FunctionSpec) -> Handler:
        """Return a handler that passes its event to a sandbox."""
        invoke = self._pool.load(spec)

        def handler(event: object, context: LambdaContext) -> object:
            payload = json.dumps(event)
            now = self._clock().isoformat() if self._clock else None
            response = invoke({"payload": payload, "now": now}, context)
            if not isinstance(response, dict):
                raise TypeError("the client responds with its measurements")
            result, error_type = response.pop("result"), response.pop("error_type")
            invocation = MeasuredInvocation(
                function=spec.name,
                payload=payload,
                memory_gb=spec.memory_megabytes / 1024,
                ended_at=time.monotonic(),
                **response,
            )
            with self._lock:
                self._invocations.append(invocation)
            if error_type is not None:
                raise RemoteHandlerError(InvocationResult(result, error_type))
            return json.loads(result)

        return handler
