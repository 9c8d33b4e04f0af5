"""Retry-After in both its forms."""

from datetime import UTC, datetime

import pytest

from courier.providers.status_errors import RETRY_AFTER_LONGEST_SECONDS, retry_after_seconds

NOW = datetime(2026, 4, 15, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 1.5 ", 1.5),
        ("999999999999", RETRY_AFTER_LONGEST_SECONDS),
        ("Wed, 15 Apr 2026 12:01:00 GMT", 60),
        ("Wed, 15 Apr 2026 12:01:00 -0000", 60),
        ("Wed, 15 Apr 2026 11:00:00 GMT", 0),
        ("Wed, 15 Apr 2099 11:00:00 GMT", RETRY_AFTER_LONGEST_SECONDS),
        ("soon", None),
        ("-5", None),
        ("1e9", None),
        ("Wed, 99 Apr 2026 12:01:00 GMT", None),
        ("", None),
    ],
)
def test_retry_after(header: str, seconds: float | None) -> None:
    assert retry_after_seconds({"Retry-After": header}, now=NOW) == seconds


def test_no_header_is_no_wish() -> None:
    assert retry_after_seconds({}, now=NOW) is None
