"""Dates in the input of a request that a schedule repeats."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import JsonValue

from courier.models import BuildRequest
from courier.providers.http_json.dates import date_values, fill_dates
from tests.unit.providers.fake_api import Reply
from tests.unit.providers.http_json.described import Described, mistakes

NOW = datetime(2026, 3, 1, 9, 30, 5, 999_999, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{now}", "2026-03-01T09:30:05Z"),
        ("{today}", "2026-03-01"),
        ("{yesterday}", "2026-02-28"),
        ("{week_ago}", "2026-02-22"),
        ("{month_start}", "2026-03-01"),
        ("{last_month_start}", "2026-02-01"),
        ("{last_month_end}", "2026-02-28"),
        ("{yesterday}T00:00:00Z", "2026-02-28T00:00:00Z"),
        ("{last_month_start}..{last_month_end}", "2026-02-01..2026-02-28"),
        ("{today_epoch}", 1_772_323_200),
        ("from {today_epoch}", "from 1772323200"),
        ("{ products { id } }", "{ products { id } }"),
        ("node{id}", "node{id}"),
        (["{today}", {"a": "{yesterday}"}, 7, None], ["2026-03-01", {"a": "2026-02-28"}, 7, None]),
    ],
)
def test_a_name_stands_for_a_date_and_anything_else_for_itself(text: JsonValue, value: JsonValue) -> None:
    assert fill_dates(text, NOW) == value


def test_dates_are_utc_wherever_the_clock_is() -> None:
    assert date_values(NOW.astimezone(timezone(timedelta(hours=14)))) == date_values(NOW)
    assert date_values(datetime(2026, 1, 1, tzinfo=UTC))["last_month_end"] == "2025-12-31"


def test_a_start_is_about_the_day_of_its_request() -> None:
    described = Described(Reply(json={"id": "b1"}))
    described.client.start_build(BuildRequest(source="vendor", input={"kind": "x", "to": "{yesterday}"}))
    assert described.fake.sent[0].body == {"kind": "x", "to": "2026-04-14"}


def test_a_name_of_no_date_is_refused_where_the_requests_are_read() -> None:
    line = mistakes(requests=[{"input": {"kind": "{yesterdy}"}}])
    assert line == "requests[0].input: {yesterdy} is no date that the courier knows, such as {yesterday}"
    assert mistakes(requests=[{"input": {"kind": "{yesterday}"}}]) == ""
