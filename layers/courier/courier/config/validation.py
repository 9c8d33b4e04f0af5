"""What does not fit a model, in words that an operator can act on."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import get_args

from pydantic import BaseModel, ValidationError

from courier.models import SLUG_PATTERN

_LIST = "must be a list, such as [a, b]"
_MAPPING = "must be a mapping"
_NUMBER = "must be a number"
_WHOLE_NUMBER = "must be a whole number"
# By pydantic's types of errors, which are stable (https://docs.pydantic.dev/latest/errors/validation_errors/).
_WORDS: Mapping[str, str] = MappingProxyType(
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


def describe_validation(error: ValidationError, *, where: str = "", model: type[BaseModel] | None = None) -> str:
    """One line per wrong place, ``project: field required`` style, without the values, which may be secret.

    Parameters
    ----------
    where
        Place of the whole document; begins the name of every wrong field.
    model
        What the document was to fit; with it, a field that is unknown gets the nearest name that is known.
    """
    lines = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in item["loc"])
        place = f"{where}{place}".lstrip(".")
        message = _WORDS.get(item["type"]) or item["msg"].removeprefix("Value error, ")
        if SLUG_PATTERN in message:
            message = "must be lower-case letters, digits and hyphens, at most 40, with a letter or digit at both ends"
        if item["type"] == "extra_forbidden" and model is not None:
            message += _meant(model, item["loc"])
        lines.append(f"{place}: {message[0].lower()}{message[1:]}" if place else message)
    return "; ".join(lines)


def _meant(model: type[BaseModel], place: tuple[int | str, ...]) -> str:
    """Ask for the known field that an unknown one is nearest to."""
    from difflib import get_close_matches  # noqa: PLC0415 - mistakes are rare, and cold starts are not

    *parents, name = place
    for parent in parents:
        if isinstance(parent, int):
            continue
        field = model.model_fields.get(parent)
        kind = field.annotation if field is not None else None
        # What a list is a list of.
        kind = next(iter(get_args(kind)), kind)
        if not isinstance(kind, type) or not issubclass(kind, BaseModel):
            return ""
        model = kind
    near = get_close_matches(str(name), model.model_fields, n=1)
    return f"; did you mean {near[0]}?" if near else ""
