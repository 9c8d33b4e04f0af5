"""Politeness over all invocations: no source is asked more often per minute than its settings allow."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from courier.errors import SourceThrottledError

if TYPE_CHECKING:
    from courier.clock import Clock
    from courier.ledger import SourceLedger
    from courier.settings import SourceSettings

SECONDS_PER_MINUTE = 60


class RequestBudget:
    """The requests of one source in the current minute, shared by all invocations through the ledger."""

    def __init__(self, settings: SourceSettings, sources: SourceLedger, clock: Clock) -> None:
        self._settings = settings
        self._sources = sources
        self._clock = clock
        self._reserved = 0
        self._spare = 0
        self._lock = threading.Lock()

    def reserve(self) -> bool:
        """Set one request aside before work begins that needs it; False when the minute has none left."""
        with self._lock:
            if self._spare:
                self._spare -= 1
            elif not self._spend():
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
            if self._spare:
                self._spare -= 1
                return
            if self._spend():
                return
        raise SourceThrottledError(
            f"{self._settings.name}: {kind} not sent: requests_per_minute "
            f"({self._settings.requests_per_minute}) is spent",
            retry_after_seconds=SECONDS_PER_MINUTE - self._clock().timestamp() % SECONDS_PER_MINUTE,
        )

    def _spend(self) -> bool:
        return self._sources.spend(self._settings.name, wanted=1, budget=self._settings.requests_per_minute) > 0
