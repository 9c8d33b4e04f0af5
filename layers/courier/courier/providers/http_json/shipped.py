"""The definitions that come with the courier: a source names one, as in ``api: stripe-report-runs@1``.

Each is a YAML file in ``providers/definitions``, called by its name. ``make generate`` writes the JSON file beside it,
which is what a function reads: the layer has no YAML parser. A published definition may gain what harms no source that
names it; anything else is a new version, with a new number after the ``@``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import Field

from courier.models import StrictModel
from courier.providers.http_json.definition import Definition

FOLDER = Path(__file__).resolve().parent.parent / "definitions"
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*@[1-9][0-9]{0,2}")


class ShippedDefinition(StrictModel):
    """A file of ``providers/definitions``.

    ``title``
        What it describes.
    ``documents``
        The public documents that it was written from.
    ``unchecked``
        What it takes for granted without a public document; one sentence each.
    ``tried``
        What it was tried against; one sentence each.
    ``fields``
        What the operator has to fill in: ``values.x``, ``secret.x``, ``input.x``, ``scope``, with a sentence each.
    ``defaults``
        Settings of a source that names it and does not set them: ``endpoint``, ``artifact``, ``polling``, …
    ``example``
        A whole source that names it.
    ``api``
        The definition.
    """

    title: str
    documents: tuple[str, ...] = Field(min_length=1)
    unchecked: tuple[str, ...] = ()
    tried: tuple[str, ...] = ()
    fields: dict[str, str] = Field({})
    defaults: dict[str, Any] = Field({})
    example: dict[str, Any]
    api: Definition


def shipped_names() -> list[str]:
    """Return the names of all definitions that come with the courier."""
    return sorted(path.stem for path in FOLDER.glob("*@*.json"))


@lru_cache(maxsize=64)
def load_shipped(name: str) -> ShippedDefinition:
    """Return a definition by its name.

    Raises
    ------
    ValueError
        There is none of that name.
    """
    from difflib import get_close_matches  # noqa: PLC0415 - only mistakes need it

    path = FOLDER / f"{name}.json"
    if not _NAME.fullmatch(name) or not path.is_file():
        names = shipped_names()
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names) or 'none'}"
        raise ValueError(f"no definition of this name comes with the courier; {hint}")
    shipped = ShippedDefinition.model_validate(json.loads(path.read_text(encoding="utf-8")))
    return shipped.model_copy(update={"api": shipped.api.named(name)})


def with_defaults(document: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with the defaults of a definition below them; mappings are merged."""
    merged = dict(document)
    for name, value in defaults.items():
        if isinstance(value, dict):
            own = merged.get(name, {})
            merged[name] = with_defaults(own, value) if isinstance(own, dict) else own
        else:
            merged.setdefault(name, value)
    return merged


def without_defaults(document: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without what the defaults of their definition say already."""
    kept: dict[str, Any] = {}
    for name, value in document.items():
        default = defaults.get(name)
        if isinstance(value, dict) and isinstance(default, dict):
            value = without_defaults(value, default)  # noqa: PLW2901 - the rest of it
            if not value:
                continue
        elif name in defaults and value == default:
            continue
        kept[name] = value
    return kept
