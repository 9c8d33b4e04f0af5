"""Task tokens in items of their own: a token is longer than all the rest of a row that every poll rewrites.

The waiting state writes the token into the build's row, in the same call that puts the build in flight. The first
poll after which the build waits on moves it here. An item never changes: its key is derived from the token, so that
a later token of the same build has another item, and a late write cannot replace it by an old token.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256

from courier.ledger.table import Change, Table

_MARK_CHARACTERS = 32


def mark_of(token: str) -> str:
    """Return the short name by which a row refers to its token."""
    return sha256(token.encode()).hexdigest()[:_MARK_CHARACTERS]


class TokenLedger:
    """The tokens in the table, keyed by their marks."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def keep(self, token: str, *, until: datetime) -> str:
        """Store a token until no execution can wait for it any more; return its mark. Harmless when repeated."""
        mark = mark_of(token)
        # The table's time to live deletes it for free: a deletion of ours would be billed.
        change = Change(set={"task_token": token, "expires_at": int(until.timestamp())})
        self._table.update(_key(mark), change)
        return mark

    def find(self, mark: str) -> str | None:
        """Return the token; None when it has expired."""
        token = (self._table.get(_key(mark)) or {}).get("task_token")
        return token if isinstance(token, str) else None


def _key(mark: str) -> str:
    return f"#token/{mark}"
