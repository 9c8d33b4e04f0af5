"""Task tokens in items of their own: they are longer than all else in a row that every look rewrites.

A token is written into its build's row by the waiting state, in the call that puts the build among those in flight.
The first look that goes on waiting moves it here. An item never changes: its key comes from the token, so that a
later token of the same build has another one, and nothing that comes late can put an old token in its place.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256

from courier.ledger.table import Change, Table

_MARK_CHARACTERS = 32


def mark_of(token: str) -> str:
    """Give the short name by which a row refers to its token."""
    return sha256(token.encode()).hexdigest()[:_MARK_CHARACTERS]


class TokenLedger:
    """The tokens in the table, keyed by their marks."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def keep(self, token: str, *, until: datetime) -> str:
        """Keep a token until nobody can wait for it any more, and give its mark; harmless when repeated."""
        mark = mark_of(token)
        # Forgotten by the table's time to live: a deletion of ours would be billed.
        change = Change(set={"task_token": token, "expires_at": int(until.timestamp())})
        self._table.update(_key(mark), change)
        return mark

    def find(self, mark: str) -> str | None:
        """Give the token; None when its time was over."""
        token = (self._table.get(_key(mark)) or {}).get("task_token")
        return token if isinstance(token, str) else None


def _key(mark: str) -> str:
    return f"#token/{mark}"
