"""The examples of docs/consuming.md: each fenced block, by the name in the comment above it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = ROOT / "docs" / "consuming.md"
_BLOCK = re.compile(
    r"^(?:<!-- example: (?P<name>.+?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@cache
def examples() -> dict[str, tuple[str, str]]:
    """Return language and text of each example, by name."""
    blocks: dict[str, tuple[str, str]] = {}
    for block in _BLOCK.finditer(DOCUMENT.read_text(encoding="utf-8")):
        name = block["name"]
        assert name, f"a block of {DOCUMENT.name} has no name:\n{block['text']}"
        assert name not in blocks, f"two blocks are called {name}"
        blocks[name] = (block["language"], block["text"])
    return blocks


def example(name: str) -> str:
    """Return the text of one example."""
    return examples()[name][1]
