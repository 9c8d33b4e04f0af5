"""Pauses of a source: while one lasts the source is not called, and the deadlines of its builds stand still.

Nothing is changed when a pause begins or ends: each deadline is calculated from the pauses since its wait began.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from pydantic import AwareDatetime, TypeAdapter

from courier.models import FrozenModel, ShortText

# A source keeps the last pauses. One that ended before the oldest build in flight began is of no use.
MOST_PAUSES = 20


class Pause(FrozenModel):
    """One pause, by whom and why; ``until`` is None until an operator resumes the source."""

    since: AwareDatetime
    until: AwareDatetime | None = None
    by: ShortText
    note: ShortText | None = None

    def lasts_at(self, now: datetime) -> bool:
        """Return whether the source is paused at an instant."""
        return self.since <= now and (self.until is None or now < self.until)


_PAUSES = TypeAdapter(tuple[Pause, ...])


def dump_pauses(pauses: Iterable[Pause]) -> str:
    """Return pauses as the text that a row keeps."""
    return _PAUSES.dump_json(tuple(pauses)[-MOST_PAUSES:], exclude_none=True).decode()


def pause_at(pauses: Sequence[Pause], now: datetime) -> Pause | None:
    """Return the pause that lasts at an instant."""
    return next((pause for pause in pauses if pause.lasts_at(now)), None)


def paused_time(pauses: Sequence[Pause], since: datetime, now: datetime) -> timedelta:
    """Return for how long a source was paused between two instants; its pauses do not overlap."""
    spans = (min(now, pause.until or now) - max(since, pause.since) for pause in pauses)
    return sum((span for span in spans if span > timedelta()), timedelta())


def effective_deadline(
    deadline_at: datetime, first_seen_at: datetime, pauses: Sequence[Pause], now: datetime, *, longest_wait: timedelta
) -> datetime:
    """Return a build's deadline, later by as long as its source was paused since the wait began.

    ``longest_wait`` is what the settings allow: a build that is retried was first seen before its wait began.
    """
    began_at = max(first_seen_at, deadline_at - longest_wait)
    return deadline_at + paused_time(pauses, began_at, now)


def paused(pauses: Sequence[Pause], pause: Pause) -> tuple[Pause, ...]:
    """Return the pauses with a new one, which replaces what is left of those that last or are to come."""
    return (*ended(pauses, pause.since), pause)


def ended(pauses: Sequence[Pause], now: datetime) -> tuple[Pause, ...]:
    """Return the pauses as they are when the one that lasts ends now."""
    return tuple(
        pause.model_copy(update={"until": min(now, pause.until or now)}) for pause in pauses if pause.since < now
    )
