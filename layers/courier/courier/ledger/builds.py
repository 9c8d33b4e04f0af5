"""One row per build: its last known status, and what has been done for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256

from courier.clock import Clock, stamp
from courier.errors import LedgerError
from courier.ledger.rows import BuildRow, DueBuild, dump_acts, parse_due, parse_due_or_none, parse_row
from courier.ledger.sources import LAST_ERROR_CHARACTERS
from courier.ledger.table import Change, Scalar, Table
from courier.models import Act, BuildRef, BuildStatus, Outcome, Passage
from courier.observability.logger import logger

ROW_VERSION = 1
# Long enough that a build which its provider still lists is never taken for a new one: see discovery.MAX_BUILD_AGE.
KEEP_ENDED = timedelta(days=400)
# A row that this version cannot read was written by a newer version or by hand: neither changes by the minute.
UNREADABLE_RETRY = timedelta(hours=1)
# Sorts after every stamp.
END_OF_TIME = "9999-12-31T23:59:59.999Z"
# Longer than a waiting state waits on after the deadline: see evaluation.EXECUTION_GRACE.
KEEP_TOKENS = timedelta(days=2)
_TOKEN_MARK_CHARACTERS = 32
# Removing these attributes takes a row out of the index of builds in flight.
IN_FLIGHT_ATTRIBUTES = ("due_source", "next_poll_at", "task_token", "kept_token")
IN_FLIGHT = "attribute_exists(#due_source)"


class BuildLedger:
    """The build rows. Every write is conditional or harmless when repeated."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._clock = clock
        self._tokens = TokenLedger(table)

    def register(self, passage: Passage, *, next_poll_at: datetime, acts: Sequence[Act] = ()) -> bool:
        """Create the row of a build before anything is done for it; return False when there is one already.

        The row holds the passage, so that an invocation that finds a row without an execution starts
        the very same one.
        """
        build = passage.build
        row = self._table.update(
            str(build.ref),
            Change(
                set={
                    "schema_version": ROW_VERSION,
                    "status": build.status,
                    "first_seen_at": stamp(passage.first_seen_at),
                    "status_since": stamp(passage.first_seen_at),
                    "created_at": _stamp_or_none(build.created_at),
                    "deadline_at": stamp(passage.first_seen_at + timedelta(seconds=passage.wait_seconds)),
                    "due_source": build.ref.source,
                    "next_poll_at": stamp(next_poll_at),
                    "passage": passage.model_dump_json(exclude_none=True),
                    "acts": dump_acts(acts) if acts else None,
                },
                condition="attribute_not_exists(#build)",
            ),
        )
        return row is not None

    def set_execution(self, ref: BuildRef, execution: str, *, waits: bool) -> None:
        """Store that the build's execution has been started; a build that does not wait needs no polls."""
        remove = ("passage", *(() if waits else IN_FLIGHT_ATTRIBUTES))
        self._table.update(str(ref), Change(set={"execution": execution}, remove=remove))

    def find(self, ref: BuildRef) -> BuildRow | None:
        """Read the row of one build."""
        row = self._table.get(str(ref))
        return None if row is None else parse_row(row)

    def find_many(self, refs: Iterable[BuildRef]) -> dict[BuildRef, BuildRow | None]:
        """Read the rows of known builds; None stands for a row that this version cannot read."""
        by_key = {str(ref): ref for ref in refs}
        found: dict[BuildRef, BuildRow | None] = {}
        for row in self._table.get_many(sorted(by_key)):
            ref = by_key[str(row["build"])]
            try:
                found[ref] = parse_row(row)
            except LedgerError as exc:
                logger.error("row cannot be read", reason=str(exc))
                found[ref] = None
        return found

    def due(self, source: str, *, limit: int) -> Sequence[DueBuild]:
        """Return the builds of a source that are due now, the one that has waited longest first.

        A row that cannot be read is postponed, so that it does not block the others.
        """
        readable = []
        for row in self._table.due(source, until=stamp(self._clock()), limit=limit):
            try:
                readable.append(parse_due(row))
            except LedgerError as exc:
                logger.error("row cannot be read", reason=str(exc), again_in=str(UNREADABLE_RETRY))
                self._postpone(row)
        return readable

    def in_flight(self, source: str, *, limit: int) -> Sequence[DueBuild]:
        """Return the builds of a source that are in flight, due or not; changes nothing."""
        rows = self._table.due(source, until=END_OF_TIME, limit=limit)
        return [build for row in rows if (build := parse_due_or_none(row)) is not None]

    def claim(self, due: DueBuild, *, next_poll_at: datetime) -> BuildRow | None:
        """Claim a due build for one poll: its next poll is set *before* the request is sent.

        So no path, not even a crash, can poll early. Return None when another poller was faster.
        """
        row = self._table.update(
            due.build,
            Change(
                set={"next_poll_at": stamp(next_poll_at), "last_poll_at": stamp(self._clock())},
                add={"polls": 1},
                condition="#next_poll_at = :seen",
                values={"seen": due.next_poll_at},
            ),
        )
        return None if row is None else parse_row(row)

    def make_due(self, ref: BuildRef) -> None:
        """Make a build due at the next tick, if it is still in flight."""
        self._table.update(
            str(ref),
            Change(set={"next_poll_at": stamp(self._clock())}, condition=IN_FLIGHT),
        )

    def postpone(self, row: BuildRow, *, until: datetime) -> None:
        """Move the next poll of a build in flight to a later time; an earlier one changes nothing and costs nothing."""
        if row.next_poll_at is None or stamp(until) <= row.next_poll_at:
            return
        change = Change(
            set={"next_poll_at": stamp(until)},
            condition=f"{IN_FLIGHT} AND #next_poll_at = :seen",
            values={"seen": row.next_poll_at},
        )
        self._table.update(row.build, change)

    def set_status(self, row: BuildRow, status: BuildStatus, *, provider_status: str | None = None) -> None:
        """Store a status, and move the task token to its own item; writes only what has changed.

        With the token the row exceeds one KB, and every poll would be billed as two writes.
        """
        changes: dict[str, Scalar | None] = {}
        if status is not row.status:
            changes |= {"status": status, "status_since": stamp(self._clock())}
        if provider_status is not None and provider_status != row.provider_status:
            changes |= {"provider_status": provider_status}
        remove: tuple[str, ...] = ()
        if row.failures or row.not_found:
            changes |= {"failures": 0, "not_found": 0}
            remove = ("last_error", "not_found_since")
        if row.task_token is not None:
            until = self._clock() + (row.deadline_at - row.first_seen_at) + KEEP_TOKENS
            changes["kept_token"] = self._tokens.keep(row.task_token, until=until)
            moved = Change(
                set=changes,
                remove=("task_token", *remove),
                condition=f"{IN_FLIGHT} AND #task_token = :token",
                values={"token": row.task_token},
            )
            self._table.update(row.build, moved)
        elif changes:
            self._table.update(row.build, Change(set=changes, remove=remove, condition=IN_FLIGHT))

    def count_failure(self, row: BuildRow, error: str, *, not_found: bool) -> BuildRow | None:
        """Count a poll without a status, and store its error.

        Return the row with its new counts, None when the build is not in flight.
        """
        change = Change(
            add={"not_found" if not_found else "failures": 1},
            set={"last_error": error[:LAST_ERROR_CHARACTERS]},
            keep={"not_found_since": stamp(self._clock())} if not_found else {},
            condition=IN_FLIGHT,
        )
        changed = self._table.update(row.build, change)
        return None if changed is None else parse_row(changed)

    def task_token(self, row: BuildRow) -> str | None:
        """Return the token that the build's execution waits for; None when it has expired."""
        if row.task_token is not None or row.kept_token is None:
            return row.task_token
        return self._tokens.find(row.kept_token)

    def mark_released(self, row: BuildRow) -> bool:
        """Take a build whose execution goes on out of the index of builds in flight.

        Return False when the row refers to another token by now: the state was entered again (a redrive, a retry of
        the write), so that an execution waits that this release did not reach.
        """
        condition, values = "attribute_not_exists(#task_token) AND #kept_token = :mark", {"mark": row.kept_token or ""}
        if row.task_token is not None:
            # Another poll may have moved it meanwhile.
            condition = f"#task_token = :token OR ({condition})"
            values = {"token": row.task_token, "mark": mark_of(row.task_token)}
        change = Change(
            set={"released_at": stamp(self._clock())},
            remove=IN_FLIGHT_ATTRIBUTES,
            condition=condition,
            values=values,
        )
        return self._table.update(row.build, change) is not None

    def take_out_of_flight(self, ref: BuildRef) -> None:
        """Take a build whose execution never waited out of flight; a redrive puts it back."""
        never_waited = "attribute_not_exists(#task_token) AND attribute_not_exists(#kept_token)"
        change = Change(remove=IN_FLIGHT_ATTRIBUTES, condition=never_waited)
        self._table.update(str(ref), change)

    def wait_on(self, passage: Passage, *, after: str) -> None:
        """Store the passage of another execution for a build in flight, after this one that no longer waits.

        Does nothing when the other one has been started.
        """
        change = Change(
            set={"passage": passage.model_dump_json(exclude_none=True)},
            remove=("execution", "task_token", "kept_token"),
            condition=f"{IN_FLIGHT} AND (attribute_not_exists(#execution) OR #execution = :after)",
            values={"after": after},
        )
        self._table.update(str(passage.build.ref), change)

    def close(
        self, ref: BuildRef, outcome: Outcome, *, record_key: str, build: Mapping[str, Scalar], attempt: int = 1
    ) -> BuildRow | None:
        """Store the outcome of an attempt, and return the row as it is now; None when a later attempt has begun.

        A build has one record: a record key that was stored before stays, so that a repeated
        or redriven step writes the same object again, and a retried build replaces its record.
        """
        now = self._clock()
        row = self._table.update(
            str(ref),
            Change(
                set={
                    "schema_version": ROW_VERSION,
                    "outcome": outcome,
                    "ended_at": stamp(now),
                    "expires_at": int((now + KEEP_ENDED).timestamp()),
                    **build,
                },
                keep={"record_key": record_key, "first_seen_at": stamp(now), "deadline_at": stamp(now)},
                remove=(*IN_FLIGHT_ATTRIBUTES, "stop_requested"),
                condition="attribute_not_exists(#attempt) OR #attempt <= :attempt",
                values={"attempt": attempt},
            ),
        )
        return None if row is None else parse_row(row)

    def _postpone(self, row: Mapping[str, Scalar]) -> None:
        change = Change(
            set={"next_poll_at": stamp(self._clock() + UNREADABLE_RETRY)},
            condition="#next_poll_at = :seen",
            values={"seen": row["next_poll_at"]},
        )
        self._table.update(str(row["build"]), change)

    def checkpoint(self, ref: BuildRef) -> str | None:
        """Read the checkpoint of an unfinished copy of the build's report."""
        row = self.find(ref)
        return None if row is None else row.checkpoint

    def save_checkpoint(self, ref: BuildRef, *, upload_id: str, key: str, text: str) -> bool:
        """Store a checkpoint; return False when there is one already."""
        change = Change(
            set={"checkpoint": text, "checkpoint_upload": upload_id, "checkpoint_key": key},
            condition="attribute_not_exists(#checkpoint)",
        )
        return self._table.update(str(ref), change) is not None

    def advance_checkpoint(self, ref: BuildRef, upload_id: str, text: str) -> None:
        """Replace the checkpoint by a newer state of the same upload; does nothing when another one is stored."""
        self._table.update(
            str(ref),
            Change(set={"checkpoint": text}, condition="#checkpoint_upload = :upload", values={"upload": upload_id}),
        )

    def clear_checkpoint(self, ref: BuildRef, upload_id: str) -> None:
        """Delete the checkpoint if it belongs to this upload."""
        self._table.update(
            str(ref),
            Change(
                remove=("checkpoint", "checkpoint_upload", "checkpoint_key"),
                condition="#checkpoint_upload = :upload",
                values={"upload": upload_id},
            ),
        )


