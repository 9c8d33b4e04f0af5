"""Recognition of Dreadnode's response to an empty report, by content: its field names are not documented."""

from __future__ import annotations

from typing import TYPE_CHECKING

from courier.observability.redaction import redact

if TYPE_CHECKING:
    from pydantic import JsonValue

# Neither the array's name nor the field that names the error is documented (2.5): these are the plausible ones.
_EMPTY_SECTIONS = "empty_sections"
_SECTION_ARRAYS = (_EMPTY_SECTIONS, "sections", "empty", "items", "errors", "details", "detail")
_MARKERS = ("error", "type", "code", "detail", "reason")
_SECTION_LIMIT = 50
_LABEL_LIMIT_CHARACTERS = 120


def find_empty_sections(document: JsonValue) -> tuple[str, ...] | None:
    """Return the empty sections that a response names, in any of the plausible shapes (2.5).

    Returns
    -------
    tuple of str or None
        Key or title of each section; empty when the response reports empty sections without naming them;
        None when it reports something else, such as a validation error.
    """
    if isinstance(document, list):
        return _labels(document) or None
    if not isinstance(document, dict):
        return None
    is_marked = False
    for place in (document, document.get("detail"), document.get("error")):
        if not isinstance(place, dict):
            is_marked = is_marked or place == _EMPTY_SECTIONS
            continue
        is_marked = is_marked or any(place.get(name) == _EMPTY_SECTIONS for name in _MARKERS)
        for name in _SECTION_ARRAYS:
            if labels := _labels(place.get(name)):
                return labels
    return () if is_marked else None


def _labels(entries: JsonValue) -> tuple[str, ...] | None:
    """Return the sections' labels; None when these are not sections, such as the ``errors[]`` of a validation."""
    if not isinstance(entries, list):
        return None
    labels = []
    for entry in entries:
        if not isinstance(entry, dict) or "loc" in entry or not ({"key", "title"} & set(entry)):
            return None
        # A section that a template's author wrote has no key (2.5).
        label = next((text for text in (entry.get("key"), entry.get("title")) if isinstance(text, str) and text), "")
        labels.append(redact(label, limit=_LABEL_LIMIT_CHARACTERS) or "unnamed")
    return tuple(labels[:_SECTION_LIMIT])
