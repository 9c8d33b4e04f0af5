"""How builds are counted, and how long they usually take."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from statistics import median, quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.records import EndedRecord
from cli.statistics import (
    BAD_OUTCOMES,
    GOOD_OUTCOMES,
    NEUTRAL_OUTCOMES,
    BuildStatistics,
    by_scope,
    by_source,
    percentile,
    summarize,
)
from courier.models import Outcome

NOON = datetime(2026, 4, 15, 12, tzinfo=UTC)


def ended(
    outcome: str = "succeeded",
    seconds: float | None = 600.0,
    *,
    source: str = "insights",
    scope: str = "sales",
    at: datetime = NOON,
) -> EndedRecord:
    created = None if seconds is None else at - timedelta(seconds=seconds)
    return EndedRecord.model_validate(
        {
            "build": {"source": source, "scope": scope, "build_id": f"{outcome}-{at.isoformat()}"},
            "outcome": outcome,
            "timeline": {"created_at": created, "completed_at": at, "detected_at": at},
        }
    )


def test_each_outcome_is_good_bad_or_neutral() -> None:
    assert sorted([*GOOD_OUTCOMES, *BAD_OUTCOMES, *NEUTRAL_OUTCOMES]) == sorted(Outcome)


def test_canceled_and_empty_builds_are_neither_success_nor_failure() -> None:
    outcomes = ["delivered", "succeeded", "succeeded", "undeliverable", "canceled", "empty"]
    found = summarize(ended(outcome) for outcome in outcomes)
    assert (found.builds, found.good, found.bad, found.other) == (6, 3, 1, 2)
    assert (found.success_share, found.failure_share) == (0.75, 0.25)


@pytest.mark.parametrize("outcomes", [[], ["canceled", "empty"], ["of-a-later-version"]])
def test_without_a_success_or_a_failure_there_is_no_share(outcomes: list[str]) -> None:
    found = summarize(ended(outcome) for outcome in outcomes)
    assert found.builds == len(outcomes)
    assert found.success_share is None
    assert found.failure_share is None


def test_only_good_builds_say_how_long_a_build_takes() -> None:
    found = summarize([ended(seconds=600), ended(seconds=1200), ended("failed", 3), ended(seconds=None)])
    assert found.durations == [600, 1200]
    assert found.p50 == 900


def test_the_last_good_build_is_the_newest_one() -> None:
    records = [ended(at=NOON), ended(at=NOON + timedelta(hours=2)), ended("failed", at=NOON + timedelta(hours=3))]
    assert summarize(reversed(records)).last_good == records[1]
    assert summarize(records[2:]).last_good is None


def test_builds_are_summarized_by_source_and_by_scope() -> None:
    records = [ended(source="b"), ended(source="a", scope="y"), ended("failed", source="a", scope="x")]
    assert {name: found.builds for name, found in by_source(records).items()} == {"a": 2, "b": 1}
    assert list(by_scope(records)) == [("a", "x"), ("a", "y"), ("b", "sales")]
    assert by_scope(records)["a", "x"].bad == 1


def test_statistics_of_nothing_are_empty() -> None:
    assert (BuildStatistics().builds, BuildStatistics().p50, BuildStatistics().p95) == (0, None, None)


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=80))
def test_percentiles_are_those_of_the_standard_library(values: list[float]) -> None:
    assert percentile(values, 0.5) == pytest.approx(median(values))
    assert percentile(values, 0.95) == pytest.approx(quantiles(values, n=20, method="inclusive")[-1])
