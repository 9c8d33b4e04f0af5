"""Captures what the functions print, per run, where AWS would write it to CloudWatch Logs."""

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO

from local.embedded.call_context import current_run

# Fields that Powertools adds to each line, and those that `LogLine.readable` shows elsewhere.
_LAMBDA_FIELDS = frozenset(
    {
        *("level", "message", "timestamp", "service", "location", "xray_trace_id", "cold_start", "sampling_rate"),
        *("function_name", "function_memory_size", "function_arn", "function_request_id"),
    }
)


@dataclass(frozen=True)
class LogLine:
    """One line that a run of a function printed."""

    function: str
    request_id: str
    text: str

    @property
    def readable(self) -> str:
        """The line for a person: level, function, message and values; empty for metrics."""
        try:
            fields = json.loads(self.text)
        except ValueError:
            fields = None
        if not isinstance(fields, dict):
            return f"{self.function}: {self.text}"
        if "_aws" in fields:
            return ""
        values = " ".join(f"{name}={value}" for name, value in fields.items() if name not in _LAMBDA_FIELDS)
        return f"{fields.get('level', '')} {self.function}: {fields.get('message', '')}  {values}".rstrip()


class LogCapture(io.TextIOBase):
    """A standard output that captures what functions print and passes on the rest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: list[LogLine] = []
        # Text whose line has not ended yet, per thread: a print writes in pieces.
        self._pieces: dict[tuple[str, str, int], str] = {}
        self._others: TextIO = sys.stdout
        self._taken_over: dict[logging.StreamHandler[Any], TextIO] = {}

    def lines(self, function: str | None = None) -> list[LogLine]:
        """Return the lines of one function, or of all, in the order in which they ended; unended lines come last."""
        with self._lock:
            unended = [LogLine(name, request_id, text) for (name, request_id, _), text in self._pieces.items()]
            return [line for line in self._lines + unended if function in (None, line.function)]

    def complete_lines(self, seen: int) -> list[LogLine]:
        """Return the lines that have ended, without the first ``seen`` ones."""
        with self._lock:
            return self._lines[seen:]

    def write(self, text: str) -> int:
        """Capture or pass on one piece of text."""
        run = current_run.get()
        if run is None:
            return self._others.write(text)
        invocation = run.invocation
        piece = (invocation.function, invocation.request_id, threading.get_ident())
        with self._lock:
            *whole, rest = (self._pieces.pop(piece, "") + text).split("\n")
            self._lines += [LogLine(invocation.function, invocation.request_id, line) for line in whole if line]
            if rest:
                self._pieces[piece] = rest
        return len(text)

    def flush(self) -> None:
        """Flush the real standard output."""
        if current_run.get() is None and not self._others.closed:
            self._others.flush()

    def attach(self) -> None:
        """Replace the standard output; called before each run, because test runners replace it in between."""
        with self._lock:
            if sys.stdout is not self:
                self._others, sys.stdout = sys.stdout, self

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Replace the standard output, and restore it on exit."""
        self.attach()
        try:
            yield
        finally:
            for handler in _powertools_handlers():
                if handler.stream is self:
                    handler.stream = self._taken_over.get(handler, self._others)
            self._taken_over.clear()
            with self._lock:
                if sys.stdout is self:
                    sys.stdout = self._others

    def take_over_loggers(self) -> None:
        """Redirect the existing Powertools loggers: each holds the standard output of the moment it was created."""
        for handler in _powertools_handlers():
            if handler.stream is not self:
                self._taken_over[handler] = handler.stream
                # Not setStream: it flushes the old stream, which a test runner may have closed.
                handler.stream = self


def _powertools_handlers() -> list["logging.StreamHandler[Any]"]:
    loggers = list(logging.Logger.manager.loggerDict.values())
    handlers = [getattr(logger, "powertools_handler", None) for logger in loggers]
    return [handler for handler in handlers if isinstance(handler, logging.StreamHandler)]
