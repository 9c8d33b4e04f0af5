"""Markdown of the written reports: paragraphs folded to the width of the other documents, and tables."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

_WIDTH: Final = 120
# Headings, rows of tables and images are never folded.
_UNFOLDED: Final = ("#", "|", "![")


def fold(lines: Iterable[str]) -> str:
    """Join and wrap the lines of each paragraph, and wrap list items; keep tables, headings and images."""
    return "\n".join(_folded(line for text in lines for line in text.split("\n"))).rstrip("\n") + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: bool = False) -> list[str]:
    """Return the lines of a table and an empty line; ``numbers`` aligns all columns but the first to the right."""
    rule = ["--:" if numbers and index else "---" for index in range(len(header))]
    return [*(f"| {' | '.join(map(str, cells))} |" for cells in (header, rule, *rows)), ""]


def _folded(lines: Iterable[str]) -> Iterator[str]:
    for kind, group in groupby(lines, key=_kind):
        if kind == "paragraph":
            yield _wrap(" ".join(group))
        elif kind == "item":
            yield from map(_wrap, group)
        else:
            yield from group


def _kind(line: str) -> str:
    if line.startswith("- "):
        return "item"
    return "unfolded" if not line or line.startswith(_UNFOLDED) else "paragraph"


def _wrap(text: str) -> str:
    indent = "  " if text.startswith("- ") else ""
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
