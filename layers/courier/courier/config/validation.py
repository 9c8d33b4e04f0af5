"""Validation errors as messages that an operator can act on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, get_args

from pydantic import BaseModel, ValidationError, ValidationInfo

from courier.models import SLUG_PATTERN

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_LIST = "must be a list, such as [a, b]"
_MAPPING = "must be a mapping"
_NUMBER = "must be a number"
_WHOLE_NUMBER = "must be a whole number"
# By pydantic's types of errors, which are stable (https://docs.pydantic.dev/latest/errors/validation_errors/).
_MESSAGES: Mapping[str, str] = MappingProxyType(
    {
        "tuple_type": _LIST,
        "list_type": _LIST,
        "model_type": _MAPPING,
        "model_attributes_type": _MAPPING,
        "dict_type": _MAPPING,
        "float_type": _NUMBER,
        "float_parsing": _NUMBER,
        "finite_number": _NUMBER,
        "int_type": _WHOLE_NUMBER,
        "int_parsing": _WHOLE_NUMBER,
        "int_parsing_size": _WHOLE_NUMBER,
        "int_from_float": _WHOLE_NUMBER,
        "extra_forbidden": "is unknown",
    }
)


def report_problems(problems: Sequence[str], model: BaseModel, info: ValidationInfo) -> None:
    """Raise a `ValueError` with all that is wrong with a model as a whole.

    Where the context of the validation has a list ``problems``, they are added to it with their model instead, and
    the validation goes on, to find what is wrong around it.
    """
    collected = (info.context or {}).get("problems")
    if collected is not None:
        collected += [(type(model), problem) for problem in problems]
    elif problems:
        raise ValueError("; ".join(problems))


def describe_validation(error: ValidationError, *, where: str = "", model: type[BaseModel] | None = None) -> str:
    """Return the errors in one line, such as ``project: field required``, without the values, which may be secret.

    Parameters
    ----------
    where
        Place of the whole document; begins the name of every wrong field.
    model
        The model that the document does not fit; with it, the message suggests the nearest known name for an
        unknown field.
    """
    lines = []
    for item in without_misspelled(error.errors(include_url=False, include_input=False), model):
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in item["loc"])
        place = f"{where}{place}".lstrip(".")
        message = describe_error(item, model)
        lines.append(f"{place}: {message[0].lower()}{message[1:]}" if place else message)
    return "; ".join(lines)


def describe_error(item: ErrorDetails, model: type[BaseModel] | None = None) -> str:
    """Return one error without its place."""
    message = _MESSAGES.get(item["type"]) or item["msg"].removeprefix("Value error, ")
    if SLUG_PATTERN in message:
        message = "must be lower-case letters, digits and hyphens, at most 40, with a letter or digit at both ends"
    if item["type"] == "extra_forbidden" and model is not None:
        near = _similar_field(model, item["loc"])
        message += f"; did you mean {near}?" if near else ""
    return message


def without_misspelled(errors: Sequence[ErrorDetails], model: type[BaseModel] | None) -> list[ErrorDetails]:
    """Return the errors without missing fields that are there under a name which the error about it corrects."""
    unknown = [error["loc"] for error in errors if error["type"] == "extra_forbidden"]
    meant = {(*place[:-1], _similar_field(model, place)) for place in unknown} if model is not None else set()
    return [error for error in errors if error["type"] != "missing" or error["loc"] not in meant]


def _similar_field(model: type[BaseModel], place: tuple[int | str, ...]) -> str | None:
    """Return the known field that is most similar to an unknown one."""
    from difflib import get_close_matches  # noqa: PLC0415 - only mistakes need it, not every cold start

    *parents, name = place
    for parent in parents:
        if isinstance(parent, int):
            continue
        field = model.model_fields.get(parent)
        kind = field.annotation if field is not None else None
        # The items of a list; what is annotated; the first of several.
        while get_args(kind):
            kind = get_args(kind)[0]
        if not isinstance(kind, type) or not issubclass(kind, BaseModel):
            return None
        model = kind
    matches = get_close_matches(str(name), model.model_fields, n=1)
    return matches[0] if matches else None
