"""The row of a build, whole and as the index projects it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, Json, TypeAdapter, ValidationError

from courier.errors import LedgerError
from courier.ledger.table import Scalar
from courier.models import Act, BuildRef, BuildStatus, FrozenModel, Outcome


def _is_reference(text: str) -> str:
    BuildRef.parse(text)
    return text


BuildKey = Annotated[str, AfterValidator(_is_reference)]


class BuildRow(FrozenModel):
    """A build as the ledger knows it; attributes of a newer version are ignored.

    ``task_token``, ``kept_token``
        The task token of the execution, as the waiting state wrote it, or its mark in the `TokenLedger`.
        With both, the state was entered again, and the former is the newer one.
    ``failures``, ``not_found``, ``not_found_since``, ``last_error``
        Polls in a row without a status; those of them that found no build, since when; the text of the last one.
    ``provider_status``
        The provider's own status, where it is unknown to us.
    ``last_poll_at``
        The last time that the build was claimed for a poll; rows of earlier versions have none.
    ``passage``
        The input of the execution; removed when the execution has been started.
    ``attempt``, ``acts``, ``stop_requested``
        The number of the attempt, if an operator retried the build; what operators did to it; and whether one wants
        the wait to end: ``cancel`` also asks the provider to cancel the build, ``leave`` does not.
    """

    schema_version: int
    build: BuildKey
    status: BuildStatus = BuildStatus.UNKNOWN
    first_seen_at: AwareDatetime
    created_at: AwareDatetime | None = None
    status_since: AwareDatetime | None = None
    deadline_at: AwareDatetime
    next_poll_at: str | None = None
    task_token: str | None = None
    kept_token: str | None = None
    execution: str | None = None
    polls: int = 0
    last_poll_at: AwareDatetime | None = None
    failures: int = 0
    not_found: int = 0
    not_found_since: AwareDatetime | None = None
    provider_status: str | None = None
    last_error: str | None = None
    passage: str | None = None
    checkpoint: str | None = None
    checkpoint_upload: str | None = None
    checkpoint_key: str | None = None
    outcome: Outcome | None = None
    record_key: str | None = None
    attempt: int = 1
    acts: Json[tuple[Act, ...]] = ()
    stop_requested: str | None = None

    @property
    def ref(self) -> BuildRef:
        """The build of this row."""
        return BuildRef.parse(self.build)

    def with_status(self, status: BuildStatus, provider_status: str | None, *, now: datetime) -> BuildRow:
        """Return the row as it is after a poll with this status."""
        since = self.status_since if status is self.status else now
        update = {"status": status, "status_since": since, "provider_status": provider_status, "last_error": None}
        return self.model_copy(update=update)

    @property
    def last_report(self) -> str:
        """What the provider said last, for a reader: an error, an unknown status, or the status."""
        if self.last_error is not None:
            return f"the last poll failed: {self.last_error}"
        if self.status is BuildStatus.UNKNOWN and self.provider_status:
            return f"the provider's last status was {self.provider_status!r}, which is unknown"
        return f"the last status was {self.status}"

    @property
    def has_token(self) -> bool:
        """Whether an execution waits for the build."""
        return self.task_token is not None or self.kept_token is not None


class DueBuild(FrozenModel):
    """A build in the index of builds in flight; ``next_poll_at`` is the condition of the claim."""

    build: BuildKey
    status: BuildStatus = BuildStatus.UNKNOWN
    next_poll_at: str
    first_seen_at: AwareDatetime
    created_at: AwareDatetime | None = None
    deadline_at: AwareDatetime

    @property
    def ref(self) -> BuildRef:
        """The build of this row."""
        return BuildRef.parse(self.build)


_ACTS = TypeAdapter(tuple[Act, ...])


def dump_acts(acts: Sequence[Act]) -> str:
    """Return acts as the text that a row keeps."""
    return _ACTS.dump_json(tuple(acts), exclude_none=True).decode()


def parse_row(row: Mapping[str, Scalar]) -> BuildRow:
    """Parse a whole row.

    Raises
    ------
    LedgerError
        The row was written by a newer version, or edited by hand.
    """
    try:
        return BuildRow.model_validate(row)
    except ValidationError as exc:
        raise LedgerError(f"row {row.get('build')} cannot be read: {exc.error_count()} wrong attributes") from exc


def parse_due_or_none(row: Mapping[str, Scalar]) -> DueBuild | None:
    """Parse an entry of the index; return None where `parse_due` raises."""
    try:
        return parse_due(row)
    except LedgerError:
        return None


def parse_due(row: Mapping[str, Scalar]) -> DueBuild:
    """Parse an entry of the index; raises like `parse_row`."""
    try:
        return DueBuild.model_validate(row)
    except ValidationError as exc:
        raise LedgerError(f"row {row.get('build')} cannot be read: {exc.error_count()} wrong attributes") from exc
