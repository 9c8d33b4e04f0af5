"""One row per request for a build, so that a repeated invocation does not ask the provider twice."""

from __future__ import annotations

from datetime import datetime, timedelta

from courier.clock import Clock, stamp
from courier.ledger.table import Change, Table
from courier.models import BuildRef

# Longer than any retry: Lambda repeats an asynchronous invocation for six hours at most, EventBridge for a day.
KEEP_REQUESTS = timedelta(days=14)


class RequestLedger:
    """The requests in the table, keyed by source and the id of the event that asked."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._clock = clock

    def claim(self, source: str, request_id: str) -> datetime | None:
        """Note that the provider is about to be asked; None when that was noted before."""
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

    def started(self, source: str, request_id: str) -> BuildRef | None:
        """Give the build that a request led to, None when that is not known."""
        row = self._table.get(_key(source, request_id)) or {}
        started = row.get("started")
        return BuildRef.parse(started) if isinstance(started, str) else None

    def asked_at(self, source: str, request_id: str) -> datetime:
        """Give the instant at which the provider was about to be asked; now, where that is not known."""
        asked_at = (self._table.get(_key(source, request_id)) or {}).get("asked_at")
        return datetime.fromisoformat(asked_at) if isinstance(asked_at, str) else self._clock()

    def note_started(self, request_id: str, ref: BuildRef) -> None:
        """Note the build that a request led to."""
        self._table.update(_key(ref.source, request_id), Change(set={"started": str(ref)}))

    def withdraw(self, source: str, request_id: str) -> None:
        """Forget a request that certainly started nothing, so that a retry may ask again."""
        self._table.delete(_key(source, request_id))


def _key(source: str, request_id: str) -> str:
    return f"#request/{source}/{request_id}"
