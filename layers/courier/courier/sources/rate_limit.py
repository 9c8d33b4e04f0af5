"""Politeness over all invocations: no source is asked more often per minute than its settings allow."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from courier.errors import SourceThrottledError

if TYPE_CHECKING:
    from courier.clock import Clock
    from courier.config.settings import SourceSettings
    from courier.ledger import SourceLedger

SECONDS_PER_MINUTE = 60
# Requests that are taken out of the minute by one write, when so many are to come: as many as are under way at
# once (watching.REQUESTS_AT_ONCE). What is taken and not used is lost to the others of this minute.
BLOCK_REQUESTS = 8


class RequestBudget:
    """The requests of one source in the current minute, shared by all invocations through the ledger."""

    def __init__(self, settings: SourceSettings, sources: SourceLedger, clock: Clock) -> None:
        self._settings = settings
        self._sources = sources
        self._clock = clock
        self._reserved = 0
        self._spare = 0
        self._expected = 0
        self._follows = False
        # The minute that the spare ones were taken from; they are worth nothing in another.
        self._minute = -1
        self._lock = threading.Lock()

    def expect(self, requests: int) -> None:
        """Say how many requests are to come, so that they are taken out of the minute together."""
        with self._lock:
            self._expected = requests

    def follow(self) -> None:
        """Say that somebody has taken requests out of this minute already, such as the tick that a copy follows.

        It is only likely, and only saves a refused write, which is billed like any other.
        """
        with self._lock:
            self._follows = True

    def reserve(self) -> bool:
        """Set one request aside before work begins that needs it; False when the minute has none left."""
        with self._lock:
            if not self._spend():
                return False
            self._reserved += 1
            return True

    def give_back(self) -> None:
        """Return a reserved request that is not needed."""
        with self._lock:
            self._reserved -= 1
            self._spare += 1

    def take(self, kind: str) -> None:
        """Use up one request, reserved or not, just before it is sent.

        Raises
        ------
        SourceThrottledError
            The minute has none left; it says when the next one begins.
        """
        with self._lock:
            if self._reserved:
                self._reserved -= 1
                return
            if self._spend():
                return
        raise SourceThrottledError(
            f"{self._settings.name}: {kind} not sent: requests_per_minute "
            f"({self._settings.requests_per_minute}) is spent",
            retry_after_seconds=SECONDS_PER_MINUTE - self._clock().timestamp() % SECONDS_PER_MINUTE,
        )

    def _spend(self) -> bool:
        minute = int(self._clock().timestamp() // SECONDS_PER_MINUTE)
        first, self._minute = minute != self._minute, minute
        if first:
            self._spare = 0
        if not self._spare:
            self._spare = self._sources.spend(
                self._settings.name,
                wanted=max(1, min(self._expected, BLOCK_REQUESTS)),
                budget=self._settings.requests_per_minute,
                likely_first=first and not self._follows,
            )
        if not self._spare:
            return False
        self._spare -= 1
        self._expected = max(0, self._expected - 1)
        return True
