"""One row per request for a build, so that a repeated invocation does not request the build twice."""

from __future__ import annotations

from datetime import datetime, timedelta

from courier.clock import Clock, stamp
from courier.ledger.table import Change, Table
from courier.models import BuildRef

# Longer than any retry: Lambda repeats an asynchronous invocation for six hours at most, EventBridge for a day.
KEEP_REQUESTS = timedelta(days=14)


class RequestLedger:
    """The request rows, keyed by source and the id of the event."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._clock = clock

    def claim(self, source: str, request_id: str) -> datetime | None:
        """Claim a request before it is sent; return the instant of the claim, None when it was claimed before."""
        now = self._clock()
        row = self._table.update(
            _key(source, request_id),
            Change(
                set={
                    "schema_version": 1,
                    "asked_at": stamp(now),
                    "expires_at": int((now + KEEP_REQUESTS).timestamp()),
                },
                condition="attribute_not_exists(#build)",
            ),
        )
        return None if row is None else now

    def started_build(self, source: str, request_id: str) -> BuildRef | None:
        """Return the build that a request started, None when that is not known."""
        row = self._table.get(_key(source, request_id)) or {}
        started = row.get("started")
        return BuildRef.parse(started) if isinstance(started, str) else None

    def claimed_at(self, source: str, request_id: str) -> datetime:
        """Return the instant at which a request was claimed; now, where that is not known."""
        asked_at = (self._table.get(_key(source, request_id)) or {}).get("asked_at")
        return datetime.fromisoformat(asked_at) if isinstance(asked_at, str) else self._clock()

    def set_started_build(self, request_id: str, ref: BuildRef) -> None:
        """Store the build that a request started."""
        self._table.update(_key(ref.source, request_id), Change(set={"started": str(ref)}))

    def withdraw(self, source: str, request_id: str) -> None:
        """Delete the claim of a request that certainly started nothing, so that a retry may send it again."""
        self._table.delete(_key(source, request_id))


def _key(source: str, request_id: str) -> str:
    return f"#request/{source}/{request_id}"
