"""The body of a report build or preflight: the chosen sections, or the validation error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from local.simulator.messages import JsonObject, JsonValue
from local.simulator.scenario import SECTIONS, Project

FORMATS = frozenset({"pdf", "html"})


class InvalidRequestError(Exception):
    """The body violates the schema; `errors` are in FastAPI's format."""

    def __init__(self, location: list[JsonValue], message: str, kind: str) -> None:
        super().__init__(message)
        self.errors: list[JsonValue] = [{"loc": ["body", *location], "msg": message, "type": kind}]


class UnknownTemplateError(Exception):
    """The project has no template with that id."""


@dataclass(frozen=True)
class Choice:
    """The sections that a body requests; with `preset` the body names them itself."""

    sections: tuple[str, ...]
    preset: bool

    def empty(self, project: Project) -> list[JsonValue]:
        """Return the chosen sections without data; a template's sections have no key."""
        return [
            {"key": section if self.preset else None, "title": SECTIONS[section]}
            for section in self.sections
            if section in project.empty_sections
        ]


def chosen_sections(body: JsonValue, project: Project) -> Choice:
    """Return the sections of a body, which has exactly one of ``preset`` and ``template_id``.

    Raises
    ------
    InvalidRequestError
        The body violates the schema.
    UnknownTemplateError
        The project has no such template.
    """
    if not isinstance(body, dict):
        raise InvalidRequestError([], "Input should be a valid dictionary", "dict_type")
    preset, template_id = body.get("preset"), body.get("template_id")
    if (preset is None) == (template_id is None):
        raise InvalidRequestError([], "Exactly one of preset and template_id is required", "value_error")
    if preset is not None:
        return Choice(_preset_sections(preset), preset=True)
    for template in project.templates:
        if template.template_id == _uuid(template_id):
            return Choice(template.sections, preset=False)
    raise UnknownTemplateError


def empty_sections_body(sections: list[JsonValue], shape: Literal["flat", "in_detail"]) -> JsonObject:
    """Return the error body for empty sections, in one of its two likely shapes."""
    flat: JsonObject = {"error": "empty_sections", "sections": sections}
    return flat if shape == "flat" else {"detail": flat}


def _preset_sections(preset: JsonValue) -> tuple[str, ...]:
    if not isinstance(preset, dict):
        raise InvalidRequestError(["preset"], "Input should be a valid dictionary", "dict_type")
    for name in ("format", "sections"):
        if name not in preset:
            raise InvalidRequestError(["preset", name], "Field required", "missing")
    if preset["format"] not in FORMATS:
        raise InvalidRequestError(["preset", "format"], "Input should be 'pdf' or 'html'", "enum")
    sections = preset["sections"]
    if not isinstance(sections, list) or not sections:
        raise InvalidRequestError(["preset", "sections"], "List should have at least 1 item", "too_short")
    chosen = []
    for index, section in enumerate(sections):
        if not isinstance(section, str) or section not in SECTIONS:
            known = ", ".join(f"'{name}'" for name in SECTIONS)
            raise InvalidRequestError(["preset", "sections", index], f"Input should be one of {known}", "enum")
        chosen.append(section)
    return tuple(chosen)


def _uuid(text: JsonValue) -> str:
    try:
        return str(UUID(str(text)))
    except ValueError as exc:
        raise InvalidRequestError(["template_id"], "Input should be a valid UUID", "uuid_parsing") from exc
