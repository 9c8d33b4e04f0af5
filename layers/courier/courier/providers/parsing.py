"""Parsing of API responses: JSON as servers write it, lenient fields, and error bodies as messages.

The documentation of both APIs has gaps (docs/source-apis.md), so an optional field is read leniently: absent, null
and malformed are all None. Only what identifies a build and its status is strict, and what is not read may be
anything: a NaN, a name that stands twice, text in another charset.
"""

import codecs
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, JsonValue, model_validator

from courier.models import Identifier, canonical_id
from courier.observability.redaction import redact

# A gateway's error page states its error at the start; the bound keeps the redaction cheap.
_PAGE_LIMIT_CHARACTERS = 8_192
_ERRORS_SHOWN = 10
# API keys are longer than this; redacting shorter words would garble ordinary sentences.
_SHORTEST_SECRET_CHARACTERS = 8

_HIDDEN_ELEMENT = re.compile(r"<(script|style)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^<>]*>")
_CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?([A-Za-z0-9._:-]+)", re.IGNORECASE)
# Python also knows codecs that are none of a text's, or that are slow.
_TEXT_CODEC = re.compile(r"ascii|utf-(8|16|32)(-[bl]e)?|iso8859-\d+|cp\d+|koi8-[ru]|shift_jis|euc_\w+|gb\w+|big5")

AMBIGUOUS: Final[Any] = type("Ambiguous", (), {"__repr__": lambda _: "AMBIGUOUS"})()
"""Stands for the value of a name that stands twice in one object, with different values."""


class _MarkedDict(dict[str, JsonValue]):
    """An object in which a name stands twice."""


class LenientModel(BaseModel):
    """Part of a response: unknown fields are ignored, and errors never show the values, which may be secret."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _no_field_is_ambiguous(cls, value: object) -> object:
        if isinstance(value, _MarkedDict) and any(value.get(name) is AMBIGUOUS for name in cls.model_fields):
            raise ValueError("a field stands twice, with different values")
        return value


def parse_number(value: object) -> float | None:
    """Return a number or a numeric string as float; None for anything else, and for negative or infinite numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _text_or_none(value: object) -> str | None:
    return redact(value) or None if isinstance(value, str) else None


def reject_dot_segments(value: str) -> str:
    """Reject ``.`` and ``..``, which HTTP libraries resolve even when quoted: the request would leave its path."""
    if value in {".", ".."}:
        raise ValueError("a dot segment cannot be part of a path")
    return value


PathIdentifier = Annotated[Identifier, AfterValidator(reject_dot_segments)]
"""An identifier that can be a segment of an API's path."""

ResponseIdentifier = Annotated[PathIdentifier, AfterValidator(canonical_id)]
"""An identifier in a response, as it is compared: a UUID in lower case."""

LenientText = Annotated[str | None, BeforeValidator(_text_or_none)]


def decode_json(body: bytes, *, content_type: str = "") -> JsonValue:
    """Return a JSON document.

    NaN and infinite numbers are floats, a name that stands twice with different values is `AMBIGUOUS`, and bytes of
    an unknown charset are lone surrogates: no strict field accepts any of them, so only a field that is read is
    affected.

    Parameters
    ----------
    content_type
        The response's header; its charset counts where the body is not in one that JSON must have.

    Raises
    ------
    ValueError
        It is not JSON, or it is nested too deeply.
    """
    text = _decode_text(body, content_type).removeprefix("\ufeff")
    try:
        document: JsonValue = json.loads(text, parse_int=_parse_int, object_pairs_hook=_object_with_marked_duplicates)
    except RecursionError as exc:
        raise ValueError("it is nested too deeply") from exc
    return document


