"""Lambda's asynchronous calls: answered at once, carried out later, repeated on errors, then dead letters."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

from local.embedded.function_runtime import (
    FunctionRuntime,
    InvocationResult,
    LostResponseError,
    ThrottledError,
    new_request_id,
)
from local.embedded.interception import Invocation

# A run of a function keeps one of these threads; schedules and tests together keep a handful busy.
_THREADS = 32

# "Asynchronous invocation", Lambda developer guide: a minute before the first repetition, two before the second.
_REPETITION_SECONDS = (60, 120)


class FailureQueue(Protocol):
    """Takes the documents of calls that failed for good."""

    def __call__(self, queue: str, document: str) -> None:
        """Send ``document`` to the queue with this logical id."""


@dataclass(frozen=True)
class AsyncResult:
    """How an asynchronous call ended: the last result, and how many attempts it took."""

    result: InvocationResult | None
    attempts: int


class AsyncInvoker:
    """Carries out asynchronous calls on a bounded pool of threads.

    Parameters
    ----------
    pause
        Waits before a repetition, in seconds; returns True when everything is to stop.
    to_queue
        Where the function's ``OnFailure`` destination is.
    """

    def __init__(self, runtime: FunctionRuntime, *, pause: Callable[[float], bool], to_queue: FailureQueue) -> None:
        self._runtime = runtime
        self._pause = pause
        self._to_queue = to_queue
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="asynchronous-invocation")
        self._lock = threading.Lock()
        self._under_way = 0

    @property
    def under_way(self) -> int:
        """How many calls are accepted and not yet carried out."""
        with self._lock:
            return self._under_way

    def submit(self, function: str, payload: str) -> "Future[AsyncResult]":
        """Accept a call."""
        invocation = Invocation(function=function, request_id=new_request_id(), payload=payload, asynchronous=True)
        with self._lock:
            self._under_way += 1
        future = self._pool.submit(self._deliver, invocation)
        future.add_done_callback(self._done)
        return future

    def stop(self) -> None:
        """Wait for the runs under way; calls that have not started are dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _done(self, _: "Future[AsyncResult]") -> None:
        with self._lock:
            self._under_way -= 1

    def _deliver(self, invocation: Invocation) -> AsyncResult:
        spec = self._runtime.spec(invocation.function)
        attempts = spec.retry_attempts + 1
        result: InvocationResult | None = None
        for attempt in range(1, attempts + 1):
            if attempt > 1 and self._pause(_REPETITION_SECONDS[attempt - 2]):
                return AsyncResult(result, attempt - 1)
            try:
                result = self._runtime.invoke(replace(invocation, attempt=attempt))
            except (ThrottledError, LostResponseError):
                continue
            if result.error_type is None:
                return AsyncResult(result, attempt)
        if spec.failure_queue is not None:
            self._to_queue(spec.failure_queue, _failure_document(spec.arn, invocation, attempts, result))
        return AsyncResult(result, attempts)


def _failure_document(arn: str, invocation: Invocation, attempts: int, result: InvocationResult | None) -> str:
    """Write what Lambda sends to an ``OnFailure`` destination."""
    document = {
        "version": "1.0",
        "requestContext": {
            "requestId": invocation.request_id,
            "functionArn": f"{arn}:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": attempts,
        },
        "requestPayload": json.loads(invocation.payload),
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": json.loads(result.payload) if result else None,
    }
    return json.dumps(document)
