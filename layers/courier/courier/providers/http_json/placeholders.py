"""Placeholders: how a definition writes a request. ``{name}`` stands for a value, and nothing else is computed.

=====================  ==========================================================================================
``{scope}``            the scope; with ``scope_parts``, each of its parts by its own name as well
``{id}``               the id of the build
``{input}``            the whole ``input`` of the request; ``{input.from}`` one field of it
``{region}``           a value of the source's ``values``, or of the build's ``keep``
``{secret}``           the secret, only under ``auth``; ``{secret.client_id}`` one field of it
``{input.to?}``        with a question mark, the field is left out where there is no value
=====================  ==========================================================================================

In a body, a placeholder that is the whole text keeps the type of its value. In a path, a value is one segment, quoted.
In any other text it must be a text, a number or a boolean. Braces around anything but a name, such as GraphQL's
``{ id }`` with its blanks, are left alone in bodies and refused elsewhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from courier.errors import SettingsError, SourceProtocolError
from courier.providers.base import path_segment

if TYPE_CHECKING:
    from pydantic import JsonValue

TEXT_LIMIT_CHARACTERS = 4_000
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.-]*)(\?)?\}")
NAME_PATTERN = r"^[a-z][a-z0-9_]{0,39}$"
_HEADER_VALUE = re.compile(r"[\x20-\x7e\t]*")
_ABSENT = object()


@dataclass(frozen=True)
class Placeholder:
    """One placeholder of a text: ``name``, and the field of an object that it stands for."""

    name: str
    field: str | None
    is_optional: bool

    def __str__(self) -> str:
        return self.name if self.field is None else f"{self.name}.{self.field}"


def placeholders(value: JsonValue) -> Iterator[Placeholder]:
    """Yield the placeholders in a text, or in all texts of a body."""
    if isinstance(value, str):
        for found in _PLACEHOLDER.finditer(value):
            name, _, field = found[1].partition(".")
            yield Placeholder(name, field or None, found[2] is not None)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from placeholders(name)
            yield from placeholders(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from placeholders(inner)


def check_text(text: str) -> str:
    """Return the text of a header, query, form or path if each of its braces belongs to a placeholder.

    Raises
    ------
    ValueError
        One does not.
    """
    if len(text) > TEXT_LIMIT_CHARACTERS:
        raise ValueError(f"has {len(text)} characters; {TEXT_LIMIT_CHARACTERS} are allowed")
    rest = _PLACEHOLDER.sub("", text)
    if "{" in rest or "}" in rest:
        raise ValueError("has a brace that belongs to no placeholder; write {name}, without blanks")
    if not _HEADER_VALUE.fullmatch(rest):
        raise ValueError("has characters that a request cannot carry here; use printable ASCII")
    return text


def check_path(text: str) -> str:
    """Return a path below the endpoint.

    Raises
    ------
    ValueError
        It does not begin with one slash, holds a query or a dot segment, or leaves something out.
    """
    check_text(text)
    if not text.startswith("/") or text.startswith("//"):
        raise ValueError("must begin with one slash: it is a path below the endpoint")
    if set(text) & set("#\\ ") or "?" in _PLACEHOLDER.sub("", text):
        raise ValueError("must be a path without blanks and without ?; write the query under query")
    if any(segment in {".", ".."} for segment in text.split("/")):
        raise ValueError("must not contain . or .. as a segment")
    if any(found.is_optional for found in placeholders(text)):
        raise ValueError("cannot leave a part out, so {name?} has no meaning here")
    return text


def fill_path(template: str, values: Mapping[str, JsonValue]) -> str:
    """Return a path with each value quoted as one segment.

    Raises
    ------
    SettingsError
        A value is missing, is not a scalar, or is ``.`` or ``..``.
    """
    return _PLACEHOLDER.sub(lambda found: path_segment(_text(_lookup(found, values), found)), template)


def fill_text(template: str, values: Mapping[str, JsonValue]) -> str | None:
    """Return a text with its values; None where an optional one is missing.

    Raises
    ------
    SettingsError
        A value is missing, or is not a scalar.
    """
    parts: list[str] = []
    end = 0
    for found in _PLACEHOLDER.finditer(template):
        value = _lookup(found, values)
        if value is _ABSENT:
            return None
        parts += template[end : found.start()], _text(value, found)
        end = found.end()
    return "".join(parts) + template[end:]


def fill_texts(templates: Mapping[str, str], values: Mapping[str, JsonValue]) -> dict[str, str]:
    """Return texts by name, without those that are left out."""
    filled = {name: fill_text(template, values) for name, template in templates.items()}
    return {name: text for name, text in filled.items() if text is not None}


def fill_body(template: JsonValue, values: Mapping[str, JsonValue]) -> JsonValue:
    """Return a body; a placeholder that is a whole text keeps the type of its value.

    Raises
    ------
    SettingsError
        A value is missing, or an object stands inside a longer text.
    """
    filled = _fill(template, values)
    return None if filled is _ABSENT else filled  # type: ignore[return-value]  # JSON but for the marker


@contextmanager
def values_of_response(source: str, where: str) -> Iterator[None]:
    """Raise `SourceProtocolError` for a value that cannot be filled in: the response lacks it, not the settings."""
    try:
        yield
    except SettingsError as exc:
        raise SourceProtocolError(f"{source}: {where} returned no usable value for link: {exc}") from None


def _fill(template: JsonValue, values: Mapping[str, JsonValue]) -> object:
    if isinstance(template, dict):
        inner = {name: _fill(value, values) for name, value in template.items()}
        return {name: value for name, value in inner.items() if value is not _ABSENT}
    if isinstance(template, list):
        return [value for entry in template if (value := _fill(entry, values)) is not _ABSENT]
    if not isinstance(template, str):
        return template
    whole = _PLACEHOLDER.fullmatch(template)
    if whole is not None:
        return _lookup(whole, values)
    text = fill_text(template, values)
    return _ABSENT if text is None else text


def _lookup(found: re.Match[str], values: Mapping[str, JsonValue]) -> object:
    name, _, field = found[1].partition(".")
    if found[1] in values:
        # A field of the secret, beside the secret as a whole.
        name, field = found[1], ""
    value: object = values.get(name, _ABSENT)
    for step in field.split(".") if field else ():
        value = value.get(step, _ABSENT) if isinstance(value, dict) else _ABSENT
    if value is _ABSENT or value is None:
        if found[2] is not None:
            return _ABSENT
        raise SettingsError(f"{found[1]}: field required")
    return value


def has_lone_surrogate(text: str) -> bool:
    """Return whether a text cannot be encoded: JSON may hold a lone surrogate, and no request can."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def _text(value: object, found: re.Match[str]) -> str:
    if isinstance(value, str):
        if has_lone_surrogate(value):
            raise SettingsError(f"{found[1]}: holds a lone surrogate, which no request can carry")
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise SettingsError(f"{found[1]}: must be a text, a number or a boolean, not a {type(value).__name__}")
