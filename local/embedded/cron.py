"""``cron(...)`` as EventBridge Scheduler defines it: six fields, a year, and ``L``, ``W``, ``#``.

Source: the chapter "Schedule types in EventBridge Scheduler" of its user guide.
"""

import calendar
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

_MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_WEEKDAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), 1)}
_FIRST_YEAR, _LAST_YEAR = 1970, 2199

DayRule = Callable[[date], bool]


@dataclass(frozen=True)
class Cron:
    """A parsed ``cron(...)`` expression; see `parse_cron`."""

    text: str
    minutes: tuple[int, ...] = field(repr=False)
    hours: tuple[int, ...] = field(repr=False)
    months: frozenset[int] = field(repr=False)
    years: frozenset[int] = field(repr=False)
    day_rule: DayRule = field(repr=False)
    zone: ZoneInfo

    def next_after(self, moment: datetime) -> datetime | None:
        """Give the first fire after ``moment``, in UTC; None when there is none up to the last year that AWS knows.

        A local time that the change to summer time leaves out does not fire, as in AWS.
        """
        local = moment.astimezone(self.zone).replace(tzinfo=None)
        for ahead in range((date(_LAST_YEAR, 12, 31) - local.date()).days + 1):
            day = local.date() + timedelta(days=ahead)
            if day.year not in self.years or day.month not in self.months or not self.day_rule(day):
                continue
            for hour in self.hours:
                for minute in self.minutes:
                    wall = datetime(day.year, day.month, day.day, hour, minute, tzinfo=self.zone)
                    fire = wall.astimezone(UTC)
                    exists = fire.astimezone(self.zone).replace(tzinfo=None) == wall.replace(tzinfo=None)
                    if exists and fire > moment:
                        return fire
        return None


def parse_cron(text: str, zone: ZoneInfo) -> Cron:
    """Read what stands between the parentheses of ``cron(...)``.

    Raises
    ------
    ValueError
        It is not a cron expression of AWS.
    """
    fields = text.upper().split()
    if len(fields) != 6:  # noqa: PLR2004  # as many as the unpacking below names
        raise ValueError(f"cron({text}) must have six fields: minutes hours day-of-month month day-of-week year")
    minutes, hours, month_day, months, week_day, years = fields
    if (month_day == "?") == (week_day == "?"):
        raise ValueError(f"cron({text}) must have ? as day-of-month or as day-of-week, and not as both")
    return Cron(
        text=text,
        minutes=tuple(sorted(_numbers(minutes, 0, 59))),
        hours=tuple(sorted(_numbers(hours, 0, 23))),
        months=_numbers(months, 1, 12, _MONTHS),
        years=_numbers(years, _FIRST_YEAR, _LAST_YEAR),
        day_rule=_week_day_rule(week_day) if month_day == "?" else _month_day_rule(month_day),
        zone=zone,
    )


def _numbers(field: str, lowest: int, highest: int, names: dict[str, int] | None = None) -> frozenset[int]:
    def number(word: str) -> int:
        value = (names or {}).get(word)
        if value is None and word.isascii() and word.isdigit():
            value = int(word)
        if value is None or not lowest <= value <= highest:
            raise ValueError(f"{word!r} in the cron field {field!r} is not between {lowest} and {highest}")
        return value

    found: set[int] = set()
    for part in field.split(","):
        span, slash, step = part.partition("/")
        if slash and not (step.isascii() and step.isdigit() and int(step) > 0):
            raise ValueError(f"{part!r} in the cron field {field!r} has no step")
        if span == "*":
            first, last = lowest, highest
        else:
            start, dash, end = span.partition("-")
            first = number(start)
            last = number(end) if dash else (highest if slash else first)
        if first > last:
            raise ValueError(f"{part!r} in the cron field {field!r} runs backwards")
        found.update(range(first, last + 1, int(step) if slash else 1))
    return frozenset(found)


def _days_in(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def _week_day(day: date) -> int:
    return day.isoweekday() % 7 + 1  # Sunday is 1


def _month_day_rule(field: str) -> DayRule:
    if field == "L":
        return lambda day: day.day == _days_in(day)
    if match := re.fullmatch(r"(\d{1,2})W", field):
        (wanted,) = _numbers(match[1], 1, 31)
        return lambda day: wanted <= _days_in(day) and day == _nearest_workday(day.replace(day=wanted))
    days = _numbers(field, 1, 31)
    return lambda day: day.day in days


def _nearest_workday(day: date) -> date:
    """Stay within the month, as AWS does."""
    if day.isoweekday() == 6:  # noqa: PLR2004  # Saturday
        return day - timedelta(days=1) if day.day > 1 else day + timedelta(days=2)
    if day.isoweekday() == 7:  # noqa: PLR2004  # Sunday
        return day + timedelta(days=1) if day.day < _days_in(day) else day - timedelta(days=2)
    return day


def _week_day_rule(field: str) -> DayRule:
    if match := re.fullmatch(r"(\w+)#([1-5])", field):
        (wanted,), location = _numbers(match[1], 1, 7, _WEEKDAYS), int(match[2])
        return lambda day: _week_day(day) == wanted and (day.day - 1) // 7 + 1 == location
    if match := re.fullmatch(r"(\w+?)L", field):
        (last,) = _numbers(match[1], 1, 7, _WEEKDAYS)
        return lambda day: _week_day(day) == last and day.day + 7 > _days_in(day)
    if field == "L":
        return lambda day: _week_day(day) == 7  # noqa: PLR2004  # Saturday ends the week
    days = _numbers(field, 1, 7, _WEEKDAYS)
    return lambda day: _week_day(day) in days
