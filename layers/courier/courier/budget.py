"""Politeness over all invocations: no source is asked more often per minute than its settings allow."""

from __future__ import annotations

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

    def reserve(self, requests: int = 1) -> bool:
        """Set requests aside before work begins that needs them; False when the minute has none left."""
        missing = requests - self._reserved
        if missing > 0:
            self._reserved += self._sources.spend(
                self._settings.name, wanted=missing, budget=self._settings.requests_per_minute
            )
        return self._reserved >= requests

    def take(self, kind: str) -> None:
        """Use up one request, just before it is sent.

        Raises
        ------
        SourceThrottledError
            The minute has none left; it says when the next one begins.
        """
        if not self.reserve():
            wait = SECONDS_PER_MINUTE - self._clock().timestamp() % SECONDS_PER_MINUTE
            raise SourceThrottledError(
                f"{self._settings.name}: {kind} not sent: requests_per_minute "
                f"({self._settings.requests_per_minute}) is spent",
                retry_after_seconds=wait,
            )
        self._reserved -= 1
