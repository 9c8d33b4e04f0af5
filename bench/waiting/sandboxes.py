"""Sandboxes as processes of their own, kept warm like Lambda's; the embedded AWS takes them for handlers."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from local.embedded.function_runtime import Handler, InvocationResult, LambdaContext, RemoteHandlerError
from local.embedded.function_spec import FunctionSpec

_ROOT = Path(__file__).resolve().parent.parent.parent
_END_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Run:
    """One invocation, as its own process saw it; it began and ended at these moments of the monotonic clock.

    ``cold_seconds``
        What the start of the process took, if this was its first run; 0 otherwise.
    ``calls``
        Requests to AWS by service and operation.
    """

    function: str
    sandbox: int
    payload: str
    result: str
    memory_gb: float
    began_at: float
    ended_at: float
    wall_seconds: float
    cpu_seconds: float
    cold_seconds: float
    peak_bytes: int
    log_bytes: int
    calls: Mapping[str, int]

    @property
    def gb_seconds(self) -> float:
        """What is billed of a warm run: its milliseconds, rounded up, by the memory of the function."""
        return -(-self.wall_seconds // 0.001) / 1000 * self.memory_gb


class Sandboxes:
    """Starts a process for each invocation under way, at most so many, and keeps them for the next one.

    Parameters
    ----------
    clock
        What the functions take for the time; None for the real one.
    most_at_once
        Invocations beyond wait for a free process: the machine has few processors.
    """

    def __init__(self, *, clock: Callable[[], datetime] | None = None, most_at_once: int = 4) -> None:
        self._clock = clock
        self._free = threading.Semaphore(most_at_once)
        self._lock = threading.Lock()
        self._idle: dict[str, list[_Process]] = defaultdict(list)
        self._all: list[_Process] = []
        self._runs: list[Run] = []

    def __enter__(self) -> Self:
        """Get ready; processes start when they are needed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all processes."""
        for process in self._all:
            process.stop()

    @property
    def runs(self) -> Sequence[Run]:
        """All runs that have ended, in that order."""
        with self._lock:
            return tuple(self._runs)

    def load(self, spec: FunctionSpec) -> Handler:
        """Give a handler that hands its event to a process."""

        def handler(event: object, context: LambdaContext) -> object:
            with self._free:
                return self._run(spec, json.dumps(event), context)

        return handler

    def _run(self, spec: FunctionSpec, payload: str, context: LambdaContext) -> object:
        process = self._take(spec)
        began_at = time.monotonic()
        answer = process.ask(
            {
                "payload": payload,
                "now": self._clock().isoformat() if self._clock else None,
                "context": {
                    "function_name": context.function_name,
                    "invoked_function_arn": context.invoked_function_arn,
                    "memory_limit_in_mb": context.memory_limit_in_mb,
                    "aws_request_id": context.aws_request_id,
                    "seconds": spec.timeout_seconds,
                },
            }
        )
        result, error_type = answer.pop("result"), answer.pop("error_type")
        run = Run(
            function=spec.name,
            sandbox=process.number,
            payload=payload,
            result=result,
            memory_gb=spec.memory_megabytes / 1024,
            began_at=began_at,
            ended_at=time.monotonic(),
            **answer,
        )
        with self._lock:
            self._runs.append(run)
            self._idle[spec.name].append(process)
        if error_type is not None:
            raise RemoteHandlerError(InvocationResult(result, error_type))
        return json.loads(result)

    def _take(self, spec: FunctionSpec) -> "_Process":
        with self._lock:
            if self._idle[spec.name]:
                return self._idle[spec.name].pop()
            process = _Process(spec, number=len(self._all))
            self._all.append(process)
            return process


class _Process:
    def __init__(self, spec: FunctionSpec, *, number: int) -> None:
        self.number = number
        self._cold_seconds: float | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.waiting.worker", str(spec.folder), spec.handler, str(time.time())],
            cwd=_ROOT,
            env=os.environ | spec.variables | {"AWS_LAMBDA_FUNCTION_NAME": spec.physical_name},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, request: Mapping[str, object]) -> dict[str, Any]:
        """Run once, and give what the process says; its start counts to the first run."""
        cold = 0.0
        if self._cold_seconds is None:
            self._cold_seconds = cold = float(self._read()["cold_seconds"])
        if self._process.stdin is None:
            raise AssertionError("opened with a pipe")
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._read() | {"cold_seconds": cold}

    def stop(self) -> None:
        """End it."""
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("opened with pipes")
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self) -> dict[str, Any]:
        if self._process.stdout is None:
            raise AssertionError("opened with a pipe")
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a sandbox ended by itself, with status {self._process.wait(_END_SECONDS)}")
        document: dict[str, Any] = json.loads(line)
        return document
