"""One row per source and per scope: first discovery, health, requests of this minute, and durations of builds.

Their keys start with ``#``, which no source name can, so they never collide with a build's row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated
from zlib import crc32

from pydantic import AwareDatetime, Field, Json, TypeAdapter, ValidationError

from courier.clock import Clock, stamp
from courier.config.validation import describe_validation
from courier.errors import LedgerError
from courier.ledger.pauses import Pause, dump_pauses
from courier.ledger.table import Change, Scalar, Table
from courier.models import BuildRef, FrozenModel

# Enough to estimate a distribution, few enough for one small row. A build's slot is derived from its id, so
# storing a duration is one write without a read, and storing it twice changes nothing.
DURATION_SLOTS = 64
# Enough for what a provider says; a row of the ledger stays below one KB, which is what one write is billed for.
LAST_ERROR_CHARACTERS = 200


class SourceState(FrozenModel):
    """The state of a source.

    ``unhealthy_error``, ``unhealthy_config``
        The name of the error that made it unhealthy, and the version of settings and secret at that time.
    ``failures``, ``last_error``
        Failed requests in a row, and the text of the last error.
    ``auth_failed_at``
        The first time that the provider refused the API key; a second refusal makes the source unhealthy.
    ``failing_scopes``
        How many scopes cannot be listed; `SourceLedger.failing_scopes` says which and why.
    ``next_scope``, ``round_started_at``, ``scopes``, ``unlisted_scopes``
        Where the next discovery continues, since when this round through all scopes runs, how many scopes there
        are, and how many of them this round has still to list.
    ``pauses``
        When an operator paused the source: `courier.ledger.pauses`.

    The aliases are the attributes of the row, which stay as the first release wrote them.
    """

    first_discovery_at: Annotated[AwareDatetime | None, Field(validation_alias="first_sight_at")] = None
    unhealthy_error: Annotated[str | None, Field(validation_alias="illness")] = None
    unhealthy_since: Annotated[AwareDatetime | None, Field(validation_alias="ill_since")] = None
    announced_at: AwareDatetime | None = None
    backoff_until: Annotated[AwareDatetime | None, Field(validation_alias="rest_until")] = None
    failures: int = 0
    last_error: str | None = None
    next_scope: str | None = None
    round_started_at: AwareDatetime | None = None
    scopes: int = 0
    unlisted_scopes: int = 0
    failing_scopes: int = 0
    auth_failed_at: AwareDatetime | None = None
    unhealthy_config: str | None = None
    pauses: Json[tuple[Pause, ...]] = ()

    @property
    def is_unhealthy_as_a_whole(self) -> bool:
        """Whether the source itself is unhealthy, and not only some of its scopes."""
        return self.is_unhealthy and not (self.failing_scopes and self.unhealthy_config is None)

    @property
    def is_unhealthy(self) -> bool:
        """Whether only an operator can fix the source."""
        return self.unhealthy_error is not None


class FailingScope(FrozenModel):
    """A scope that cannot be listed: the last error, how often in a row, and when it is tried again."""

    error: str
    message: str
    since: AwareDatetime
    failures: int
    retry_at: AwareDatetime


_FAILING_SCOPES = TypeAdapter(dict[str, FailingScope])


class SourceLedger:
    """The rows of sources and scopes."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._clock = clock

    def state(self, source: str) -> SourceState:
        """Read the state of a source."""
        return _parse(source, self._table.get(_source_key(source)) or {})

    def first_discovery_at(self, source: str) -> datetime:
        """Return the instant of the first discovery of a source, and store it when this is the first."""
        row = self._table.update(
            _source_key(source), Change(keep={"first_sight_at": stamp(self._clock()), "schema_version": 1})
        )
        return _parse(source, row or {}).first_discovery_at or self._clock()

    def reset_failures(self, source: str, *, unhealthy: bool) -> None:
        """Reset failures and backoff after a success; a source that is unhealthy stays so.

        Does nothing when the caller took an unhealthy source for a healthy one: another invocation knows better.
        """
        condition = "attribute_exists(#illness)" if unhealthy else "attribute_not_exists(#illness)"
        change = Change(
            set={"failures": 0},
            remove=("rest_until", "auth_failed_at", "last_error", "unhealthy_config"),
            condition=condition,
        )
        self._table.update(_source_key(source), change)

    def set_auth_failed(self, source: str, error: str) -> None:
        """Store that the provider refused the API key, which one more refusal makes certain."""
        change = Change(set={"auth_failed_at": stamp(self._clock()), "last_error": error[:LAST_ERROR_CHARACTERS]})
        self._table.update(_source_key(source), change)

    def set_pauses(self, source: str, pauses: Sequence[Pause], *, seen: Sequence[Pause]) -> bool:
        """Store the pauses of a source; return False when another operator was faster."""
        known = "#pauses = :seen" if seen else "(attribute_not_exists(#pauses) OR #pauses = :seen)"
        change = Change(set={"pauses": dump_pauses(pauses)}, condition=known, values={"seen": dump_pauses(seen)})
        return self._table.update(_source_key(source), change) is not None

    def end_backoff(self, source: str) -> None:
        """Let a source be called at once, and its failing scopes be tried again."""
        self._table.update(_source_key(source), Change(remove=("rest_until",)))
        if scopes := self.failing_scopes(source):
            now = self._clock()
            self.set_failing_scopes(
                source, {name: each.model_copy(update={"retry_at": now}) for name, each in scopes.items()}
            )

    def failing_scopes(self, source: str) -> dict[str, FailingScope]:
        """Return the scopes that cannot be listed; a row that cannot be read counts as none."""
        row = self._table.get(_failing_key(source)) or {}
        try:
            return _FAILING_SCOPES.validate_json(str(row.get("scopes", "{}")))
        except ValidationError:
            return {}

    def set_failing_scopes(self, source: str, scopes: Mapping[str, FailingScope]) -> None:
        """Store the scopes that cannot be listed, and their number in the row of the source."""
        text = _FAILING_SCOPES.dump_json(dict(scopes)).decode()
        self._table.update(_failing_key(source), Change(set={"scopes": text, "schema_version": 1}))
        self._table.update(_source_key(source), Change(set={"failing_scopes": len(scopes)}))

    def mark_recovered(self, source: str) -> SourceState | None:
        """Mark an unhealthy source healthy; return its state until then, or None for one that is healthy already."""
        before = self._table.update(
            _source_key(source),
            Change(
                set={"failures": 0},
                remove=(
                    "illness",
                    "ill_since",
                    "rest_until",
                    "announcing_at",
                    "announced_at",
                    "last_error",
                    "auth_failed_at",
                    "unhealthy_config",
                ),
                condition="attribute_exists(#illness)",
                returns="ALL_OLD",
            ),
        )
        return None if before is None else _parse(source, before)

    def count_failure(self, source: str, error: str, *, backoff: timedelta | None, seen: SourceState) -> None:
        """Count a failed request, and back off for a while.

        ``seen`` is the state that the caller knew, so that concurrent failures count as one. A failure of another kind
        ends the watch for changed settings: they were not its cause.
        """
        changes: dict[str, Scalar | None] = {
            "failures": seen.failures + 1,
            "unhealthy_config": None if seen.unhealthy_config is None else "",
            "last_error": error[:LAST_ERROR_CHARACTERS],
            "rest_until": stamp(self._clock() + backoff) if backoff else None,
        }
        self._table.update(_source_key(source), Change(set=changes))

    def mark_unhealthy(
        self, source: str, error: str, message: str, *, backoff: timedelta | None, config: str | None = None
    ) -> datetime:
        """Mark a source unhealthy, and return the instant since when it is.

        ``backoff`` is None where the rest of the source works; ``config`` is the version of settings and secret.
        """
        now = self._clock()
        row = self._table.update(
            _source_key(source),
            Change(
                set={
                    "rest_until": stamp(now + backoff) if backoff else None,
                    "unhealthy_config": config,
                    "last_error": message[:LAST_ERROR_CHARACTERS],
                },
                keep={"illness": error, "ill_since": stamp(now)},
            ),
        )
        return _parse(source, row or {}).unhealthy_since or now

    def claim_announcement(self, source: str, *, since: datetime, timeout: timedelta) -> bool:
        """Claim the announcement of an unhealthy source.

        Return False when it is announced or claimed already, or when the period that began at ``since`` is over.
        """
        now = self._clock()
        change = Change(
            set={"announcing_at": stamp(now)},
            condition="#ill_since = :since AND attribute_not_exists(#announced_at) "
            "AND (attribute_not_exists(#announcing_at) OR #announcing_at <= :stale)",
            values={"since": stamp(since), "stale": stamp(now - timeout)},
        )
        return self._table.update(_source_key(source), change) is not None

    def mark_announced(self, source: str, *, since: datetime) -> bool:
        """Store that the unhealthy source has been announced; return False when that period is over already."""
        change = Change(
            set={"announced_at": stamp(self._clock())},
            condition="#ill_since = :since",
            values={"since": stamp(since)},
        )
        return self._table.update(_source_key(source), change) is not None

    def set_progress(
        self, source: str, *, next_scope: str | None, round_started_at: datetime | None, scopes: int, unlisted: int
    ) -> None:
        """Store how far this round through all scopes has come; None for a round that is complete."""
        counts = {"scopes": scopes, "unlisted_scopes": unlisted}
        if next_scope is None or round_started_at is None:
            change = Change(set=counts, remove=("next_scope", "round_started_at"))
        else:
            change = Change(set={**counts, "next_scope": next_scope, "round_started_at": stamp(round_started_at)})
        self._table.update(_source_key(source), change)

    def take_requests(self, source: str, *, wanted: int, limit: int, likely_first: bool = False) -> int:
        """Take requests out of this minute, shared by all invocations; return how many were granted.

        Refused writes are billed. ``likely_first=True`` tries to open the minute first, which saves one write
        when the guess is right and changes nothing else.
        """
        minute = int(self._clock().timestamp() // 60)
        key = _source_key(source)
        opened = Change(
            set={"budget_minute": minute, "spent": min(wanted, limit)},
            condition="attribute_not_exists(#budget_minute) OR #budget_minute < :minute",
            values={"minute": minute},
        )
        taken = Change(
            add={"spent": wanted},
            condition="#budget_minute = :minute AND #spent <= :room",
            values={"minute": minute, "room": limit - wanted},
        )
        changes = [(taken, wanted), (opened, min(wanted, limit))]
        for change, granted in reversed(changes) if likely_first else changes:
            if self._table.update(key, change) is not None:
                return granted
        # There is too little room, or another invocation has just opened the minute: add anyway, and return what
        # exceeds the limit.
        row = self._table.update(key, Change(add={"spent": wanted}))
        over = max(0, int((row or {}).get("spent", 0)) - limit)
        granted = max(0, wanted - over)
        if granted < wanted:
            # Only to the minute that they were taken from: the next one must not start with a credit.
            returned = Change(
                add={"spent": granted - wanted}, condition="#budget_minute = :minute", values={"minute": minute}
            )
            self._table.update(key, returned)
        return granted

    def durations(self, source: str, scope: str) -> list[float]:
        """Return the durations of the scope's last builds in seconds, in no particular order."""
        row = self._table.get(_scope_key(source, scope)) or {}
        return [float(value) for name, value in row.items() if name.startswith("took_") and not isinstance(value, str)]

    def last_list_at(self, source: str, scope: str) -> datetime | None:
        """Return the instant of a list whose builds have all been processed; None before the first."""
        last_list_at = (self._table.get(_scope_key(source, scope)) or {}).get("adopted_at")
        return datetime.fromisoformat(last_list_at) if isinstance(last_list_at, str) else None

    def set_last_list_at(self, source: str, scope: str, moment: datetime) -> None:
        """Store the instant of a list whose builds have all been processed."""
        self._table.update(_scope_key(source, scope), Change(set={"adopted_at": stamp(moment)}))

    def claim_list(self, source: str, scope: str, *, max_age: timedelta) -> bool:
        """Claim the listing of a scope; return False when another invocation listed it less than ``max_age`` ago."""
        now = self._clock()
        change = Change(
            set={"listed_at": stamp(now)},
            condition="attribute_not_exists(#listed_at) OR #listed_at <= :stale",
            values={"stale": stamp(now - max_age)},
        )
        return self._table.update(_scope_key(source, scope), change) is not None

    def store_duration(self, ref: BuildRef, seconds: float) -> None:
        """Store how long a build took, from its creation to its end."""
        slot = f"took_{crc32(ref.build_id.encode()) % DURATION_SLOTS}"
        self._table.update(_scope_key(ref.source, ref.scope), Change(set={slot: round(seconds, 1)}))


def _parse(source: str, row: Mapping[str, Scalar]) -> SourceState:
    try:
        return SourceState.model_validate(row)
    except ValidationError as exc:
        raise LedgerError(f"the row of source {source} cannot be read: {describe_validation(exc)}") from exc


def _source_key(source: str) -> str:
    return f"#source/{source}"


def _failing_key(source: str) -> str:
    return f"#failing/{source}"


def _scope_key(source: str, scope: str) -> str:
    return f"#scope/{source}/{scope}"
