"""The rate limit of a source: all invocations together send at most ``requests_per_minute``."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from courier.errors import SourceThrottledError

if TYPE_CHECKING:
    from courier.clock import Clock
    from courier.config.settings import SourceSettings
    from courier.ledger import SourceLedger

SECONDS_PER_MINUTE = 60
# Requests that one write takes out of the minute when that many are expected: as many as are in flight at once
# (builds.poller.CONCURRENT_REQUESTS). What is taken and not used is lost to the other invocations of this minute.
BLOCK_REQUESTS = 8


class RateLimit:
    """The requests of one source in the current minute, shared by all invocations through the ledger."""

    def __init__(self, settings: SourceSettings, sources: SourceLedger, clock: Clock) -> None:
        self._settings = settings
        self._sources = sources
        self._clock = clock
        self._reserved = 0
        self._spare = 0
        self._expected = 0
        self._expects_open_minute = False
        # The minute that the spare requests were taken from; they expire with it.
        self._minute = -1
        self._lock = threading.Lock()

    def expect(self, requests: int) -> None:
        """Announce how many requests will follow, so that one write takes them out of the minute together."""
        with self._lock:
            self._expected = requests

    def expect_open_minute(self) -> None:
        """Assume that another invocation has taken requests out of this minute, such as the tick before a copy.

        The assumption only saves a refused write, which is billed like any other.
        """
        with self._lock:
            self._expects_open_minute = True

    def reserve(self) -> bool:
        """Reserve one request before work starts that needs it; return False when the minute has none left."""
        with self._lock:
            if not self._acquire():
                return False
            self._reserved += 1
            return True

    def release(self) -> None:
        """Return a reserved request that is not needed."""
        with self._lock:
            self._reserved -= 1
            self._spare += 1

    def take(self, kind: str) -> None:
        """Use up one request, reserved or not, just before it is sent.

        Raises
        ------
        SourceThrottledError
            The minute has none left; the error says when the next one begins.
        """
        with self._lock:
            if self._reserved:
                self._reserved -= 1
                return
            if self._acquire():
                return
        raise SourceThrottledError(
            f"{self._settings.name}: {kind} not sent: requests_per_minute "
            f"({self._settings.requests_per_minute}) is used up",
            retry_after_seconds=SECONDS_PER_MINUTE - self._clock().timestamp() % SECONDS_PER_MINUTE,
            own_limit=True,
        )

    def _acquire(self) -> bool:
        minute = int(self._clock().timestamp() // SECONDS_PER_MINUTE)
        is_new_minute, self._minute = minute != self._minute, minute
        if is_new_minute:
            self._spare = 0
        if not self._spare:
            self._spare = self._sources.take_requests(
                self._settings.name,
                wanted=max(1, min(self._expected, BLOCK_REQUESTS)),
                limit=self._settings.requests_per_minute,
                likely_first=is_new_minute and not self._expects_open_minute,
            )
        if not self._spare:
            return False
        self._spare -= 1
        self._expected = max(0, self._expected - 1)
        return True
