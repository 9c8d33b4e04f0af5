"""The time formats of the two providers."""

from __future__ import annotations

from datetime import UTC, datetime


def to_milliseconds(instant: datetime) -> datetime:
    """Truncate an instant to the precision of Treasure Insights."""
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def with_offset(instant: datetime) -> str:
    """Format it like a single GET of Treasure Insights: ``2026-01-05T08:36:21.749+00:00``."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds")


def with_z(instant: datetime) -> str:
    """Format it like the list of Treasure Insights: ``2026-01-05T08:36:21.749Z``."""
    return with_offset(instant).removesuffix("+00:00") + "Z"


def iso_z(instant: datetime) -> str:
    """Format it like Dreadnode: with ``Z``, and with a fraction only if it is not zero."""
    return instant.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


def amz_date(instant: datetime) -> str:
    """Format it for ``X-Amz-Date``: ``20260415T120042Z``."""
    return instant.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def from_amz_date(text: str) -> datetime:
    """Parse an ``X-Amz-Date``.

    Raises
    ------
    ValueError
        `text` is not in that format.
    """
    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
