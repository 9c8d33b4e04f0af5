"""What is shown of a row of the ledger, and of an earlier attempt."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from cli.show import _outcome_and_reason
from local.runs.session import _line

NOON = datetime(2026, 4, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({"due_source": "s", "passage": json.dumps({"verdict": "wait"})}, "running"),
        ({"due_source": "s", "passage": json.dumps({"verdict": "record"})}, "ending"),
        ({"due_source": "s", "passage": json.dumps({"verdict": "fetch"})}, "ending"),
        ({"due_source": "s"}, "running"),
        ({"released_at": NOON.isoformat()}, "running"),
        ({}, "ending"),
        ({"outcome": "empty"}, "empty"),
    ],
)
def test_a_build_without_a_waiting_execution_finishes_with_its_outcome(more: dict[str, str], state: str) -> None:
    row = {"build": "s/a/b/id", "status": "running", "first_seen_at": NOON.isoformat(), "polls": 2, **more}
    line = _line(row, NOON + timedelta(seconds=5))
    assert (line.state, line.polls, line.seconds) == (state, 2, 5)
    assert line.ref == ("s", "a/b", "id")


@pytest.mark.parametrize(
    ("problem", "shown"),
    [(None, "canceled"), ({"name": "StoppedByOperator", "message": "stopped by ada"}, "canceled: stopped by ada")],
)
def test_an_attempt_without_a_reason_ends_without_a_colon(problem: dict[str, str] | None, shown: str) -> None:
    assert _outcome_and_reason({"number": 1, "outcome": "canceled", "problem": problem}) == shown
