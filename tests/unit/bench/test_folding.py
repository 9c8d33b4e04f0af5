"""Reports are folded where they are text, and only there."""

from __future__ import annotations

from bench.folding import fold


def test_lines_of_a_paragraph_are_joined_and_broken_anew() -> None:
    assert fold(["one", "two\nthree", "", "four"]) == "one two three\n\nfour\n"
    assert max(map(len, fold(["word " * 60]).splitlines())) <= 120


def test_headings_tables_items_and_pictures_stay_as_they_are() -> None:
    lines = ["# Head", "| " + "cell | " * 60, "| --- |", "- item", "- item", "![chart](chart.svg)"]
    assert fold(lines) == "\n".join(lines) + "\n"


def test_code_that_must_not_break_does_not() -> None:
    name = f"`{'a-' * 70}`"
    assert name in fold(["before", name, "after"])
