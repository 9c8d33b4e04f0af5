"""One half of the faults of providers, each once."""

from __future__ import annotations

from tests.functional.chaos.tenth import failures, of_providers


def test_what_providers_do_breaks_no_promise() -> None:
    assert failures(of_providers()[0::2]) == {}
