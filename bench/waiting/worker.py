"""The process of one sandbox: loads a handler, and runs it for each line on its standard input.

A line in is a JSON object: ``payload``, ``context`` and ``now`` (None for the real clock). A line out is
what `bench.waiting.sandboxes.Run` keeps, and the result. What the function prints is its log, and counted.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO
from unittest.mock import patch

# CloudWatch Logs bills each event with so many bytes on top of its text ("PutLogEvents", API reference).
LOG_EVENT_BYTES = 26

# What holds for the life of this process.
_kept = ExitStack()


class Time:
    """The clock of this process; it stands still between two invocations where it is told the time."""

    def __init__(self) -> None:
        self.told: datetime | None = None

    def now(self) -> datetime:
        """Give the instant, aware and in UTC."""
        return self.told or datetime.now(UTC)


class Context:
    """Lambda's context object, as far as handlers and Powertools read it."""

    function_version = "$LATEST"

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.function_name = fields["function_name"]
        self.invoked_function_arn = fields["invoked_function_arn"]
        self.memory_limit_in_mb = fields["memory_limit_in_mb"]
        self.aws_request_id = fields["aws_request_id"]
        self._ends_at = time.monotonic() + fields["seconds"]

    def get_remaining_time_in_millis(self) -> int:
        """Give the time until Lambda would end this run."""
        return max(0, int((self._ends_at - time.monotonic()) * 1000))


def main() -> None:
    """Serve until the standard input ends."""
    answers, sys.stdout = sys.stdout, io.StringIO()
    log = sys.stdout
    clock, calls = Time(), Counter[str]()
    handler = _load(Path(sys.argv[1]), sys.argv[2], clock, calls)
    cold_wall = time.time() - float(sys.argv[3])
    _say(answers, {"cold_seconds": cold_wall, "cold_cpu_seconds": time.process_time()})
    for line in sys.stdin:
        request = json.loads(line)
        clock.told = None if request["now"] is None else datetime.fromisoformat(request["now"])
        context = Context(request["context"])
        wall, cpu = time.monotonic(), time.process_time()
        result: str
        error_type: str | None
        try:
            result, error_type = json.dumps(handler(json.loads(request["payload"]), context)), None
        except Exception as exc:  # noqa: BLE001 - what Lambda's runtime does
            document = {
                "errorMessage": str(exc),
                "errorType": type(exc).__name__,
                "stackTrace": traceback.format_tb(exc.__traceback__),
            }
            result, error_type = json.dumps(document), type(exc).__name__
        answer: dict[str, Any] = {"result": result, "error_type": error_type}
        answer |= {"wall_seconds": time.monotonic() - wall, "cpu_seconds": time.process_time() - cpu}
        written = log.getvalue().splitlines()
        log.seek(0)
        log.truncate()
        answer |= {
            "peak_bytes": _peak_bytes(),
            "log_bytes": sum(len(text.encode()) + LOG_EVENT_BYTES for text in written),
            "calls": dict(calls),
        }
        calls.clear()
        _say(answers, answer)


def _load(folder: Path, handler: str, clock: Time, calls: Counter[str]) -> Callable[[object, Context], object]:
    """Import a function as Lambda does at a cold start, and count its AWS requests from now on."""
    from aws_lambda_powertools.utilities.parameters import base  # noqa: PLC0415 - the order of a sandbox: stdout first
    from botocore import handlers  # noqa: PLC0415

    from courier.config.environment import Environment  # noqa: PLC0415
    from courier.usecases.container import Container, container_factory  # noqa: PLC0415

    def count(event_name: str, **_: object) -> None:
        service, operation = event_name.split(".")[1:]
        calls[f"{service}:{operation}"] += 1

    # The only place where botocore lets hooks reach sessions that somebody else makes.
    handlers.BUILTIN_HANDLERS.append(("before-send", count))
    # Cached settings and keys age by the same clock as the builds.
    aging = SimpleNamespace(now=lambda: clock.now().replace(tzinfo=None))
    _kept.enter_context(patch.object(base, "datetime", aging))
    _kept.enter_context(container_factory(lambda: Container(Environment.from_variables(), clock.now)))
    module_name, _, name = handler.rpartition(".")
    location = importlib.util.spec_from_file_location(f"function_{folder.name}", folder / f"{module_name}.py")
    if location is None or location.loader is None:
        raise SystemExit(f"there is no {handler} in {folder.name}")
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    found: Callable[[object, Context], object] = getattr(module, name)
    return found


def _peak_bytes() -> int:
    # Of this program alone: what getrusage tells begins with the memory of the process that started it.
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def _say(answers: TextIO, document: Mapping[str, Any]) -> None:
    answers.write(json.dumps(document) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
    # Nothing is left to do, and the interpreter's own end takes longer than a beat.
    os._exit(0)
