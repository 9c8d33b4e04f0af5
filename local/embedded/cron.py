"""``cron(...)`` expressions of EventBridge Scheduler: numbers, names, ranges, lists and steps in six fields.

Source: the chapter "Schedule types in EventBridge Scheduler" of its user guide. AWS also knows ``L``, ``W`` and ``#``
in the day fields; they are refused here, because no schedule of the template uses them.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

_MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_WEEKDAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), 1)}
_FIRST_YEAR, _LAST_YEAR = 1970, 2199


@dataclass(frozen=True)
class Cron:
    """A parsed ``cron(...)`` expression; see `parse_cron`. The day fields are None where the expression has ``?``."""

    text: str
    minutes: tuple[int, ...] = field(repr=False)
    hours: tuple[int, ...] = field(repr=False)
    month_days: frozenset[int] | None = field(repr=False)
    months: frozenset[int] = field(repr=False)
    week_days: frozenset[int] | None = field(repr=False)
    years: frozenset[int] = field(repr=False)
    zone: ZoneInfo

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first fire after ``moment``, in UTC; None when there is none up to the last year that AWS accepts.

        A local time that the change to summer time skips does not fire, as on AWS.
        """
        local = moment.astimezone(self.zone).replace(tzinfo=None)
        for ahead in range((date(_LAST_YEAR, 12, 31) - local.date()).days + 1):
            day = local.date() + timedelta(days=ahead)
            if not self._is_due_on(day):
                continue
            for hour in self.hours:
                for minute in self.minutes:
                    wall = datetime(day.year, day.month, day.day, hour, minute, tzinfo=self.zone)
                    fire = wall.astimezone(UTC)
                    exists = fire.astimezone(self.zone).replace(tzinfo=None) == wall.replace(tzinfo=None)
                    if exists and fire > moment:
                        return fire
        return None

    def _is_due_on(self, day: date) -> bool:
        week_day = day.isoweekday() % 7 + 1  # Sunday is 1
        return (
            day.year in self.years
            and day.month in self.months
            and (self.month_days is None or day.day in self.month_days)
            and (self.week_days is None or week_day in self.week_days)
        )


def parse_cron(text: str, zone: ZoneInfo) -> Cron:
    """Parse the text between the parentheses of ``cron(...)``.

    Raises
    ------
    ValueError
        AWS would refuse the expression, or it uses ``L``, ``W`` or ``#``.
    """
    fields = text.upper().split()
    if len(fields) != 6:  # noqa: PLR2004  # as many as the unpacking below names
        raise ValueError(f"cron({text}) must have six fields: minutes hours day-of-month month day-of-week year")
    minutes, hours, month_day, months, week_day, years = fields
    if (month_day == "?") == (week_day == "?"):
        raise ValueError(f"cron({text}) must have ? as day-of-month or as day-of-week, and not as both")
    if month_day.endswith(("L", "W")) or week_day.endswith("L") or "#" in week_day:
        raise ValueError(f"cron({text}): L, W and # in the day fields are not supported by the embedded AWS")
    return Cron(
        text=text,
        minutes=tuple(sorted(_numbers(minutes, 0, 59))),
        hours=tuple(sorted(_numbers(hours, 0, 23))),
        month_days=None if month_day == "?" else _numbers(month_day, 1, 31),
        months=_numbers(months, 1, 12, _MONTHS),
        week_days=None if week_day == "?" else _numbers(week_day, 1, 7, _WEEKDAYS),
        years=_numbers(years, _FIRST_YEAR, _LAST_YEAR),
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
