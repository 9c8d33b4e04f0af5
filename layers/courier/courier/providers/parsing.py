"""Reading what an API answered: JSON, lenient fields, and the provider's words made fit for our messages.

Both documented APIs leave much unsaid (docs/source-apis.md), so a field that we can do without is
read leniently: absent, null and garbage are all None. What a build cannot be known by is strict.
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

# A gateway's page says what it has to say at its start; the bound keeps the clean-up below cheap.
_PAGE_LIMIT_CHARACTERS = 8_192
_ERRORS_SHOWN = 10
# API keys are longer than this; redacting shorter words would garble ordinary sentences.
_SHORTEST_SECRET_CHARACTERS = 8

_INVISIBLE_ELEMENT = re.compile(r"<(script|style)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^<>]*>")


class LenientModel(BaseModel):
    """Part of an answer: unknown fields are left alone, and errors never show the values, which may be secret."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, defer_build=True)


def parse_instant(value: object) -> datetime | None:
    """Read a time as an aware UTC datetime; None for null and for anything that is not a time.

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
    """Read a number or a numeric string; None for what is neither, negative, or not finite."""
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
    """Refuse ``.`` and ``..``: HTTP libraries resolve them even when quoted, so a request would climb."""
    if value in {".", ".."}:
        raise ValueError("a dot segment cannot be part of a path")
    return value


PathIdentifier = Annotated[Identifier, AfterValidator(reject_dot_segments)]
"""An identifier that can be a segment of an API's path."""

LenientInstant = Annotated[datetime | None, BeforeValidator(parse_instant)]
LenientText = Annotated[str | None, BeforeValidator(_text_or_none)]


def decode_json(body: bytes) -> JsonValue:
    """Read a JSON text.

    Raises
    ------
    ValueError
        It is not JSON in the strict sense: also for NaN, numbers beyond any float, a name that
        stands twice in one object (readers disagree on which counts), and nesting beyond reason.
    """
    try:
        document: JsonValue = json.loads(
            body, parse_constant=_refuse_constant, parse_float=_finite_float, object_pairs_hook=_object_without_repeats
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


def _object_without_repeats(pairs: Sequence[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return document


def secret_values(headers: Mapping[str, str]) -> list[str]:
    """Give the words of request headers that an answer must not echo into our texts, longest first.

    S3-like stores and debugging gateways do echo them (docs/source-apis.md, 3.7).
    """
    words = {
        word
        for value in headers.values()
        for word in (value, *value.split(), *re.split(r"[\s/]+", value))
        if len(word) >= _SHORTEST_SECRET_CHARACTERS
    }
    return sorted(words, key=len, reverse=True)


def error_message(body: bytes, *, secrets: Iterable[str] = ()) -> str:
    """Give the provider's own words out of an error's body: of its envelope, or of a gateway's page."""
    try:
        document = decode_json(body)
    except ValueError:
        document = None
    words = _envelope_words(document) if isinstance(document, dict) else ""
    if not words:
        page = body.decode("utf-8", "replace")[:_PAGE_LIMIT_CHARACTERS]
        words = _TAG.sub(" ", _INVISIBLE_ELEMENT.sub(" ", page))
    return redact(words, secrets=secrets)


def _envelope_words(envelope: Mapping[str, JsonValue], *, nested: bool = False) -> str:
    """Render Treasure Data's ``{error, message, text, …}`` or Dreadnode's ``{code, detail, type, errors[]}``."""
    sentences: list[str] = []
    for name in ("error", "message", "text", "detail"):
        value = envelope.get(name)
        # FastAPI's own handler puts the list of errors, and some applications an object, under "detail".
        if isinstance(value, dict):
            sentence = "" if nested else _envelope_words(value, nested=True)
        else:
            sentence = _list_words(value) if isinstance(value, list) else value if isinstance(value, str) else ""
        if sentence and sentence not in sentences:
            sentences.append(sentence)
    words = ": ".join(sentences)
    kind = envelope.get("type")
    if isinstance(kind, str) and kind and kind not in sentences:
        words = f"{words} ({kind})" if words else kind
    listed = _list_words(envelope.get("errors"))
    return f"{words}: {listed}" if words and listed else words or listed


def _list_words(errors: JsonValue) -> str:
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
