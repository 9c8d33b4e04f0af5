"""Reports are folded where they are text, and only there."""

from __future__ import annotations

from bench.markdown import fold, table


def test_lines_of_a_paragraph_are_joined_and_wrapped_again() -> None:
    assert fold(["one", "two\nthree", "", "four"]) == "one two three\n\nfour\n"
    assert max(map(len, fold(["word " * 60]).splitlines())) <= 120


def test_headings_tables_short_items_and_images_are_kept() -> None:
    lines = ["# Head", "| " + "cell | " * 60, "| --- |", "- item", "- item", "![chart](chart.svg)"]
    assert fold(lines) == "\n".join(lines) + "\n"


def test_a_long_item_is_wrapped_and_indented() -> None:
    first, second = fold(["- " + "word " * 30]).splitlines()
    assert first.startswith("- word")
    assert second.startswith("  word")


def test_code_is_not_broken() -> None:
    name = f"`{'a-' * 70}`"
    assert name in fold(["before", name, "after"])


def test_a_table_of_numbers_is_aligned_to_the_right() -> None:
    assert table(("", "n"), [("a", 1)], numbers=True) == ["|  | n |", "| --- | --: |", "| a | 1 |", ""]
    assert table(("", "n"), [("a", "b")])[1] == "| --- | --- |"
