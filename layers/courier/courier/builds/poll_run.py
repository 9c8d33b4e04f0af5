"""What the threads of one tick share while they deal with a source, and what the tick adds up to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from courier.sources.health import Refusals

if TYPE_CHECKING:
    from datetime import datetime

    from courier.errors import SettingsError, SourceError, SourceUnauthorizedError
    from courier.providers.base import Provider
    from courier.sources.rate_limit import RequestBudget

_adding = threading.Lock()


@dataclass
class TickSummary:
    """What one tick did, for the log and the metrics."""

    due: int = 0
    looked: int = 0
    released: int = 0
    begun: int = 0
    segments: int = 0
    batches: list[int] = field(default_factory=list)

    def add(self, other: TickSummary) -> None:
        """Count another summary in; from any thread."""
        with _adding:
            self.due += other.due
            self.looked += other.looked
            self.released += other.released
            self.begun += other.begun
            self.batches += other.batches

    def counts(self) -> dict[str, int]:
        """Give the figures as what a function returns."""
        return {
            "due": self.due,
            "looked": self.looked,
            "released": self.released,
            "begun": self.begun,
            "segments": self.segments,
        }


class Visit:
    """One tick's dealings with one source, from several threads."""

    def __init__(
        self,
        provider: Provider,
        budget: RequestBudget,
        summary: TickSummary,
        time_is_up: Callable[[], bool],
        beat: datetime,
    ) -> None:
        self.provider = provider
        self.beat = beat
        self.budget = budget
        self.refusals = Refusals()
        self.senseless: SourceError | None = None
        self.error: SourceError | SettingsError | None = None
        self._summary = summary
        self._time_is_up = time_is_up
        self._stopped = False
        self._began = False
        self._lock = threading.Lock()

    def may_begin(self) -> bool:
        """Whether to begin something new; the first thing always is, so that every tick makes progress."""
        began, self._began = self._began, True
        if self._stopped or self.refusals.prove_a_dead_key:
            return False
        return not (began and self._time_is_up())

    def stop(self, error: SourceError | SettingsError | None = None) -> None:
        """Begin nothing new, and keep the first reason."""
        with self._lock:
            self._stopped = True
            self.error = self.error or error

    def refused(self, error: SourceUnauthorizedError, scope: str) -> None:
        """Note that a scope was refused."""
        with self._lock:
            self.refusals.add(error, scope)

    def answered(self) -> None:
        """Note that the source answered something that makes sense."""
        self.refusals.answered = True

    def count(self, *, looked: int = 0, released: int = 0, begun: int = 0, batch: int = 0) -> None:
        """Add to the summary."""
        with self._lock:
            self._summary.looked += looked
            self._summary.released += released
            self._summary.begun += begun
            if batch:
                self._summary.batches.append(batch)
