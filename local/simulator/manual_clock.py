"""A clock that only moves when it is advanced."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from courier.clock import utc_now


class ManualClock:
    """Returns the same UTC instant until `advance`; thread-safe."""

    def __init__(self, now: datetime = datetime(2026, 4, 15, 12, 0, tzinfo=UTC)) -> None:
        self._now = now
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        """Return the current instant."""
        with self._lock:
            return self._now

    def advance(self, seconds: float) -> None:
        """Advance the clock."""
        with self._lock:
            self._now += timedelta(seconds=seconds)


class HeldClock:
    """The real clock, held until the first request: a slow start of what polls the builds does not age them."""

    def __init__(self, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock
        self._start = clock()
        self._held_for: timedelta | None = None

    def __call__(self) -> datetime:
        """Return the current instant."""
        return self._start if self._held_for is None else self._clock() - self._held_for

    def release(self) -> None:
        """Let the clock run; a second call does nothing."""
        if self._held_for is None:
            self._held_for = self._clock() - self._start
