"""What operators do to a build, in its row: each act is stored before it has any effect, and only once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from courier.clock import stamp
from courier.errors import LedgerError
from courier.ledger.builds import IN_FLIGHT
from courier.ledger.rows import BuildRow, dump_acts, parse_row
from courier.ledger.table import Change, Table
from courier.models import Act, Passage

if TYPE_CHECKING:
    from courier.clock import Clock
    from courier.ledger.table import Scalar
    from courier.models import BuildRef

# A row keeps the last acts: few enough that a poll, which rewrites the row, stays cheap.
MOST_ACTS = 10
# Another act may come in between; each lost race means that one did.
_ATTEMPTS = 5
# What of an ended attempt must not be in the row of the next one.
_OF_AN_ATTEMPT = (
    *("outcome", "ended_at", "expires_at", "execution", "released_at", "task_token", "kept_token", "stop_requested"),
    *("failures", "not_found", "not_found_since", "last_error", "provider_status", "last_poll_at"),
    *("checkpoint", "checkpoint_upload", "checkpoint_key"),
)


class ActLedger:
    """The acts of operators in the rows of builds."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._clock = clock

    def add(self, ref: BuildRef, act: Act) -> BuildRow | None:
        """Store an act; return the row as it is now, None where there is no row."""
        return self._store(ref, act, Change(condition="attribute_exists(#build)"))

    def request_stop(self, ref: BuildRef, act: Act, *, cancels: bool) -> BuildRow | None:
        """Store that an operator wants the wait to end, and make the build due, so that the poller does it at least.

        Return None when the build is not in flight.
        """
        change = Change(
            set={"stop_requested": "cancel" if cancels else "leave", "next_poll_at": stamp(self._clock())},
            condition=IN_FLIGHT,
        )
        return self._store(ref, act, change)

    def reopen(self, passage: Passage, act: Act, *, deadline_at: datetime, next_poll_at: datetime) -> bool:
        """Put a build that has ended in flight again, with the passage of its next attempt.

        The key of its record stays, so that the next outcome replaces the record. Return False when another
        invocation was faster.
        """
        build, now = passage.build, stamp(self._clock())
        values: Mapping[str, Scalar] = {"before": passage.attempt - 1}
        change = Change(
            set={
                "status": build.status,
                "status_since": now,
                "created_at": None if build.created_at is None else stamp(build.created_at),
                "deadline_at": stamp(deadline_at),
                "due_source": build.ref.source,
                "next_poll_at": stamp(next_poll_at),
                "passage": passage.model_dump_json(exclude_none=True),
                "attempt": passage.attempt,
                "polls": 0,
            },
            remove=_OF_AN_ATTEMPT,
            condition="attribute_exists(#outcome) AND (attribute_not_exists(#attempt) OR #attempt = :before)",
            values=values,
        )
        return self._store(build.ref, act, change) is not None

    def _store(self, ref: BuildRef, act: Act, change: Change) -> BuildRow | None:
        """Write a change together with its act; an act that is stored already changes nothing."""
        for _ in range(_ATTEMPTS):
            found = self._table.get(str(ref))
            if found is None:
                return None
            row = parse_row(found)
            if any(known.id == act.id for known in row.acts):
                return row
            seen = found.get("acts")
            unchanged = "attribute_not_exists(#acts)" if seen is None else "#acts = :seen_acts"
            changed = self._table.update(
                str(ref),
                replace(
                    change,
                    set={**change.set, "acts": dump_acts((*row.acts, act)[-MOST_ACTS:])},
                    condition=f"({change.condition}) AND {unchanged}",
                    values={**change.values, **({} if seen is None else {"seen_acts": seen})},
                ),
            )
            if changed is not None:
                return parse_row(changed)
            if (self._table.get(str(ref)) or {}).get("acts") == seen:
                return None
        raise LedgerError(f"{ref}: other acts were stored in between, repeatedly; try again")
