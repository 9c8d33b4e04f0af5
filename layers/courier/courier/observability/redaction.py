"""Redaction of foreign text for messages, logs, records and notices."""

import re
import unicodedata
from collections.abc import Iterable

# Long enough for a validation error with a few places, short enough for one line of a notice.
TEXT_LIMIT_CHARACTERS = 1_000
_URL_QUERY = re.compile(r"(https?:\\?/[^\s?\"'<>]+)\?[^\s\"'<>]*", re.IGNORECASE)
_SIGNED_PARAMETER = re.compile(
    r"((?:x-amz-(?:signature|credential|security-token)|signature|token|api[_-]?key)=)[^\s&\"'<>]+", re.IGNORECASE
)


def redact(text: str, *, limit: int = TEXT_LIMIT_CHARACTERS, secrets: Iterable[str] = ()) -> str:
    """Return foreign text as one bounded, printable line without URL queries and ``secrets``."""
    for secret in secrets:
        text = text.replace(secret, "…")
    # A lone surrogate is legal in JSON, and cannot be encoded as UTF-8.
    text = text.encode("utf-8", "replace").decode("utf-8")
    text = "".join(" " if unicodedata.category(character).startswith("C") else character for character in text)
    text = _URL_QUERY.sub(r"\1?…", " ".join(text.split()))
    text = _SIGNED_PARAMETER.sub(r"\1…", text)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
