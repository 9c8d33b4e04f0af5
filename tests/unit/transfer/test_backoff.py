"""Waits between tries: growing, jittered over their whole length, bounded."""

from __future__ import annotations

import pytest

from courier.transfer import Backoff


@pytest.mark.parametrize(
    ("random", "expected"), [(0.0, [0, 0, 0, 0]), (0.999, [0.5, 1, 2, 4]), (0.5, [0.25, 0.5, 1, 2])]
)
def test_full_jitter_between_nothing_and_twice_as_much_each_time(random: float, expected: list[float]) -> None:
    waits: list[float] = []
    backoff = Backoff(random=lambda: random, sleep=waits.append)
    for failures in (1, 2, 3, 4):
        backoff.wait(failures)
    assert waits == pytest.approx(expected, rel=0.01)


def test_waits_are_bounded() -> None:
    waits: list[float] = []
    backoff = Backoff(random=lambda: 1.0, sleep=waits.append)
    backoff.wait(60)
    backoff.wait(1, at_least_seconds=86_400)
    assert waits == [8.0, 8.0]
