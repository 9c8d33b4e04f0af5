"""No key, token or link may be seen anywhere: not in the results, the logs, the histories, nor on the terminal."""

from __future__ import annotations

import pytest

from tests.functional.end_to_end.conftest import ObservedRun
from tests.functional.end_to_end.evidence import leaks

INSIDE = ("standard output", "logs", "histories", "inputs", "ledger", "notices", "parameters")


def test_there_is_something_to_be_found_in_every_place(any_run: ObservedRun) -> None:
    places = any_run.evidence.places()
    assert [name for name in INSIDE if not places[name]] == []
    assert any(name.endswith(".pdf") for name in places)
    # Keys and all that was signed: a scan for nothing would find nothing.
    assert len(any_run.secrets) > 6
    assert all(len(secret) >= 10 for secret in any_run.secrets)


def test_dead_letters_are_searched_too(customer: ObservedRun) -> None:
    assert "BuildNotFoundError" in customer.evidence.places()["dead letters"]


def test_no_secret_and_no_link_is_seen_anywhere(any_run: ObservedRun) -> None:
    assert leaks(any_run.evidence.places(), any_run.secrets) == []


def test_a_planted_secret_is_found_in_every_place(any_run: ObservedRun) -> None:
    (secret, *_) = any_run.secrets
    for name, text in any_run.evidence.places().items():
        middle = len(text) // 2
        assert leaks({name: text[:middle] + secret + text[middle:]}, [secret]) == [f"a secret in {name}"]


@pytest.mark.parametrize(
    "planted",
    [
        "https://store.example.com/report.pdf?X-Amz-Signature=00",
        '{"query": "X-Amz-Expires=3600"}',
        "GET https://store.example.com/report.pdf?sv=2024&sig=abc",
    ],
)
def test_a_planted_link_is_found(planted: str) -> None:
    assert len(leaks({"logs": planted}, ())) == 1


@pytest.mark.parametrize("spelling", ["1234%2F0123456789abcdef", "MTIzNC8wMTIzNDU2Nzg5YWJjZGVm"])
def test_a_planted_key_is_found_in_other_spellings(spelling: str) -> None:
    assert leaks({"logs": f"… {spelling} …"}, ["1234/0123456789abcdef"]) == ["a secret in logs"]
