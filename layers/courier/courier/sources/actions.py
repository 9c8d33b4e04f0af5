"""What an operator can do to a source: pause it, resume it, and probe it now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from courier.errors import SettingsError, SourceError
from courier.ledger.pauses import Pause, ended, pause_at, paused

if TYPE_CHECKING:
    from datetime import datetime

    from courier.clock import Clock
    from courier.config.settings import SourceSettings
    from courier.ledger import SourceLedger
    from courier.models import Act
    from courier.providers.base import Provider
    from courier.sources.health import SourceHealth


class SourceActions:
    """The acts of an operator on sources; each returns what it did, and raises like `BuildActions`."""

    def __init__(self, *, sources: SourceLedger, health: SourceHealth, clock: Clock) -> None:
        self._sources = sources
        self._health = health
        self._clock = clock

    def pause(self, settings: SourceSettings, act: Act, *, until: datetime | None, dry_run: bool = False) -> str:
        """Stop calling a source for a while; the deadlines of its builds stand still. Replaces an earlier pause."""
        now, seen = self._clock(), self._sources.state(settings.name).pauses
        if until is not None and until <= now:
            raise SettingsError("the end of the pause is in the past")
        end = "until an operator resumes it" if until is None else f"until {until:%Y-%m-%d %H:%M} UTC"
        if dry_run:
            return f"it would be paused {end}"
        lasting = pause_at(seen, now)
        # A pause that lasts is prolonged, so that a repeated event changes nothing.
        since = lasting.since if lasting else now
        pause = Pause(since=since, until=until, by=act.by, note=act.note)
        if not self._sources.set_pauses(settings.name, paused(seen, pause), seen=seen):
            raise SettingsError("another operator has just paused or resumed it; look at its status first")
        return f"it is paused {end}: it is not called, and the deadlines of its builds stand still"

    def resume(self, settings: SourceSettings, *, dry_run: bool = False) -> str:
        """End a pause: the next tick polls the builds that are due."""
        now, seen = self._clock(), self._sources.state(settings.name).pauses
        if not pause_at(seen, now):
            return "it is not paused"
        if dry_run:
            return "it would be called again from the next tick on"
        if not self._sources.set_pauses(settings.name, ended(seen, now), seen=seen):
            raise SettingsError("another operator has just paused or resumed it; look at its status first")
        return "it is called again from the next tick on; deadlines are later by as long as it was paused"

    def probe(self, provider: Provider, *, dry_run: bool = False) -> str:
        """Call a source now; if it responds, it is healthy, and it does not back off any more."""
        settings = provider.settings
        state = self._health.state(settings.name)
        if dry_run:
            return "one harmless request would be sent"
        try:
            said = provider.check()
        except (SourceError, SettingsError) as exc:
            self._health.record_failure(settings, state, exc)
            raise
        self._health.record_success(settings, state)
        self._sources.end_backoff(settings.name)
        return said
