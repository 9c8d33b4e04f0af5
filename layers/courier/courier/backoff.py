"""How long to wait before the next try."""

import random as random_module
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Exponential waits with full jitter, which spreads the retries of many workers best.

    Attributes
    ----------
    attempts
        Tries of one request in all; S3 asks for a few with growing waits on 500 and 503 (docs/source-apis.md, 3.10).
    first_seconds, longest_seconds
        The wait after failure ``n`` is between 0 and ``min(longest, first * 2 ** (n - 1))`` seconds.
    random, sleep
        Randomness in [0, 1) and the clock to wait on.
    """

    attempts: int = 5
    first_seconds: float = 0.5
    longest_seconds: float = 8.0
    random: Callable[[], float] = random_module.random
    sleep: Callable[[float], None] = time.sleep

    def wait(self, failures: int, *, at_least_seconds: float = 0.0) -> None:
        """Wait after the ``failures``-th failure; a server's own wish counts up to ``longest_seconds``."""
        ceiling = min(self.longest_seconds, self.first_seconds * 2.0 ** (failures - 1))
        wished = min(at_least_seconds, self.longest_seconds)
        self.sleep(max(wished, self.random() * ceiling))
