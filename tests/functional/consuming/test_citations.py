"""What code cites of docs/source-apis.md is there, and so is what the documents cite of code and of each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.functional.consuming.document import ROOT

DOCUMENT = (ROOT / "docs" / "source-apis.md").read_text(encoding="utf-8")
CODE = [
    path for folder in ("layers/courier/courier", "local", "cli", "functions") for path in (ROOT / folder).rglob("*.py")
]
SECTIONS = set(re.findall(r"^### (\d\.\d+) ", DOCUMENT, re.MULTILINE))
CHAPTERS = {"API 1", "API 2", "3"}


def long_citations(path: Path) -> set[str]:
    """``docs/source-apis.md, 1.4`` and ``docs/source-apis.md 1.5 and 2.4``."""
    text = re.sub(r"\s*\n\s*(?:# )?", " ", path.read_text(encoding="utf-8"))
    found = re.findall(r"source-apis\.md,? ((?:API \d|\d(?:\.\d+)?)(?:(?:, | and )\d\.\d+)*)", text)
    return {section for citation in found for section in re.split(r", | and ", citation)}


def short_citations(path: Path) -> set[str]:
    """``(2.4)`` and ``(1.3, number 11)`` in the files of providers, which name the document at their top."""
    if path.parent.name != "providers":
        return set()
    found = re.findall(r"\(((?:[12]\.\d)(?:, [12]\.\d)*)(?:, number \d+)?\)", path.read_text(encoding="utf-8"))
    return {section for citation in found for section in citation.split(", ")}


def test_every_cited_section_exists() -> None:
    cited = {section for path in CODE for section in long_citations(path) | short_citations(path)}
    assert len(cited) > 10
    assert cited - SECTIONS - CHAPTERS == set()


def test_every_cited_request_number_is_in_its_table() -> None:
    cited = {number for path in CODE for number in re.findall(r"\(1\.3, number (\d+)\)", path.read_text("utf-8"))}
    assert cited
    assert all(f"| {number} |" in DOCUMENT for number in cited)


def test_named_and_listed_references_are_the_same() -> None:
    body, _, sources = DOCUMENT.partition("## Sources")
    named = set(re.findall(r"\[((?:TD|DN|S3|GW|RFC)(?:-[A-Z0-9]+)?)\]", body))
    listed = set(re.findall(r"^\| \[([A-Z0-9-]+)\] \|", sources, re.MULTILINE))
    assert named == listed


def test_every_fact_has_a_mark() -> None:
    body = DOCUMENT.partition("## API 1")[2].partition("## Sources")[0]
    for section in re.split(r"^### ", body, flags=re.MULTILINE)[1:]:
        assert re.search(r"\b(known|inferred|unknown)\b", section), section.splitlines()[0]


DOCUMENTS = [ROOT / name for name in ("README.md", "SECURITY.md", "CHANGELOG.md", "CONTRIBUTING.md")] + sorted(
    (ROOT / "docs").glob("*.md")
)


def test_every_module_and_test_that_the_threat_model_names_exists() -> None:
    named = set(re.findall(r"`([\w/]+\.py)`", (ROOT / "SECURITY.md").read_text(encoding="utf-8")))
    assert len(named) > 15
    places = (ROOT / "tests", ROOT / "layers/courier/courier")
    assert [name for name in sorted(named) if not any((place / name).is_file() for place in places)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_and_heading_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", document.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        path = document.parent / name if name else document
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, target
