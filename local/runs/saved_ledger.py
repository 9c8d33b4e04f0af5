"""What a run leaves for the next one in ``ledger.json``: the rows of the ledger, ready to be continued.

Nothing of the embedded AWS outlives its process, so a saved row refers to no execution, task token or upload. The row
of a build in flight holds the input of its execution instead, like a row whose registration was interrupted: the
functions start the execution of such a row at the first tick (`courier.builds.executions.Executions.start_missing`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from courier.clock import stamp
from courier.config.validation import describe_validation
from courier.errors import SettingsError
from courier.ledger.table import Scalar
from courier.models import BuildRef
from local.embedded.results import ExecutionReport, MirroredObject

# What a row must not bring into another process.
_OF_THE_PROCESS = frozenset(
    {
        "execution",
        "task_token",
        "kept_token",
        "released_at",
        "checkpoint",
        "checkpoint_upload",
        "checkpoint_key",
    }
)
_OF_THE_END = frozenset({"outcome", "ended_at", "expires_at"})
# Health and rate limit of a source begin anew: an operator who starts a run again has probably repaired something.
_KEPT_OF_A_SOURCE = frozenset({"build", "schema_version", "first_sight_at"})

Row = Mapping[str, Scalar]


class SavedLedger(BaseModel):
    """The content of ``ledger.json``.

    ``simulated``
        Whether the providers were simulated: their builds do not outlive a run.
    ``objects``
        The properties of the objects in the folder ``bucket``, by key.
    """

    model_config = ConfigDict(extra="ignore")

    version: Literal[1] = 1
    simulated: bool
    rows: list[dict[str, Annotated[Scalar, Field(union_mode="smart")]]] = []
    objects: dict[str, MirroredObject] = {}

    def rows_of(self, sources: Iterable[str]) -> list[Row]:
        """Return the rows to continue with: those of ended builds, of these sources, and of their scopes."""
        wanted = set(sources)
        return [row for row in self.rows if is_ended(row) or source_of(row) in wanted]

    def set_aside(self, sources: Iterable[str]) -> list[Row]:
        """Return the other rows, which stay in the file: a source may be configured again."""
        used = {str(row["build"]) for row in self.rows_of(sources)}
        return [row for row in self.rows if str(row["build"]) not in used]


def read_ledger(path: Path) -> SavedLedger | None:
    """Read ``ledger.json``; return None when there is none.

    Raises
    ------
    SettingsError
        The file cannot be read, or a later version wrote it.
    """
    try:
        return SavedLedger.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValidationError as exc:
        reason = describe_validation(exc)
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or type(exc).__name__
    raise SettingsError(f"{path}: cannot be continued ({reason}); name another folder with --out, or add --fresh")


def rows_to_save(rows: Iterable[Mapping[str, object]], executions: Sequence[ExecutionReport]) -> list[Row]:
    """Return the rows of a running ledger as the next run can continue with them."""
    by_arn = {run.arn: run for run in executions}
    kept = (_row_to_save(_plain(row), by_arn) for row in rows)
    return [row for row in kept if row is not None]


def rows_to_restore(rows: Iterable[Row], *, now: datetime) -> list[Row]:
    """Return saved rows as they are written to the new ledger: every build in flight is due at once."""
    return [
        {**row, "next_poll_at": stamp(now - timedelta(milliseconds=1))} if is_in_flight(row) else row for row in rows
    ]


def source_of(row: Row) -> str:
    """Return the source of a build's row, or of a row about a source, a scope or a request."""
    kind, _, rest = str(row["build"]).partition("/")
    return rest.partition("/")[0] if kind.startswith("#") else kind


def is_build(row: Row) -> bool:
    """Return whether the row is a build's."""
    return not str(row["build"]).startswith("#")


def is_ended(row: Row) -> bool:
    """Return whether the row is that of a build with an outcome."""
    return is_build(row) and "outcome" in row


def is_in_flight(row: Row) -> bool:
    """Return whether the row is that of a build without an outcome."""
    return is_build(row) and "outcome" not in row


def _row_to_save(row: Row, executions: Mapping[str, ExecutionReport]) -> Row | None:
    key = str(row["build"])
    if key.startswith("#"):
        if key.startswith(("#token/", "#failing/")):
            return None
        return {name: row[name] for name in _KEPT_OF_A_SOURCE & row.keys()} if key.startswith("#source/") else row
    execution = executions.get(str(row.get("execution")))
    if is_ended(row) and (execution is None or execution.status == "SUCCEEDED"):
        return row
    passage = row.get("passage") if execution is None else execution.input
    if passage is None:
        # moto creates an item before it fills it: the build is discovered again.
        return None
    # An outcome whose notice was not published is recorded once more; the record keeps its key.
    left_out = _OF_THE_PROCESS | _OF_THE_END
    return {
        **{name: value for name, value in row.items() if name not in left_out},
        "passage": passage,
        "due_source": source_of(row),
        "next_poll_at": stamp(datetime.now(UTC)),
    }


def _plain(row: Mapping[str, object]) -> Row:
    """Return a row with numbers that JSON has; those of DynamoDB come as decimals."""
    return {
        name: value if isinstance(value, str | bool) else json.loads(str(value))
        for name, value in row.items()
        if not isinstance(value, list | dict)
    }


def builds_in_flight(rows: Iterable[Row]) -> list[BuildRef]:
    """Return the builds in flight among these rows."""
    return [BuildRef.parse(str(row["build"])) for row in rows if is_in_flight(row)]
