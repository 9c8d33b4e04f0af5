"""Times are read in every form that vendors write; what cannot be read, or has no zone, says so."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.observability.provider_events import UnexpectedKind
from courier.providers.times import NO_TIME, read_time

INSTANT = datetime(2026, 1, 5, 8, 36, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-05T08:36:21+00:00",
        "2026-01-05T08:36:21.000Z",
        "2026-01-05T08:36:21.000000000Z",
        "20260105T083621Z",
        " 2026-01-05T09:36:21+01:00 ",
        "2026-01-05 08:36:21 UTC",
        "2026-01-05 08:36:21 utc",
        "2026-01-05 08:36:21UTC",
        "2026-01-05 08:36:21 GMT",
        "2026-01-05 17:36:21 +0900",
        "2026-01-05 00:36:21 -08:00",
        INSTANT.timestamp(),
        int(INSTANT.timestamp()),
        int(INSTANT.timestamp()) * 1000,
        str(int(INSTANT.timestamp())),
        str(int(INSTANT.timestamp()) * 1000),
        f"{INSTANT.timestamp():.3f}",
    ],
)
def test_all_forms_of_an_instant_are_equal(value: object) -> None:
    read = read_time(value)
    assert read.at == INSTANT
    assert read.at.utcoffset() is not None
    assert read.unexpected is None


@pytest.mark.parametrize("value", [None, "", 0, 0.0, "0", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00"])
def test_what_means_not_yet_is_no_time_and_not_unexpected(value: object) -> None:
    assert read_time(value) == NO_TIME


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("yesterday", "yesterday"),
        ("2026-13-01T10:00:00Z", "9999-99-99T99:99:99Z"),
        ("05.01.2026 08:36", "99.99.9999 99:99"),
        (1, "9"),
        (-1_767_602_181, "-9999999999"),
        (1_767_602_181_000_000, "9999999999999999"),
        (10**400, "9" * 40),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        ("9" * 30, "9" * 30),
        (True, "bool"),
        ([], "list"),
        ({}, "dict"),
        ("x" * 500, "x" * 39 + "…"),
    ],
)
def test_what_cannot_be_read_is_no_time_and_shows_its_form(value: object, form: str) -> None:
    read = read_time(value)
    assert (read.at, read.unexpected, read.form) == (None, UnexpectedKind.UNREADABLE_TIME, form)


@pytest.mark.parametrize(
    ("text", "form"), [("2026-01-05T08:36:21", "9999-99-99T99:99:99"), ("2026-01-05 08:36:21", "9999-99-99 99:99:99")]
)
def test_a_time_without_a_zone_is_taken_as_utc_and_not_as_this_machines_time(
    monkeypatch: pytest.MonkeyPatch, text: str, form: str
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        read = read_time(text)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert (read.at, read.unexpected, read.form) == (INSTANT, UnexpectedKind.NAIVE_TIME, form)


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes().map(str))
def test_any_value_is_a_time_or_none(value: object) -> None:
    read = read_time(value)
    assert (read.at is None) or read.at.utcoffset() is not None
    assert len(read.form) <= 40
