"""The other half of the faults of providers: a file of its own, so that two processes share the work."""

from __future__ import annotations

from tests.functional.chaos.tenth import failures, of_providers


def test_what_providers_do_breaks_no_promise() -> None:
    assert failures(of_providers()[1::2]) == {}
