"""Error bodies as messages, and fields that are read leniently."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest

from courier.providers.parsing import error_message, parse_instant, parse_number

TREASURE = {
    "error": "Not found",
    "message": "datamodel not found",
    "text": "datamodel not found",
    "severity": "error",
    "status_code": 404,
}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (TREASURE, "Not found: datamodel not found"),
        ({"error": "Unauthorized"}, "Unauthorized"),
        (
            {"code": 401, "detail": "Authentication failed", "type": "authentication_error"},
            "Authentication failed (authentication_error)",
        ),
        (
            {
                "code": 422,
                "detail": "Validation error",
                "type": "validation_error",
                "errors": [
                    {"loc": ["body", "preset", "sections", 0], "msg": "Field required", "type": "missing"},
                    {"loc": ["body"], "msg": "Too long"},
                ],
            },
            "Validation error (validation_error): body.preset.sections.0: Field required (missing); body: Too long",
        ),
        ({"detail": [{"loc": ["body"], "msg": "Field required", "type": "missing"}]}, "body: Field required (missing)"),
        ({"detail": {"error": "empty_sections"}}, "empty_sections"),
        ({"errors": ["one", "two"]}, "one; two"),
        ({"unheard": "of"}, '{"unheard": "of"}'),
        ("only a string", '"only a string"'),
        ([], "[]"),
        ({"error": 5, "errors": [7, None, {"loc": 3, "msg": 4}]}, '{"error": 5,'),
    ],
)
def test_an_error_message_comes_from_its_envelope(document: object, words: str) -> None:
    assert error_message(json.dumps(document).encode()).startswith(words)


def test_a_long_list_of_errors_is_cut() -> None:
    body = json.dumps({"errors": [{"msg": f"number {number}"} for number in range(25)]}).encode()
    assert error_message(body).endswith("number 9; and 15 more")


def test_a_page_is_shown_without_its_markup() -> None:
    page = b"<html><head><style>b{color:red}</style></head><body><h1>502 Bad Gateway</h1>\r\n<hr>nginx</body></html>"
    assert error_message(page) == "502 Bad Gateway nginx"


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"<" * 70_000, b'{"detail":' * 5_000, b"<script>" * 9_000])
def test_any_body_yields_a_bounded_message(body: bytes) -> None:
    assert len(error_message(body)) <= 1_000


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-05T08:36:21.749+00:00",
        "2026-01-05T08:36:21.749Z",
        "2026-01-05T08:36:21.749",
        " 2026-01-05T09:36:21.749+01:00 ",
    ],
)
def test_all_notations_of_an_instant_are_equal(text: str) -> None:
    instant = parse_instant(text)
    assert instant == datetime(2026, 1, 5, 8, 36, 21, 749_000, tzinfo=UTC)
    assert instant.utcoffset() is not None


def test_an_instant_without_a_zone_is_not_taken_as_this_machines_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert parse_instant("2026-01-05T08:36:21") == datetime(2026, 1, 5, 8, 36, 21, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("value", [None, "", "yesterday", 1_700_000_000, [], "0001-01-01T00:00:00+14:00", "2026-13-01"])
def test_anything_else_is_no_instant(value: object) -> None:
    assert parse_instant(value) is None


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (8, 8.0),
        ("8", 8.0),
        ("8.5", 8.5),
        (0, 0.0),
        (True, None),
        ("8 GB", None),
        (-1, None),
        ("nan", None),
        (10**400, None),
    ],
)
def test_numbers_may_be_strings(value: object, number: float | None) -> None:
    assert parse_number(value) == number
