"""The other half of the tenth: a file of its own, so that two processes share the work."""

from __future__ import annotations

from tests.functional.chaos.tenth import failures, findings_of_half, planned


def test_the_second_half_of_a_tenth_breaks_no_promise() -> None:
    assert failures(findings_of_half(planned(), 1)) == {}
