"""What is generated from the models of a source: the reference of every key of a definition, and the JSON Schema.

The sentences are those of the models' docstrings, which name each field between double backticks and explain it in the
indented lines below.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, JsonValue
from pydantic.fields import FieldInfo
from pydantic.json_schema import models_json_schema

from courier.config.settings import SourceSettings
from courier.providers import PROVIDERS, provider_class
from courier.providers.http_json import auth_fields, calls, definition, fields, settings
from courier.providers.http_json.expressions import check_expression, check_pattern
from courier.providers.http_json.placeholders import check_path, check_text
from courier.providers.http_json.shipped import shipped_names

_FIELDS = re.compile(r"^((?:``\w+``(?:, )?)+)\n((?:    .+\n?)+)", re.MULTILINE)
_FORMS = {check_expression: "expression", check_pattern: "pattern", check_path: "path", check_text: "text"}
# Sections of the reference: heading, model, and the fields to leave out because another section has them.
_CALL = frozenset(calls.Call.model_fields)
_SECTIONS: tuple[tuple[str, type[BaseModel], frozenset[str]], ...] = (
    ("A source", settings.HttpJsonSettings, frozenset(SourceSettings.model_fields)),
    ("`requests`", settings.InputRequest, frozenset()),
    ("`api`", definition.Definition, frozenset()),
    ("`api.auth`", auth_fields.Auth, frozenset()),
    ("`api.auth.header`", auth_fields.TokenHeader, frozenset()),
    ("Every call", calls.Call, frozenset()),
    ("`api.start`", calls.Start, _CALL),
    ("`api.start.once`", calls.Once, frozenset()),
    ("`api.preflight`", calls.Preflight, _CALL),
    ("`api.status`", calls.Status, _CALL),
    ("`api.list`", calls.Listing, _CALL),
    ("`api.list.next`", calls.Next, frozenset()),
    ("`api.scopes`", calls.Scopes, _CALL),
    ("`api.check`", calls.Check, _CALL),
    ("`api.limits`", calls.Limits, _CALL),
    ("A reading", fields.IdReading, frozenset()),
    ("`api.build`", definition.BuildFields, frozenset()),
    ("`api.words`", definition.Words, frozenset()),
    ("`api.rules`", definition.Rule, frozenset()),
    ("`api.errors`", definition.Errors, frozenset()),
    ("`api.link`", definition.Link, frozenset()),
    ("`api.advice`", definition.Advice, frozenset()),
)


def reference() -> str:
    """Return the reference of every key as Markdown."""
    lines: list[str] = []
    for heading, model, left_out in _SECTIONS:
        lines += [f"### {heading}", "", _summary(model), "", "| Key | Is | Default | Meaning |", "|---|---|---|---|"]
        texts = field_texts(model)
        for name, field in model.model_fields.items():
            if name not in left_out:
                default = "required" if field.is_required() else _default(field)
                lines.append(f"| `{name}` | {_form(field)} | {default} | {_markdown(texts[name])} |")
        lines.append("")
    return "\n".join(lines).rstrip()


def field_texts(model: type[BaseModel]) -> dict[str, str]:
    """Return what the docstrings of a model and of those that it extends say of each field."""
    texts: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        for names, text in _FIELDS.findall(inspect.cleandoc(kind.__doc__ or "") + "\n"):
            for name in re.findall(r"\w+", names):
                texts[name] = " ".join(text.split())
    return texts


def sources_schema() -> dict[str, Any]:
    """Return the JSON Schema of a file with sources, for editors."""
    models = [provider_class({"provider": name}).settings_model for name in sorted(PROVIDERS)]
    _, schema = models_json_schema([(model, "validation") for model in models], ref_template="#/$defs/{model}")
    known = {model.__name__: model for model in _models(models)}
    for name, entry in schema["$defs"].items():
        if name not in known:
            continue
        texts = field_texts(known[name])
        entry["description"] = _summary(known[name])
        for field, inner in entry.get("properties", {}).items():
            inner.pop("title", None)
            if field in texts:
                inner["description"] = texts[field].replace("``", "`")
        entry.pop("title", None)
    described = schema["$defs"][settings.HttpJsonSettings.__name__]
    # A definition that comes with the courier may say it.
    described["required"].remove("endpoint")
    definition_by_name = described["properties"]["api"]["anyOf"][0]
    definition_by_name["enum"] = shipped_names()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Sources of Build Courier",
        "type": "object",
        "properties": {
            "sources": {"type": "array", "items": {"anyOf": [{"$ref": f"#/$defs/{m.__name__}"} for m in models]}}
        },
        "required": ["sources"],
        "additionalProperties": False,
        "$defs": _sorted(schema["$defs"]),
    }


def _sorted(schema: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {name: schema[name] for name in sorted(schema)}


def _models(roots: Sequence[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    """Yield models, and all that their fields are made of."""
    seen: set[type[BaseModel]] = set()
    waiting: list[Any] = [*roots]
    while waiting:
        kind = waiting.pop()
        waiting += get_args(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in seen:
            seen.add(kind)
            yield kind
            waiting += [field.annotation for field in kind.model_fields.values()]


def _summary(model: type[BaseModel]) -> str:
    """Return what a docstring says before its fields."""
    text = inspect.cleandoc(model.__doc__ or "")
    return _markdown(" ".join(_FIELDS.split(text + "\n", maxsplit=1)[0].split()))


def _markdown(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


def _form(field: FieldInfo) -> str:
    return _form_of(Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation)


def _form_of(kind: Any) -> str:  # noqa: ANN401, PLR0911 - an annotation
    if kind is JsonValue:
        return "anything"
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        checks = [one.func for one in kind.__metadata__ if isinstance(one, AfterValidator)]
        found = next((_FORMS[check] for check in checks if check in _FORMS), None)
        return found or _form_of(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{str(one).lower() if isinstance(one, bool) else one}`" for one in arguments)
    if origin in {Union, UnionType}:
        return " or ".join(_form_of(one) for one in arguments if one is not NoneType)
    if origin is tuple:
        return f"list of {_form_of(arguments[0])}"
    if origin is dict:
        return f"mapping to {_form_of(arguments[1])}"
    if isinstance(kind, type) and issubclass(kind, fields.Reading):
        return "reading"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "mapping"
    return {str: "text", bool: "`true` or `false`", float: "number", int: "whole number"}.get(kind, "anything")


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None or value in ((), {}) or isinstance(value, BaseModel):
        return "none" if not isinstance(value, BaseModel) else "see there"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if value != "" else "empty"
