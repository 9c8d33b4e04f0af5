"""Times in API responses, in every form that vendors write, and what is unexpected about them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, NamedTuple

from pydantic import PlainValidator

from courier.observability.provider_events import UnexpectedKind
from courier.observability.redaction import redact

# Epoch seconds from 2000 to 2100; a thousand times as many are milliseconds, and the two ranges do not meet.
_EARLIEST_SECONDS, _LATEST_SECONDS = 946_684_800, 4_102_444_800
_NUMBER = re.compile(r"-?\d{1,20}(\.\d{1,20})?")
# Treasure Data writes "2026-01-05 08:36:21 UTC" in its API v3 (docs/source-apis.md, 1.4), and Ruby " +0900".
_ZONE_NAME = re.compile(r"\s*(UTC|GMT|Z)$", re.IGNORECASE)
_SPACED_OFFSET = re.compile(r"\s+(?=[+-]\d{2}:?\d{2}$)")
_FORM_LIMIT_CHARACTERS = 40
# "Not yet" in APIs that cannot write null: an empty text, the epoch, and the first year (Go and .NET write that).
_FIRST_YEAR = 1


class ReadTime(NamedTuple):
    """A time of a response.

    Attributes
    ----------
    at
        The instant; None where there is none, or none that can be read.
    unexpected
        What is unexpected about it: it cannot be read, or has no zone and is taken as UTC.
    form
        The time as it is written, with each digit replaced by 9; only with ``unexpected``.
    """

    at: datetime | None = None
    unexpected: UnexpectedKind | None = None
    form: str = ""


NO_TIME = ReadTime()


def read_time(value: object) -> ReadTime:
    """Read a time: ISO 8601, ``2026-01-05 08:36:21 UTC``, or seconds or milliseconds since 1970.

    ``Z`` and ``+00:00`` are the same instant: the two calls of Treasure Insights write the same build's times
    differently (docs/source-apis.md, 1.4).
    """
    if value is None or value == "":
        return NO_TIME
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _from_epoch(float(value) if abs(value) < 2.0**63 else -1.0, str(value)[:_FORM_LIMIT_CHARACTERS])
    return _from_text(value.strip()) if isinstance(value, str) else _unreadable(type(value).__name__)


def _from_text(text: str) -> ReadTime:
    # Every other form of a time has a colon.
    if ":" not in text and _NUMBER.fullmatch(text) and (read := _from_epoch(float(text), text)).unexpected is None:
        return read
    try:
        instant = _from_iso(text)
        if instant.year == _FIRST_YEAR:
            return NO_TIME
        if instant.tzinfo is None:
            return ReadTime(instant.replace(tzinfo=UTC), UnexpectedKind.NAIVE_TIME, _form(text))
        return ReadTime(instant.astimezone(UTC))
    except (ValueError, OverflowError):
        return _unreadable(text)


def _from_iso(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return datetime.fromisoformat(_SPACED_OFFSET.sub("", _ZONE_NAME.sub("+00:00", text)))


def _from_epoch(number: float, text: str) -> ReadTime:
    if number == 0:
        return NO_TIME
    for factor in (1, 1000):
        if _EARLIEST_SECONDS <= number / factor < _LATEST_SECONDS:
            return ReadTime(datetime.fromtimestamp(number / factor, UTC))
    return _unreadable(text)


def _unreadable(text: str) -> ReadTime:
    return ReadTime(None, UnexpectedKind.UNREADABLE_TIME, _form(text))


def _form(text: str) -> str:
    return redact(re.sub(r"\d", "9", text), limit=_FORM_LIMIT_CHARACTERS)


LenientTime = Annotated[ReadTime, PlainValidator(read_time)]
