"""The types that the models of a definition share: texts, expressions, words, and where a response holds a value.

Words, values, headers and queries are texts, and only texts: YAML reads ``on`` as true, ``10`` as a number and
``2022-11-28`` as a date, so that the vendor's own spelling would be lost. They need quotes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
    model_validator,
)

from courier.models import StrictModel
from courier.providers.http_json.expressions import check_expression, check_pattern
from courier.providers.http_json.placeholders import NAME_PATTERN, check_path, check_text

State = Literal["queued", "running", "succeeded", "failed", "canceled", "empty", "gone"]
STATES: tuple[str, ...] = get_args(State)
ErrorName = Literal["throttled", "unauthorized", "refused", "unavailable", "exhausted"]
CallName = Literal["start", "then", "status", "list", "link", "cancel", "preflight", "check", "limits", "scopes"]


def _text_in_quotes(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("is a boolean in YAML, as on, off, yes and no are; put it in quotes")  # noqa: TRY004 - for pydantic
    if value is not None and not isinstance(value, str | Mapping | list | tuple):
        raise ValueError(f"is a {_YAML_NAMES.get(type(value).__name__, 'number')} in YAML; put it in quotes")
    return value


_YAML_NAMES = {"date": "date", "datetime": "time"}


def _header_name(text: str) -> str:
    # A token (RFC 9110, 5.6.2).
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", text):
        raise ValueError("is no name of a header")
    return text


def _code(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _reading(value: object) -> object:
    return {"read": value} if isinstance(value, str) else value


Quoted = BeforeValidator(_text_in_quotes)
Expression = Annotated[str, AfterValidator(check_expression)]
Pattern = Annotated[str, AfterValidator(check_pattern)]
Path = Annotated[str, Quoted, AfterValidator(check_path)]
Text = Annotated[str, Quoted, AfterValidator(check_text)]
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
Word = Annotated[str, Quoted, StringConstraints(min_length=1, max_length=200)]
Code = Annotated[
    str, BeforeValidator(_code, json_schema_input_type=int | str), StringConstraints(pattern=r"^[1-5][0-9][0-9]$")
]
Texts = dict[str, Text]
Headers = dict[HeaderName, Text]


class Reading(StrictModel):
    """Where a response holds a value; an expression alone means ``read``.

    ``read``
        JMESPath over the body.
    ``header``
        Name of a header of the response.
    ``match``
        A pattern whose group cuts the value out of a longer text.
    """

    read: Expression | None = None
    header: HeaderName | None = None
    match: Pattern | None = None

    @model_validator(mode="after")
    def _reads_one_place(self) -> Self:
        if (self.read is None) == (self.header is None):
            raise ValueError("name exactly one of read and header")
        return self

    @model_serializer(mode="wrap")
    def _short(self, handler: SerializerFunctionWrapHandler) -> Any:  # noqa: ANN401 - an expression, or the whole
        return self.read if self.read is not None and self.match is None else handler(self)


class IdReading(Reading):
    """Where a response holds the id of a build.

    ``scope``
        The API has one job for each scope and no ids: the id is the scope's.
    """

    scope: Literal[True] | None = None

    @model_validator(mode="after")
    def _reads_one_place(self) -> Self:
        if [self.read, self.header, self.scope].count(None) != 2:  # noqa: PLR2004 - one of three
            raise ValueError("name exactly one of read, header and scope")
        return self


Read = Annotated[Reading, BeforeValidator(_reading, json_schema_input_type=str | Reading)]
ReadId = Annotated[IdReading, BeforeValidator(_reading, json_schema_input_type=str | IdReading)]
