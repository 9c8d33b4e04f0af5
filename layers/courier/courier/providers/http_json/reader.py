"""Reads values out of responses. What cannot be read is null, and is reported once: it never stops a build."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from courier.observability.provider_events import UnexpectedKind
from courier.observability.redaction import redact
from courier.providers.http_json.expressions import ReadingError, is_true, match, scalar_text, search
from courier.providers.parsing import AMBIGUOUS

if TYPE_CHECKING:
    from pydantic import JsonValue

    from courier.providers.http_json.fields import Reading

Report = Callable[[UnexpectedKind, str], None]


class Reader:
    """Reads values, and reports what cannot be read.

    Parameters
    ----------
    report
        Receives the place in the definition and the reason, free of values.
    hidden
        Returns the texts that no message may show.
    """

    def __init__(self, report: Report, hidden: Callable[[], tuple[str, ...]]) -> None:
        self._report = report
        self._hidden = hidden

    def search(self, expression: str, document: JsonValue, place: str) -> JsonValue:
        """Return what an expression selects; None where that is absent or cannot be read."""
        try:
            found = search(expression, document)
        except ReadingError as exc:
            self._report(UnexpectedKind.UNREADABLE_VALUE, f"{place}: {exc}")
            return None
        if found is AMBIGUOUS:
            self._report(UnexpectedKind.UNREADABLE_VALUE, f"{place}: stands twice, with different values")
            return None
        return found

    def is_true(self, expression: str, document: JsonValue, place: str) -> bool:
        """Return whether a condition holds; one that cannot be evaluated does not."""
        return is_true(self.search(expression, document, place))

    def value(
        self, reading: Reading | None, document: JsonValue, place: str, *, headers: Mapping[str, str] | None = None
    ) -> JsonValue:
        """Return the value that a reading names; None where there is none."""
        if reading is None:
            return None
        if reading.header is not None:
            found: JsonValue = (headers or {}).get(reading.header)
        else:
            found = self.search(reading.read or "@", document, place)
        if reading.match is None or found is None:
            return found
        text = scalar_text(found)
        matched = None if text is None else match(reading.match, text)
        if matched is None:
            self._report(UnexpectedKind.UNREADABLE_VALUE, f"{place}: the pattern does not match")
        return matched

    def text(
        self, reading: Reading | None, document: JsonValue, place: str, *, headers: Mapping[str, str] | None = None
    ) -> str | None:
        """Return a value as text, redacted, for messages; None where there is none."""
        found = self.value(reading, document, place, headers=headers)
        if isinstance(found, dict):
            # Vendors put an object with a message where a text was meant.
            found = next((text for name in ("message", "detail", "code") if (text := found.get(name))), None)
        text = scalar_text(found)
        return None if text is None else redact(text, secrets=self._hidden()) or None

    def shows_secret(self, text: str) -> bool:
        """Return whether a response repeats a secret where an identifier was meant, which would be shown and stored."""
        return any(secret in text for secret in self._hidden())
