"""From when a build's age counts."""

from datetime import UTC, datetime, timedelta

import pytest

from courier.builds.poll_schedule import age_starts_at
from courier.config.settings import PollingSettings

SEEN = datetime(2026, 4, 15, 12, tzinfo=UTC)
POLLING = PollingSettings(give_up_after_hours=24)


@pytest.mark.parametrize("hours", [0, 1, 24, -1])
def test_a_build_is_as_old_as_it_says(hours: float) -> None:
    created = SEEN - timedelta(hours=hours)
    assert age_starts_at(created, SEEN, POLLING) == created


@pytest.mark.parametrize("created", [None, SEEN - timedelta(hours=25), datetime(2022, 6, 30, tzinfo=UTC)])
def test_a_build_without_a_date_or_with_an_impossible_one_is_as_old_as_its_first_sight(
    created: datetime | None,
) -> None:
    assert age_starts_at(created, SEEN, POLLING) == SEEN
