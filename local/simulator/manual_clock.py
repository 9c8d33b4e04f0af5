"""A clock that only moves when it is advanced."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta


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
