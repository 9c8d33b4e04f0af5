"""What of a ledger is kept for the next run."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from local.embedded.results import ExecutionReport
from local.runs.saved_ledger import SavedLedger, rows_to_restore, rows_to_save

NOON = datetime(2026, 4, 15, 12, tzinfo=UTC)
PASSAGE = '{"verdict":"wait"}'


def execution(status: str) -> ExecutionReport:
    return ExecutionReport(
        name="e",
        arn="arn:e",
        status=status,
        input=PASSAGE,
        output=None,
        error=None,
        cause=None,
        states=(),
        history_events=0,
        started_at=NOON,
        stopped_at=None,
        seconds=None,
    )


def saved(row: dict[str, Any], status: str = "RUNNING") -> dict[str, Any] | None:
    rows = rows_to_save([row], [execution(status)])
    return dict(rows[0]) if rows else None


def test_a_build_in_flight_is_kept_with_the_input_of_its_execution() -> None:
    row = {
        "build": "s/a/1",
        "status": "running",
        "polls": Decimal(3),
        "execution": "arn:e",
        "kept_token": "x",
        "next_poll_at": "2099",
        "checkpoint": "{}",
        "released_at": "2026",
        "deadline_at": "2027",
    }
    kept = saved(row)
    assert kept is not None
    assert kept.pop("next_poll_at") < "2099"
    assert kept == {
        "build": "s/a/1",
        "status": "running",
        "polls": 3,
        "deadline_at": "2027",
        "passage": PASSAGE,
        "due_source": "s",
    }


def test_an_ended_build_is_kept_as_it_is() -> None:
    row = {"build": "s/a/1", "outcome": "lost", "execution": "arn:e", "record_key": "k", "expires_at": Decimal(9)}
    assert saved(row, "SUCCEEDED") == row
    # Of an earlier run.
    assert saved({**row, "execution": "arn:earlier"}) == {**row, "execution": "arn:earlier"}


def test_an_outcome_that_was_not_published_is_recorded_again_under_its_key() -> None:
    kept = saved({"build": "s/a/1", "outcome": "lost", "execution": "arn:e", "record_key": "k"}, "FAILED")
    assert kept is not None
    assert "outcome" not in kept
    assert (kept["record_key"], kept["passage"]) == ("k", PASSAGE)


def test_a_registration_that_was_interrupted_keeps_its_passage() -> None:
    kept = saved({"build": "s/a/1", "passage": PASSAGE})
    assert kept is not None
    assert kept["passage"] == PASSAGE
    assert saved({"build": "s/a/1"}) is None


def test_tokens_and_health_are_not_kept_and_history_is() -> None:
    assert saved({"build": "#token/abc", "task_token": "secret"}) is None
    assert saved({"build": "#failing/s", "scopes": "{}"}) is None
    assert saved({"build": "#source/s", "first_sight_at": "2026", "illness": "SettingsError", "failures": 4}) == {
        "build": "#source/s",
        "first_sight_at": "2026",
    }
    scope = {"build": "#scope/s/a", "took_3": Decimal("61.5"), "adopted_at": "2026"}
    assert saved(scope) == {**scope, "took_3": 61.5}


def test_rows_of_other_sources_are_set_aside_unless_their_builds_have_ended() -> None:
    rows: list[Any] = [
        *({"build": "s/a/1"}, {"build": "t/a/1"}, {"build": "t/a/2", "outcome": "lost"}),
        *({"build": "#source/t"}, {"build": "#scope/s/a"}, {"build": "#request/t/id"}),
    ]
    ledger = SavedLedger(simulated=False, rows=rows)
    assert [row["build"] for row in ledger.rows_of(["s"])] == ["s/a/1", "t/a/2", "#scope/s/a"]
    assert [row["build"] for row in ledger.set_aside(["s"])] == ["t/a/1", "#source/t", "#request/t/id"]


def test_builds_in_flight_are_due_at_once() -> None:
    ended, scope = {"build": "s/a/2", "outcome": "lost"}, {"build": "#scope/s/a"}
    restored = rows_to_restore([{"build": "s/a/1", "next_poll_at": "2099"}, ended, scope], now=NOON)
    assert restored == [{"build": "s/a/1", "next_poll_at": "2026-04-15T11:59:59.999Z"}, ended, scope]
