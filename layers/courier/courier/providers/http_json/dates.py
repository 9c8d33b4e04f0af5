"""Dates in the ``input`` of a request: a request that a schedule repeats each day is about another day each time.

=======================  ======================================================================================
``{now}``                the time of the request, as in ``2026-11-25T09:30:00Z``
``{today}``              its date, as in ``2026-11-25``; also ``{yesterday}`` and ``{week_ago}``
``{month_start}``        the first day of its month
``{last_month_start}``   the first day of the month before, and ``{last_month_end}`` the last
=======================  ======================================================================================

All are UTC. With ``_epoch`` behind the name, each is a number of seconds since 1970: of a date, at its midnight. Other
texts in braces are left alone, because a query language may mean something by them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import JsonValue

_NAME = re.compile(r"\{([a-z_]+)\}")
_SUFFIX = "_epoch"


def date_values(now: datetime) -> dict[str, JsonValue]:
    """Return what each name stands for."""
    now = now.astimezone(UTC).replace(microsecond=0)
    today = now.replace(hour=0, minute=0, second=0)
    month_start = today.replace(day=1)
    last_month_end = month_start - timedelta(days=1)
    dates = {
        "today": today,
        "yesterday": today - timedelta(days=1),
        "week_ago": today - timedelta(days=7),
        "month_start": month_start,
        "last_month_start": last_month_end.replace(day=1),
        "last_month_end": last_month_end,
    }
    values: dict[str, JsonValue] = {"now": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
    values |= {name: date.date().isoformat() for name, date in dates.items()}
    return values | {f"{name}{_SUFFIX}": int(date.timestamp()) for name, date in {"now": now, **dates}.items()}


def fill_dates(value: JsonValue, now: datetime) -> JsonValue:
    """Return an input with the dates of an instant; a name that is the whole text keeps its type."""
    return _fill(value, date_values(now))


def _fill(value: JsonValue, dates: Mapping[str, JsonValue]) -> JsonValue:
    if isinstance(value, dict):
        return {name: _fill(inner, dates) for name, inner in value.items()}
    if isinstance(value, list):
        return [_fill(inner, dates) for inner in value]
    if not isinstance(value, str):
        return value
    whole = _NAME.fullmatch(value)
    if whole is not None and whole[1] in dates:
        return dates[whole[1]]
    return _NAME.sub(lambda found: str(dates.get(found[1], found[0])), value)


def unknown_dates(value: JsonValue) -> Iterator[str]:
    """Yield the texts that are nothing but a name in braces, and a name of no date."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from unknown_dates(inner)
    elif isinstance(value, str):
        whole = _NAME.fullmatch(value)
        if whole is not None and whole[1] not in date_values(datetime(2000, 1, 1, tzinfo=UTC)):
            yield whole[1]
