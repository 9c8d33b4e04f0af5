"""Waits between attempts: growing, jittered over their whole length, bounded; Retry-After in both its forms."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from courier.backoff import RETRY_AFTER_LONGEST_SECONDS, Backoff, retry_after_seconds

NOW = datetime(2026, 4, 15, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("random", "expected"), [(0.0, [0, 0, 0, 0]), (0.999, [0.5, 1, 2, 4]), (0.5, [0.25, 0.5, 1, 2])]
)
def test_the_jitter_covers_a_range_that_doubles_each_time(random: float, expected: list[float]) -> None:
    waits: list[float] = []
    backoff = Backoff(random=lambda: random, sleep=waits.append)
    for failures in (1, 2, 3, 4):
        backoff.wait(failures)
    assert waits == pytest.approx(expected, rel=0.01)
    assert waits == [backoff.jitter_seconds(failures) for failures in (1, 2, 3, 4)]


def test_waits_are_bounded() -> None:
    waits: list[float] = []
    backoff = Backoff(random=lambda: 1.0, sleep=waits.append)
    backoff.wait(60)
    backoff.wait(1, at_least_seconds=86_400)
    assert waits == [8.0, 120.0]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 1.5 ", 1.5),
        ("999999999999", RETRY_AFTER_LONGEST_SECONDS),
        ("Wed, 15 Apr 2026 12:01:00 GMT", 60),
        ("Wed, 15 Apr 2026 12:01:00 -0000", 60),
        ("Wed, 15 Apr 2026 11:00:00 GMT", 0),
        ("Wed, 15 Apr 2099 11:00:00 GMT", RETRY_AFTER_LONGEST_SECONDS),
        ("soon", None),
        ("-5", None),
        ("1e9", None),
        ("Wed, 99 Apr 2026 12:01:00 GMT", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, now=NOW) == seconds
