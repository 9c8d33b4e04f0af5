"""One row per source and per scope: when it was first seen, how it is, what was spent, how long builds take.

Their keys start with ``#``, which no source name can, so they never meet a build's row.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from zlib import crc32

from pydantic import AwareDatetime, ValidationError

from courier.clock import Clock, stamp
from courier.config.validation import describe_validation
from courier.errors import LedgerError
from courier.ledger.table import Change, Scalar, Table
from courier.models import BuildRef, FrozenModel

# Enough to know a distribution by, few enough for one small row. A build's slot comes from its id, so
# noting a duration is one write without a read, and noting it twice changes nothing.
DURATION_SLOTS = 64


class SourceState(FrozenModel):
    """How a source is; ``illness`` is the name of the error that it fell ill with."""

    first_sight_at: AwareDatetime | None = None
    illness: str | None = None
    ill_since: AwareDatetime | None = None
    announced_at: AwareDatetime | None = None
    rest_until: AwareDatetime | None = None
    failures: int = 0
    next_scope: str | None = None


class SourceLedger:
    """The sources in the table."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._clock = clock

    def state(self, source: str) -> SourceState:
        """Read how a source is."""
        return _parse(source, self._table.get(_source_key(source)) or {})

    def note_sight(self, source: str) -> datetime:
        """Note that a source is there, and give the instant when it was seen first."""
        row = self._table.update(
            _source_key(source), Change(keep={"first_sight_at": stamp(self._clock()), "schema_version": 1})
        )
        return _parse(source, row or {}).first_sight_at or self._clock()

    def note_answer(self, source: str) -> None:
        """Forget rest and failures: the source answers."""
        self._table.update(
            _source_key(source),
            Change(set={"failures": 0}, remove=("rest_until",), condition="attribute_not_exists(#illness)"),
        )

    def note_recovery(self, source: str) -> bool:
        """Forget the illness as well; False when somebody else has noted it already."""
        changed = self._table.update(
            _source_key(source),
            Change(
                set={"failures": 0},
                remove=("illness", "ill_since", "rest_until", "announcing_at", "announced_at"),
                condition="attribute_exists(#illness)",
            ),
        )
        return changed is not None

    def note_failure(self, source: str, *, rest: timedelta | None, seen: int) -> None:
        """Count a failed request, and let the source rest for a while.

        ``seen`` is the count that the caller knew, so that many failures at once count as one.
        """
        changes = {"failures": seen + 1, "rest_until": stamp(self._clock() + rest) if rest else None}
        self._table.update(_source_key(source), Change(set=changes))

    def note_illness(self, source: str, illness: str, *, rest: timedelta) -> datetime:
        """Note that only an operator can heal the source, and give the instant since when."""
        now = self._clock()
        row = self._table.update(
            _source_key(source),
            Change(set={"rest_until": stamp(now + rest)}, keep={"illness": illness, "ill_since": stamp(now)}),
        )
        return _parse(source, row or {}).ill_since or now

    def claim_announcement(self, source: str, *, again_after: timedelta) -> bool:
        """Take it upon oneself to announce the illness; False when that was done, or somebody is about to."""
        now = self._clock()
        change = Change(
            set={"announcing_at": stamp(now)},
            condition="attribute_not_exists(#announced_at) "
            "AND (attribute_not_exists(#announcing_at) OR #announcing_at <= :stale)",
            values={"stale": stamp(now - again_after)},
        )
        return self._table.update(_source_key(source), change) is not None

    def note_announced(self, source: str) -> None:
        """Note that the illness has been announced."""
        change = Change(set={"announced_at": stamp(self._clock())}, condition="attribute_exists(#illness)")
        self._table.update(_source_key(source), change)

    def note_next_scope(self, source: str, scope: str | None) -> None:
        """Note where the next discovery begins; None for the beginning."""
        change = Change(remove=("next_scope",)) if scope is None else Change(set={"next_scope": scope})
        self._table.update(_source_key(source), change)

    def spend(self, source: str, *, wanted: int, budget: int, likely_first: bool = False) -> int:
        """Take requests out of this minute's budget, shared by all invocations; gives how many were granted.

        A refused write is billed like any other: who is ``likely_first`` in this minute tries to open it
        before anything else. The answer is the same either way.
        """
        minute = int(self._clock().timestamp() // 60)
        key = _source_key(source)
        opened = Change(
            set={"budget_minute": minute, "spent": min(wanted, budget)},
            condition="attribute_not_exists(#budget_minute) OR #budget_minute < :minute",
            values={"minute": minute},
        )
        taken = Change(
            add={"spent": wanted},
            condition="#budget_minute = :minute AND #spent <= :room",
            values={"minute": minute, "room": budget - wanted},
        )
        ways = [(taken, wanted), (opened, min(wanted, budget))]
        for change, granted in reversed(ways) if likely_first else ways:
            if self._table.update(key, change) is not None:
                return granted
        # There is too little room, or somebody opened the minute just now: everybody adds, and what is
        # over the budget is given back.
        row = self._table.update(key, Change(add={"spent": wanted}))
        over = max(0, int((row or {}).get("spent", 0)) - budget)
        granted = max(0, wanted - over)
        if granted < wanted:
            # Only to the minute that it was taken from: the next one must not begin with a credit.
            given_back = Change(
                add={"spent": granted - wanted}, condition="#budget_minute = :minute", values={"minute": minute}
            )
            self._table.update(key, given_back)
        return granted

    def durations(self, source: str, scope: str) -> list[float]:
        """Give the seconds that the scope's last builds took, in no particular order."""
        row = self._table.get(_scope_key(source, scope)) or {}
        return [float(value) for name, value in row.items() if name.startswith("took_") and not isinstance(value, str)]

    def adopted_at(self, source: str, scope: str) -> datetime | None:
        """Give an instant whose list of the scope has been taken in completely; None before the first."""
        adopted_at = (self._table.get(_scope_key(source, scope)) or {}).get("adopted_at")
        return datetime.fromisoformat(adopted_at) if isinstance(adopted_at, str) else None

    def note_adopted(self, source: str, scope: str, moment: datetime) -> None:
        """Note that a list of the scope has been taken in completely."""
        self._table.update(_scope_key(source, scope), Change(set={"adopted_at": stamp(moment)}))

    def claim_list(self, source: str, scope: str, *, again_after: timedelta) -> bool:
        """Take it upon oneself to list a scope; False when that was done less than ``again_after`` ago."""
        now = self._clock()
        change = Change(
            set={"listed_at": stamp(now)},
            condition="attribute_not_exists(#listed_at) OR #listed_at <= :stale",
            values={"stale": stamp(now - again_after)},
        )
        return self._table.update(_scope_key(source, scope), change) is not None

    def note_duration(self, ref: BuildRef, seconds: float) -> None:
        """Remember how long a build took, from its creation to its end."""
        slot = f"took_{crc32(ref.build_id.encode()) % DURATION_SLOTS}"
        self._table.update(_scope_key(ref.source, ref.scope), Change(set={slot: round(seconds, 1)}))


def _parse(source: str, row: Mapping[str, Scalar]) -> SourceState:
    try:
        return SourceState.model_validate(row)
    except ValidationError as exc:
        raise LedgerError(f"the row of source {source} cannot be read: {describe_validation(exc)}") from exc


def _source_key(source: str) -> str:
    return f"#source/{source}"


def _scope_key(source: str, scope: str) -> str:
    return f"#scope/{source}/{scope}"
