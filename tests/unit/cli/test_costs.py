"""The estimated cost of a month agrees with what was measured, and with the price list."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cli.costs import PER_BUILD, PER_MINUTE, PER_POLL, PER_REPORT, estimate_month
from cli.records import EndedRecord
from local.polling_study.prices import read_prices

MEASURED = (Path(__file__).parents[3] / "bench/polling-real.md").read_text(encoding="utf-8")
END = datetime(2026, 12, 1, tzinfo=UTC) - timedelta(seconds=1)


def builds(count: int, *, report: bool, at: datetime = END, polls: int = 8) -> list[EndedRecord]:
    artifact = {
        "bucket": "b",
        "key": "k",
        "size_bytes": 1,
        "sha256": "0",
        "content_type": "application/pdf",
        "verified": True,
        "copied_at": at,
    }
    document = {
        "build": {"source": "s", "scope": "m", "build_id": "b"},
        "outcome": "delivered" if report else "succeeded",
        "timeline": {"completed_at": at, "detected_at": at},
        "artifact": artifact if report else None,
        "courier": {"stack": "s", "execution": "e", "polls": polls},
    }
    return [EndedRecord.model_validate(document)] * count


def test_an_idle_month_costs_what_was_measured() -> None:
    measured = float(re.findall(r"An idle month costs \$([0-9.]+)", MEASURED)[0])
    estimate = estimate_month([], now=END)
    assert estimate.total == pytest.approx(measured, rel=0.05)
    assert estimate.projected == pytest.approx(measured, rel=0.05)
    assert (estimate.builds, estimate.per_build) == (0, None)


@pytest.mark.parametrize(("report", "row"), [(True, "polled one by one"), (False, "listed and discovered")])
def test_builds_cost_about_what_was_measured(report: bool, row: str) -> None:
    measured = [float(each) for each in re.findall(rf"^\| {row}.*\*\*([0-9.]+)\*\*", MEASURED, re.MULTILINE)]
    estimate = estimate_month(builds(1_000, report=report), now=END)
    assert len(measured) == 3
    assert min(measured) * 0.8 < estimate.building < max(measured) * 1.1


def test_only_builds_of_this_month_count_and_polls_add() -> None:
    old = builds(5, report=True, at=END.replace(day=1) - timedelta(days=2))
    few, many = (estimate_month([*old, *builds(3, report=True, polls=polls)], now=END) for polls in (1, 500))
    assert few.builds == 3
    assert many.building > few.building
    assert few.per_build == pytest.approx((few.waiting + few.building) / 3)


def test_half_a_month_is_projected_to_a_whole_one() -> None:
    half = datetime(2026, 11, 16, tzinfo=UTC)
    estimate = estimate_month(builds(10, report=True, at=half - timedelta(hours=1)), now=half)
    assert estimate.projected == pytest.approx(2 * estimate.total)


def test_every_unit_has_a_price() -> None:
    names = {*PER_MINUTE, *PER_BUILD, *PER_REPORT, *PER_POLL}
    assert names <= set(read_prices().prices)
