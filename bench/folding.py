"""Paragraphs of the written reports, folded to the width of the other documents."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

_WIDTH: Final = 120
# Headings, rows of tables, items and pictures stay as they are.
_LINES: Final = ("#", "|", "- ", "![")


def fold(lines: Iterable[str]) -> str:
    """Join the lines of each paragraph and break them anew; tables, lists and headings keep theirs."""
    return "\n".join(_folded(line for text in lines for line in text.split("\n"))).rstrip("\n") + "\n"


def _folded(lines: Iterable[str]) -> Iterator[str]:
    for is_paragraph, group in groupby(lines, key=lambda line: bool(line) and not line.startswith(_LINES)):
        if is_paragraph:
            yield textwrap.fill(" ".join(group), _WIDTH, break_long_words=False, break_on_hyphens=False)
        else:
            yield from group
