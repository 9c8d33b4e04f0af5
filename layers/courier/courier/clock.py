"""Time, as a value that is passed in: tests and the embedded AWS bring their own."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Give the current instant, aware and in UTC."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """Write an instant so that stamps sort as text: UTC, always with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
