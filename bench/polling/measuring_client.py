"""The runtime client of one sandbox: ``python -m bench.polling.measuring_client module.function``.

Its event is a JSON object with ``payload`` and ``now`` (None for the real clock). It responds with the measurements
of `bench.polling.sandboxes.MeasuredInvocation` and the handler's result or error document.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

# CloudWatch Logs bills each event with so many bytes on top of its text ("PutLogEvents", API reference).
LOG_EVENT_BYTES = 26
_PREFIX = "/2018-06-01/runtime/invocation"

# Patches for the life of this process.
_patches = ExitStack()


class ProcessClock:
    """The clock of this process: the time of the current event, or the real time where the event has none."""

    def __init__(self) -> None:
        self.fixed: datetime | None = None

    def now(self) -> datetime:
        """Return the current time, aware and in UTC."""
        return self.fixed or datetime.now(UTC)


class Context:
    """Lambda's context object, as far as handlers and Powertools read it."""

    function_version = "$LATEST"

    def __init__(self, response: HTTPResponse) -> None:
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.invoked_function_arn = response.headers["Lambda-Runtime-Invoked-Function-Arn"]
        self.aws_request_id = response.headers["Lambda-Runtime-Aws-Request-Id"]
        self._deadline_milliseconds = int(response.headers["Lambda-Runtime-Deadline-Ms"])

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until Lambda would end this invocation."""
        return max(0, int(self._deadline_milliseconds - time.time() * 1000))


def main() -> None:
    """Serve the runtime API until it closes."""
    sys.stdout = log = io.StringIO()
    clock, calls = ProcessClock(), Counter[str]()
    handler = _load(sys.argv[1], clock, calls)
    connection = HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        connection.request("GET", f"{_PREFIX}/next")
        response = connection.getresponse()
        body = response.read()
        if response.status != HTTPStatus.OK:
            return
        context, event = Context(response), json.loads(body)
        clock.fixed = None if event["now"] is None else datetime.fromisoformat(event["now"])
        measured = _run(handler, event["payload"], context)
        written = log.getvalue().splitlines()
        log.seek(0)
        log.truncate()
        measured["log_bytes"] = sum(len(text.encode()) + LOG_EVENT_BYTES for text in written)
        measured["calls"] = dict(calls)
        calls.clear()
        connection.request("POST", f"{_PREFIX}/{context.aws_request_id}/response", json.dumps(measured))
        connection.getresponse().read()


def _run(handler: Callable[[object, Context], object], payload: str, context: Context) -> dict[str, Any]:
    wall, cpu = time.monotonic(), time.process_time()
    result: str
    error_type: str | None
    try:
        result, error_type = json.dumps(handler(json.loads(payload), context)), None
    except Exception as exc:  # noqa: BLE001 - as Lambda's runtime does
        document = {
            "errorMessage": str(exc),
            "errorType": type(exc).__name__,
            "stackTrace": traceback.format_tb(exc.__traceback__),
        }
        result, error_type = json.dumps(document), type(exc).__name__
    return {
        "result": result,
        "error_type": error_type,
        "wall_seconds": time.monotonic() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "peak_bytes": _peak_bytes(),
    }


def _load(handler: str, clock: ProcessClock, calls: Counter[str]) -> Callable[[object, Context], object]:
    """Import a handler as Lambda does at a cold start, and count its AWS requests from now on."""
    from aws_lambda_powertools.utilities.parameters import base  # noqa: PLC0415 - after stdout has been replaced
    from botocore import handlers  # noqa: PLC0415

    from courier.config.environment import Environment  # noqa: PLC0415
    from courier.usecases.container import Container, container_factory  # noqa: PLC0415

    def count(event_name: str, **_: object) -> None:
        service, operation = event_name.split(".")[1:]
        calls[f"{service}:{operation}"] += 1

    # botocore copies these into every session, also into those that the function creates.
    handlers.BUILTIN_HANDLERS.append(("before-send", count))
    # Cached settings and keys expire by the same clock as the builds.
    cache_clock = SimpleNamespace(now=lambda: clock.now().replace(tzinfo=None))
    _patches.enter_context(patch.object(base, "datetime", cache_clock))
    _patches.enter_context(container_factory(lambda: Container(Environment.from_variables(), clock.now)))
    module_name, _, name = handler.rpartition(".")
    found: Callable[[object, Context], object] = getattr(importlib.import_module(module_name), name)
    return found


def _peak_bytes() -> int:
    # Of this program alone: the figure of getrusage starts with the memory of the parent process.
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main()
