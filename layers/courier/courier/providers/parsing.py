"""Parsing of API responses: strict JSON, lenient fields, and error bodies as messages.

The documentation of both APIs has gaps (docs/source-apis.md), so an optional field is read leniently: absent, null
and malformed are all None. Only what identifies a build and its status is strict.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, JsonValue

from courier.models import Identifier
from courier.observability.redaction import redact

# A gateway's error page states its error at the start; the bound keeps the redaction cheap.
_PAGE_LIMIT_CHARACTERS = 8_192
_ERRORS_SHOWN = 10
# API keys are longer than this; redacting shorter words would garble ordinary sentences.
_SHORTEST_SECRET_CHARACTERS = 8

_HIDDEN_ELEMENT = re.compile(r"<(script|style)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^<>]*>")


class LenientModel(BaseModel):
    """Part of a response: unknown fields are ignored, and errors never show the values, which may be secret."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, defer_build=True)


def parse_instant(value: object) -> datetime | None:
    """Return a time as an aware UTC datetime; None for null and for anything that is not a time.

    ``Z`` and ``+00:00`` are the same instant: the two calls of Treasure Insights write the same
    build's times differently (docs/source-apis.md, 1.4). A time without a zone is taken as UTC.
    """
    if not isinstance(value, str):
        return None
    try:
        instant = datetime.fromisoformat(value.strip())
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


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

LenientInstant = Annotated[datetime | None, BeforeValidator(parse_instant)]
LenientText = Annotated[str | None, BeforeValidator(_text_or_none)]


def decode_json(body: bytes) -> JsonValue:
    """Return a JSON document.

    Raises
    ------
    ValueError
        It is not strict JSON. NaN, numbers beyond any float, duplicate names in one object (parsers disagree on
        which one counts) and excessive nesting are refused as well.
    """
    try:
        document: JsonValue = json.loads(
            body,
            parse_constant=_refuse_constant,
            parse_float=_finite_float,
            object_pairs_hook=_object_without_duplicates,
        )
    except RecursionError as exc:
        raise ValueError("it is nested too deeply") from exc
    return document


def _refuse_constant(word: str) -> float:
    raise ValueError(f"{word} is not JSON")


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _object_without_duplicates(pairs: Sequence[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("an object holds the same name twice")
    return document


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


def error_message(body: bytes, *, secrets: Iterable[str] = ()) -> str:
    """Return the message in an error's body: from the provider's JSON envelope, or from a gateway's page."""
    try:
        document = decode_json(body)
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
