"""Expressions and patterns are bounded when they are read, and never raise when they are used."""

from __future__ import annotations

import time

import pytest

from courier.providers.http_json.expressions import (
    EXPRESSION_LIMIT_CHARACTERS,
    ReadingError,
    check_expression,
    check_pattern,
    is_true,
    match,
    search,
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("data.", "it ends too early"),
        ("a..b", "does not compile at character 3"),
        ("x.(a || b)", r"at character 3.*write \[a \|\| b\]"),
        ("result[0", "it ends too early"),
        ("some-name.id", 'needs double quotes, as in "a-b".c'),
        ("nothing(a)", r"calls nothing\(\), which JMESPath does not have"),
        ("contains(a)", r"calls contains\(\) with 1 arguments; it takes 2"),
        ("length(a, b)", "it takes 1"),
        ("x[?contains(nme)]", "it takes 2"),
        ("a" * (EXPRESSION_LIMIT_CHARACTERS + 1), "an expression may have 500"),
        ("(" * 400 + "a" + ")" * 99, "does not compile"),
    ],
)
def test_an_expression_that_cannot_work_is_refused_with_its_position(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_expression(text)


@pytest.mark.parametrize(
    "text", ["data.id", "@", "a || b", '"@odata.nextLink"', "join(', ', a)", "not_null(a, b, c)", "errors[].message"]
)
def test_an_expression_that_works_is_accepted(text: str) -> None:
    assert check_expression(text) == text


def test_a_function_on_the_wrong_type_shows_no_value() -> None:
    with pytest.raises(ReadingError) as caught:
        search("contains(token, 'x')", {"token": {"access": "hush-hush"}})
    assert "hush" not in str(caught.value)
    assert "contains() received object" in str(caught.value)


@pytest.mark.parametrize(("value", "holds"), [(0, True), ("0", True), (True, True), ([0], True), (0.0, True)])
def test_what_jmespath_takes_for_true_holds(value: object, holds: bool) -> None:
    assert is_true(value) is holds


@pytest.mark.parametrize("value", [None, False, "", [], {}])
def test_what_jmespath_takes_for_false_does_not_hold(value: object) -> None:
    assert not is_true(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("abc", "has 0 groups"),
        ("(a)(b)", "has 2 groups"),
        ("(a", "is not a regular expression"),
        ("((?:a+)+)$", "repeats a group"),
        ("(?:(a))*", "repeats a group"),
        ("(a*)*", "repeats a group"),
        (r"(a)\1", "is not allowed here"),
        ("(?=(a))a", "is not allowed here"),
        ("(?<!a)(b)", "is not allowed here"),
        ("(.*.*.*.*=)", "could take too long"),
        ("(" + "a?" * 60 + ")" + "a" * 60, "could take too long"),
        ("(" + "(?:ab|c)" * 21 + ")", "could take too long"),
        ("(a{1,99999999999999999999})", "is not a regular expression|could take"),
        ("(" + "a" * 300 + ")", "a pattern may have 200"),
    ],
)
def test_a_pattern_that_could_be_slow_or_cuts_nothing_out_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_pattern(text)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("/costDetailsOperationResults/([^/?]+)", "https://x/costDetailsOperationResults/ab-1?api-version=1", "ab-1"),
        ("BulkOperation/([0-9]+)", "gid://shopify/BulkOperation/720918", "720918"),
        ("([0-9a-f]{64})$", "sha256:" + "0a" * 32, "0a" * 32),
        ("exports/(?:[a-z]+/)?([0-9]+)", "/exports/crm/17", "17"),
        ("/jobs/([^/]+)$", "/other", None),
    ],
)
def test_a_pattern_cuts_out_its_group(pattern: str, text: str, found: str | None) -> None:
    assert match(check_pattern(pattern), text) == found


@pytest.mark.parametrize("pattern", ["(.*)=", "/([^/]+)/([a-z]+)x".replace("([a-z]+)", "[a-z]+"), "(a+)b", "a+(a+)b"])
def test_no_text_makes_an_accepted_pattern_slow(pattern: str) -> None:
    check_pattern(pattern)
    started = time.process_time()
    for hostile in ("a" * 100_000, "/a" * 50_000, "=" * 100_000):
        match(pattern, hostile)
    assert time.process_time() - started < 5
