"""Waits between attempts: exponential backoff, and what a server asks for in Retry-After.

The copy (`courier.transfer`) and the providers' HTTP client retry with these.
"""

import random as random_module
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# A server that asks for more than a day is treated like one that asks for a day; and times stay computable.
RETRY_AFTER_LONGEST_SECONDS = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Exponential backoff with full jitter, which spreads the retries of many workers best.

    Attributes
    ----------
    attempts
        Attempts of one request in all; S3 asks for a few with growing waits on 500 and 503 (docs/source-apis.md, 3.10).
    first_seconds, longest_seconds
        The wait after failure ``n`` is between 0 and ``min(longest, first * 2 ** (n - 1))`` seconds.
    max_requested_seconds
        What a server asks for in Retry-After is waited for up to this: a function that waits costs money, and the state
        machine that calls it again has more patience.
    random, sleep
        Randomness in [0, 1), and the clock to wait on.
    """

    attempts: int = 5
    first_seconds: float = 0.5
    longest_seconds: float = 8.0
    max_requested_seconds: float = 120.0
    random: Callable[[], float] = random_module.random
    sleep: Callable[[float], None] = time.sleep

    def jitter_seconds(self, failures: int) -> float:
        """Return a random wait after the ``failures``-th failure."""
        return self.random() * min(self.longest_seconds, self.first_seconds * 2.0 ** (failures - 1))

    def wait(self, failures: int, *, at_least_seconds: float = 0.0) -> None:
        """Sleep after the ``failures``-th failure, at least as long as a server asks for, within reason."""
        self.sleep(max(min(at_least_seconds, self.max_requested_seconds), self.jitter_seconds(failures)))


def retry_after_seconds(header: str | None, *, now: datetime) -> float | None:
    """Read Retry-After in both its forms, seconds and HTTP-date (RFC 9110, 10.2.3).

    Returns a day at most, and None for a header that is absent or malformed.
    """
    text = (header or "").strip()
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", text):
        return min(float(text), RETRY_AFTER_LONGEST_SECONDS)
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return min(max((moment - now).total_seconds(), 0.0), RETRY_AFTER_LONGEST_SECONDS)
    except (ValueError, OverflowError):
        return None
