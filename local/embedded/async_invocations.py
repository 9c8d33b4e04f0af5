"""Lambda's asynchronous invocations: accepted at once, run later, retried on errors, then dead-lettered."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

from local.embedded.function_runtime import (
    DiscardedError,
    FunctionRuntime,
    InvocationResult,
    LostResponseError,
    ThrottledError,
    new_request_id,
)
from local.embedded.interception import Invocation

# Each running function and each event that waits holds one of these threads, which are created when they are needed.
_THREADS = 512

# "How Lambda handles errors and retries with asynchronous invocation", Lambda developer guide: one minute before the
# first retry, two before the second; a throttled event waits between one second and five minutes.
_RETRY_SECONDS = (60, 120)
_LONGEST_THROTTLED_SECONDS = 300


class FailureQueue(Protocol):
    """Receives the documents of invocations that failed for good."""

    def __call__(self, queue: str, document: str) -> None:
        """Send ``document`` to the queue with this logical id."""


@dataclass(frozen=True)
class AsyncResult:
    """The outcome of an asynchronous invocation: the last result, and the number of attempts."""

    result: InvocationResult | None
    attempts: int


class AsyncInvoker:
    """Runs asynchronous invocations on a bounded pool of threads.

    Parameters
    ----------
    pause
        Waits before a retry or for capacity, in seconds; returns True when the embedded AWS stops.
    to_queue
        Sends a document to the function's ``OnFailure`` destination.
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
        """The number of accepted invocations that have not ended."""
        with self._lock:
            return self._under_way

    def submit(self, function: str, payload: str) -> "Future[AsyncResult]":
        """Accept an invocation."""
        invocation = Invocation(function=function, request_id=new_request_id(), payload=payload, asynchronous=True)
        with self._lock:
            self._under_way += 1
        future = self._pool.submit(self._deliver, invocation)
        future.add_done_callback(self._done)
        return future

    def stop(self) -> None:
        """Wait for running invocations; drop those that have not started."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _done(self, _: "Future[AsyncResult]") -> None:
        with self._lock:
            self._under_way -= 1

    def _deliver(self, invocation: Invocation) -> AsyncResult:
        spec = self._runtime.spec(invocation.function)
        result: InvocationResult | None = None
        tries = failures = throttles = 0
        age, condition = 0.0, "RetriesExhausted"
        while True:
            tries += 1
            try:
                result = self._runtime.invoke(replace(invocation, attempt=tries))
                if result.error_type is None:
                    return AsyncResult(result, tries)
                failures += 1
                wait = 0
            except DiscardedError:
                condition = "EventAgeExceeded"
                break
            except ThrottledError:
                wait = min(2**throttles, _LONGEST_THROTTLED_SECONDS)
                throttles += 1
            except LostResponseError:
                failures += 1
                wait = 0
            if failures > spec.retry_attempts:
                break
            wait = wait or _RETRY_SECONDS[failures - 1]
            # The runs themselves take little of an event's age.
            age += wait
            if age > spec.event_age_seconds:
                condition = "EventAgeExceeded"
                break
            if self._pause(wait):
                return AsyncResult(result, tries)
        if spec.failure_queue is not None:
            self._to_queue(spec.failure_queue, _failure_document(spec.arn, invocation, condition, tries, result))
        return AsyncResult(result, tries)


def _failure_document(
    arn: str, invocation: Invocation, condition: str, attempts: int, result: InvocationResult | None
) -> str:
    """Write what Lambda sends to an ``OnFailure`` destination."""
    document = {
        "version": "1.0",
        "requestContext": {
            "requestId": invocation.request_id,
            "functionArn": f"{arn}:$LATEST",
            "condition": condition,
            "approximateInvokeCount": attempts,
        },
        "requestPayload": json.loads(invocation.payload),
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": json.loads(result.payload) if result else None,
    }
    return json.dumps(document)
