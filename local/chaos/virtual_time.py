"""Time that passes only when nothing else happens: minutes of waiting take as long as looking at the clock."""

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
    """A clock, and those who wait on it; somebody else moves it on with `move_to`."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self._waiting: list[tuple[datetime, threading.Event]] = []
        self._lock = threading.Lock()
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many threads wait."""
        with self._lock:
            return len(self._waiting)

    def pause(self, seconds: float) -> bool:
        """Wait until the clock has moved on by so much; True when everything is to stop."""
        wake = threading.Event()
        with self._lock:
            if self._closed:
                return True
            self._waiting.append((self.clock() + timedelta(seconds=seconds), wake))
        wake.wait()
        return self._closed

    def next_wake(self) -> datetime | None:
        """Give the instant at which the first of those who wait wants to go on."""
        with self._lock:
            return min((moment for moment, _ in self._waiting), default=None)

    def move_to(self, moment: datetime) -> None:
        """Set the clock, never back, and wake everybody whose time has come."""
        with self._lock:
            self.clock.advance(max(0.0, (moment - self.clock()).total_seconds()))
            now = self.clock()
            due = [wake for until, wake in self._waiting if until <= now]
            self._waiting = [(until, wake) for until, wake in self._waiting if until > now]
        for wake in due:
            wake.set()

    def close(self) -> None:
        """Wake everybody for good."""
        with self._lock:
            self._closed = True
            due, self._waiting = self._waiting, []
        for _, wake in due:
            wake.set()


@contextmanager
def pauses_skipped() -> Iterator[None]:
    """Let the short pauses inside of one invocation take no time: the courier's own between tries, and botocore's.

    Each takes its sleep as a default or a module's name, of which nothing else is changed.
    """

    class Sleepless:
        @staticmethod
        def sleep(_: float) -> None:
            """Return at once."""

    with (
        patch.dict(_defaults_of(ApiClient), backoff=replace(BACKOFF, sleep=Sleepless.sleep)),
        patch.dict(_defaults_of(Backoff), sleep=Sleepless.sleep),
        patch.object(botocore.endpoint, "time", Sleepless),
    ):
        yield


@contextmanager
def timeouts_shortened() -> Iterator[None]:
    """Let slow providers be slow within a test's time: half a second of silence is too long."""
    with (
        patch.dict(_defaults_of(ApiClient), read_timeout_seconds=0.5, call_limit_seconds=5.0),
        patch.dict(_defaults_of(CopyOptions), read_seconds=0.5),
    ):
        yield


def _defaults_of(kind: type[object]) -> dict[str, object]:
    defaults = kind.__init__.__kwdefaults__
    if defaults is None:
        raise TypeError(f"{kind.__name__} has no defaults any more")
    return defaults
