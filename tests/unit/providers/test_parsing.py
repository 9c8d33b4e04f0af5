"""JSON as servers write it, error bodies as messages, and fields that are read leniently."""

from __future__ import annotations

import json
import math

import pytest
from pydantic import ValidationError

from courier.providers.parsing import AMBIGUOUS, LenientModel, PathIdentifier, decode_json, error_message, parse_number

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


class Document(LenientModel):
    oid: PathIdentifier
    size: object = None


@pytest.mark.parametrize(
    "unread",
    ["NaN", "-Infinity", "1e999", "9" * 10_000, '{"a": 1, "a": 2}', '{"a": {"b": [1]}, "a": {"b": [2]}}', '"\\ud800"'],
    ids=["nan", "infinity", "huge", "digits", "twice", "deeply twice", "surrogate"],
)
def test_a_field_that_is_not_read_may_be_anything(unread: str) -> None:
    document = decode_json(f'{{"oid": "a", "score": {unread}, "tags": 1, "tags": 2}}'.encode())
    assert Document.model_validate(document).oid == "a"


def test_numbers_that_are_no_json_are_floats() -> None:
    assert decode_json(b"[Infinity, 1e999, -1e999]") == [math.inf, math.inf, -math.inf]
    assert decode_json(b"9" * 10_000) == math.inf


def test_a_name_that_stands_twice_counts_where_both_values_are_equal() -> None:
    assert decode_json(b'{"oid": "a", "oid": "a", "b": {"c": 1}, "b": {"c": 1}}') == {"oid": "a", "b": {"c": 1}}
    assert decode_json(b'{"a": 1, "a": 2, "a": 1}') == {"a": AMBIGUOUS}


@pytest.mark.parametrize("text", [b'{"oid": "a", "oid": "b"}', b'{"oid": "a", "size": 1, "size": null}'])
def test_an_ambiguous_field_that_is_read_makes_the_document_malformed(text: bytes) -> None:
    with pytest.raises(ValidationError, match="stands twice"):
        Document.model_validate(decode_json(text))


@pytest.mark.parametrize(
    ("charset", "declared"),
    [
        ("iso-8859-1", 'application/json; charset="ISO-8859-1"'),
        ("cp1252", "application/json;charset=windows-1252"),
        ("shift_jis", "application/json; version=1; Charset=Shift_JIS"),
        ("euc_jp", "application/json; charset=euc-jp"),
        ("utf-16", "application/json; charset=utf-16"),
        ("utf-16-le", "application/json; charset=utf-16le"),
        ("utf-32", "application/json"),
        ("utf-8-sig", "application/json"),
        ("utf-8", "application/json; charset=ISO-8859-1"),
        ("utf-8", "application/json; charset=none-such"),
    ],
)
def test_a_declared_charset_counts_where_the_body_is_not_in_one_of_jsons(charset: str, declared: str) -> None:
    name = "売上" if charset in {"shift_jis", "euc_jp"} else "José"
    body = json.dumps({"owner": name}, ensure_ascii=False).encode(charset)
    assert decode_json(body, content_type=declared) == {"owner": name}


@pytest.mark.parametrize(
    "content_type", ["", "application/json", "x; charset=idna", "x; charset=unicode_escape", "x; charset=hex"]
)
def test_bytes_of_an_unknown_charset_spoil_only_the_field_that_they_are_in(content_type: str) -> None:
    document = decode_json(b'{"oid": "a", "owner": "Jos\xe9"}', content_type=content_type)
    assert Document.model_validate(document).oid == "a"
    with pytest.raises(ValidationError):
        Document.model_validate(decode_json(b'{"oid": "Jos\xe9"}', content_type=content_type))


def test_a_gateways_page_in_another_charset_is_shown_in_it() -> None:
    page = json.dumps({"error": "café"}, ensure_ascii=False).encode("latin-1")
    assert error_message(page, content_type="application/json; charset=latin1") == "café"
