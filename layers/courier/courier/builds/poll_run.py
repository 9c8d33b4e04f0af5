"""One tick over one source: the calls to make, what the worker threads share, and what the tick did."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from courier.sources.health import CallResults

if TYPE_CHECKING:
    from datetime import datetime

    from courier.errors import BuildNotFoundError, SettingsError, SourceError
    from courier.ledger import BuildRow, DueBuild
    from courier.ledger.pauses import Pause
    from courier.providers.base import Provider
    from courier.sources.health import FailingScopes
    from courier.sources.rate_limit import RateLimit


@dataclass
class PollSummary:
    """What one tick did, for the log and the metrics."""

    due: int = 0
    polled: int = 0
    released: int = 0
    registered: int = 0
    batches: list[int] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Return the counts as the function's result, where new builds are called ``begun``."""
        counts = asdict(self)
        del counts["batches"]
        counts["begun"] = counts.pop("registered")
        return counts


@dataclass(frozen=True)
class PollCall:
    """One request to make: the list of a scope, for several of its builds, or one build."""

    scope: str
    due: Sequence[DueBuild]
    history: Sequence[float]
    lists: bool


@dataclass(kw_only=True)
class PollRun:
    """State that the worker threads share; ``started_at`` is the instant that next polls are counted from."""

    provider: Provider
    rate_limit: RateLimit
    time_is_up: Callable[[], bool]
    failing: FailingScopes
    pauses: Sequence[Pause]
    started_at: datetime
    summary: PollSummary
    results: CallResults = field(default_factory=CallResults)
    not_found: list[tuple[BuildRow, BuildNotFoundError]] = field(default_factory=list)
    error: SourceError | SettingsError | None = None
    _stopped: bool = False
    _has_started: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def may_start(self) -> bool:
        """Return whether another call may start; the first one always may, so that every tick makes progress."""
        has_started, self._has_started = self._has_started, True
        return not (self._stopped or self.results.source_is_down or (has_started and self.time_is_up()))

    def stop(self, error: SourceError | SettingsError | None = None) -> None:
        """Start no further call, and keep the first error."""
        with self._lock:
            self._stopped = True
            self.error = self.error or error

    def count(self, *, polled: int = 0, released: int = 0, registered: int = 0, batch: int = 0) -> None:
        """Add to the summary."""
        with self._lock:
            self.summary.polled += polled
            self.summary.released += released
            self.summary.registered += registered
            if batch:
                self.summary.batches.append(batch)