def mark_of(token: str) -> str:
    """Return the short name by which a row refers to its token."""
    return sha256(token.encode()).hexdigest()[:_TOKEN_MARK_CHARACTERS]


class TokenLedger:
    """Task tokens in items of their own, keyed by their marks.

    A token is longer than all the rest of a row that every poll rewrites. The waiting state writes it into the
    build's row, in the same call that puts the build in flight; the first poll after which the build waits on moves
    it here. An item never changes: its key is derived from the token, so that a later token of the same build has
    another item, and a late write cannot replace it by an old token.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def keep(self, token: str, *, until: datetime) -> str:
        """Store a token until no execution can wait for it any more; return its mark. Harmless when repeated."""
        mark = mark_of(token)
        # The table's time to live deletes it for free: a deletion of ours would be billed.
        change = Change(set={"task_token": token, "expires_at": int(until.timestamp())})
        self._table.update(_token_key(mark), change)
        return mark

    def find(self, mark: str) -> str | None:
        """Return the token; None when it has expired."""
        token = (self._table.get(_token_key(mark)) or {}).get("task_token")
        return token if isinstance(token, str) else None


def _token_key(mark: str) -> str:
    return f"#token/{mark}"


def _stamp_or_none(moment: datetime | None) -> str | None:
    return None if moment is None else stamp(moment)