def _decode_text(body: bytes, content_type: str) -> str:
    # UTF-8, UTF-16 or UTF-32, by the zero bytes of the first characters: JSON must be in one of them.
    encoding = json.detect_encoding(body)
    try:
        return body.decode(encoding)
    except UnicodeDecodeError:
        declared = _CHARSET.search(content_type)
        with_declared = None if declared is None else _decode_declared(body, declared[1])
        return body.decode(encoding, "surrogateescape") if with_declared is None else with_declared


def _decode_declared(body: bytes, charset: str) -> str | None:
    try:
        name = codecs.lookup(charset).name
        return body.decode(name) if _TEXT_CODEC.fullmatch(name) else None
    except (LookupError, UnicodeDecodeError):
        return None


def _parse_int(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        # Python reads no integer of more than 4,300 digits.
        return math.inf


def _object_with_marked_duplicates(pairs: Sequence[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    document = dict(pairs)
    if len(document) == len(pairs):
        return document
    marked = _MarkedDict(document)
    for name, value in pairs:
        if marked[name] is not AMBIGUOUS and marked[name] != value:
            marked[name] = AMBIGUOUS
    return marked


def secret_values(headers: Mapping[str, str]) -> list[str]:
    """Return the parts of request headers that a response must not echo into our messages, longest first.

    S3-like stores and debugging gateways do echo them (docs/source-apis.md, 3.7).
    """
    parts = {
        part
        for value in headers.values()
        for part in (value, *value.split(), *re.split(r"[\s/]+", value))
        if len(part) >= _SHORTEST_SECRET_CHARACTERS
    }
    return sorted(parts, key=len, reverse=True)


def error_message(body: bytes, *, content_type: str = "", secrets: Iterable[str] = ()) -> str:
    """Return the message in an error's body: from the provider's JSON envelope, or from a gateway's page."""
    try:
        document = decode_json(body, content_type=content_type)
    except ValueError:
        document = None
    message = _envelope_message(document) if isinstance(document, dict) else ""
    if not message:
        page = body.decode("utf-8", "replace")[:_PAGE_LIMIT_CHARACTERS]
        message = _TAG.sub(" ", _HIDDEN_ELEMENT.sub(" ", page))
    return redact(message, secrets=secrets)


def _envelope_message(envelope: Mapping[str, JsonValue], *, nested: bool = False) -> str:
    """Render Treasure Data's ``{error, message, text, …}`` or Dreadnode's ``{code, detail, type, errors[]}``."""
    sentences: list[str] = []
    for name in ("error", "message", "text", "detail"):
        value = envelope.get(name)
        # Under "detail", FastAPI's own handler puts a list of errors, and some applications an object.
        if isinstance(value, dict):
            sentence = "" if nested else _envelope_message(value, nested=True)
        else:
            sentence = _list_message(value) if isinstance(value, list) else value if isinstance(value, str) else ""
        if sentence and sentence not in sentences:
            sentences.append(sentence)
    message = ": ".join(sentences)
    kind = envelope.get("type")
    if isinstance(kind, str) and kind and kind not in sentences:
        message = f"{message} ({kind})" if message else kind
    listed = _list_message(envelope.get("errors"))
    return f"{message}: {listed}" if message and listed else message or listed


def _list_message(errors: JsonValue) -> str:
    if not isinstance(errors, list):
        return ""
    lines = []
    for error in errors[:_ERRORS_SHOWN]:
        if isinstance(error, str):
            lines.append(error)
        elif isinstance(error, dict):
            place, message, kind = error.get("loc"), error.get("msg"), error.get("type")
            parts = place if isinstance(place, list) else []
            where = ".".join(str(part) for part in parts if isinstance(part, str | int))
            line = ": ".join(part for part in (where, message) if isinstance(part, str) and part)
            if isinstance(kind, str) and kind:
                line = f"{line} ({kind})" if line else kind
            lines.append(line)
    if len(errors) > _ERRORS_SHOWN:
        lines.append(f"and {len(errors) - _ERRORS_SHOWN} more")
    return "; ".join(line for line in lines if line)
