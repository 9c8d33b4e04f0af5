"""Meaning of Dreadnode's error responses: several statuses have two meanings, distinguished by content.

The names of the fields around empty sections are not documented. Numbers in parentheses are sections of
docs/source-apis.md.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from courier.errors import EmptyReportError, SourceExhaustedError, SourceRejectedError
from courier.observability.redaction import redact
from courier.providers.error_mapping import NOT_FOUND_STATUSES, gateway_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import JsonValue

    from courier.errors import SourceError
    from courier.providers.error_mapping import ErrorResponse

# Neither the array's name nor the field that names the error is documented (2.5): these are the plausible ones.
_EMPTY_SECTIONS = "empty_sections"
_SECTION_ARRAYS = (_EMPTY_SECTIONS, "sections", "empty", "items", "errors", "details", "detail")
_MARKERS = ("error", "type", "code", "detail", "reason")
_SECTION_LIMIT = 50
_LABEL_LIMIT_CHARACTERS = 120


def map_preflight_error(response: ErrorResponse) -> SourceError | None:
    """Map 404 and 405 to a plain rejection in any form: an older platform may not know the dry run."""
    if response.status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:
        return SourceRejectedError(str(response))
    return map_error(response)


def map_error(response: ErrorResponse) -> SourceError | None:
    """Distinguish the meanings of the ambiguous statuses (2.5, 2.6, 2.7)."""
    if response.status in NOT_FOUND_STATUSES and not _is_own_error(response.document):
        return gateway_error(response)
    if response.status == HTTPStatus.UNPROCESSABLE_ENTITY:
        sections = find_empty_sections(response.document)
        return None if sections is None else empty_report_error(response.source, sections)
    # The vendor's own client searches for the same word.
    if response.status == HTTPStatus.TOO_MANY_REQUESTS and "credit" in response.message.lower():
        return SourceExhaustedError(str(response))
    return None


def _is_own_error(document: JsonValue) -> bool:
    """Return whether an error is in the platform's form; a framework's bare ``detail`` says that a path is unknown."""
    return isinstance(document, dict) and "detail" in document and ("code" in document or "type" in document)


def empty_report_error(source: str, sections: Sequence[str]) -> EmptyReportError:
    """Return the error of a report that has nothing to show in these sections."""
    return EmptyReportError(f"{source}: the report would be empty in {section_names(sections)}", sections=sections)


def section_names(sections: Sequence[str]) -> str:
    """Return sections as a part of a sentence."""
    return f"sections {', '.join(sections)}" if sections else "sections"


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
