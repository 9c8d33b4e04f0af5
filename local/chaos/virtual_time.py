"""Virtual time, which advances only while everything waits, so that waiting takes no real time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from unittest.mock import patch

import botocore.endpoint

from courier.backoff import Backoff
from courier.providers.http_client import BACKOFF, ApiClient
from courier.transfer.options import CopyOptions
from local.simulator import ManualClock


class VirtualTime:
    """A clock and the threads that wait on it; `move_to` advances it."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self._waiting: list[tuple[datetime, threading.Event]] = []
        self._lock = threading.Lock()
        self._closed = False

    @property
    def waiting(self) -> int:
        """The number of waiting threads."""
        with self._lock:
            return len(self._waiting)

    def pause(self, seconds: float) -> bool:
        """Wait until the clock has advanced so far; return True when the clock was closed."""
        wake = threading.Event()
        with self._lock:
            if self._closed:
                return True
            self._waiting.append((self.clock() + timedelta(seconds=seconds), wake))
        wake.wait()
        return self._closed

    def next_wake(self) -> datetime | None:
        """Return the earliest instant that a thread waits for."""
        with self._lock:
            return min((moment for moment, _ in self._waiting), default=None)

    def move_to(self, moment: datetime) -> None:
        """Advance the clock, never back, and wake the threads that are due."""
        with self._lock:
            self.clock.advance(max(0.0, (moment - self.clock()).total_seconds()))
            now = self.clock()
            due = [wake for until, wake in self._waiting if until <= now]
            self._waiting = [(until, wake) for until, wake in self._waiting if until > now]
        for wake in due:
            wake.set()

    def close(self) -> None:
        """Wake all threads, and let no thread wait any more."""
        with self._lock:
            self._closed = True
            due, self._waiting = self._waiting, []
        for _, wake in due:
            wake.set()


@contextmanager
def pauses_skipped() -> Iterator[None]:
    """Skip the short pauses inside an invocation: the courier's own between attempts, and botocore's.

    Each gets its sleep from a default or a module's name; nothing else is changed.
    """

    class NoSleep:
        @staticmethod
        def sleep(_: float) -> None:
            """Return at once."""

    with (
        patch.dict(_defaults_of(ApiClient), backoff=replace(BACKOFF, sleep=NoSleep.sleep)),
        patch.dict(_defaults_of(Backoff), sleep=NoSleep.sleep),
        patch.object(botocore.endpoint, "time", NoSleep),
    ):
        yield


@contextmanager
def timeouts_shortened() -> Iterator[None]:
    """Shorten the provider timeouts, so that half a second of silence exceeds them."""
    with (
        patch.dict(_defaults_of(ApiClient), read_timeout_seconds=0.5, call_limit_seconds=5.0),
        patch.dict(_defaults_of(CopyOptions), read_seconds=0.5),
    ):
        yield


def _defaults_of(kind: type[object]) -> dict[str, object]:
    defaults = kind.__init__.__kwdefaults__
    if defaults is None:
        raise TypeError(f"{kind.__name__} no longer has defaults")
    return defaults
