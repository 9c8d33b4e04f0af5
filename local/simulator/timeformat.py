"""The ways in which the two providers write an instant."""

from __future__ import annotations

from datetime import UTC, datetime


def to_milliseconds(instant: datetime) -> datetime:
    """Cut an instant to the precision that Treasure Insights keeps."""
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def with_offset(instant: datetime) -> str:
    """Write it as the single GET of Treasure Insights does: ``2026-01-05T08:36:21.749+00:00``."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds")


def with_z(instant: datetime) -> str:
    """Write it as the list of Treasure Insights does: ``2026-01-05T08:36:21.749Z``."""
    return with_offset(instant).removesuffix("+00:00") + "Z"


def iso_z(instant: datetime) -> str:
    """Write it as Dreadnode does: a ``Z``, and a fraction only where there is one."""
    return instant.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


def amz_date(instant: datetime) -> str:
    """Write it as ``X-Amz-Date`` wants it: ``20260415T120042Z``."""
    return instant.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def from_amz_date(text: str) -> datetime:
    """Read an ``X-Amz-Date``.

    Raises
    ------
    ValueError
        `text` is not of that form.
    """
    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
