"""What a quota of concurrent Lambda executions does to the notices: invocations that wait, as on AWS.

The state machine repeats a throttled task as its definition says; Lambda repeats a throttled event itself and drops it
when it is too old. Dropped ticks are counted, but not fed back: their builds stay due for the next tick.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from random import Random

from local.polling_study.prices import INVOCATION_SECONDS
from local.polling_study.strategies import PollingCounts

# The retrier for throttling of statemachine/build_lifecycle.asl.yaml, with full jitter.
FIRST_WAIT_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 300.0
MOST_RETRIES = 99
# MaximumEventAgeInSeconds of the ticks in template.yaml. Lambda itself waits 1 s at first and 5 minutes at most.
LONGEST_EVENT_AGE_SECONDS = 300.0
# The duration of record_outcome (docs/quota.md).
RECORD_SECONDS = 0.33


@dataclass
class QuotaEffect:
    """How long notices wait after the end of a build was detected, and what was refused meanwhile."""

    notice_seconds: list[float] = field(default_factory=list)
    throttled: int = 0
    failed_executions: int = 0
    dropped_ticks: int = 0
    busy_seconds: float = 0.0
    lasted_seconds: float = 0.0

    @property
    def mean_concurrency(self) -> float:
        """The mean number of concurrent executions."""
        return self.busy_seconds / self.lasted_seconds if self.lasted_seconds else 0.0


@dataclass
class _Invocation:
    """One invocation until it has ended: when it was first tried, and what follows it."""

    seconds: float
    first_tried_at: float
    by_state_machine: bool
    then: Callable[[float], None] | None = None
    attempts: int = 0


class _Account:
    """The executions of an account over time."""

    def __init__(self, quota: int | None, seed: int) -> None:
        self.effect = QuotaEffect()
        self._quota = quota
        self._random = Random(seed)  # noqa: S311 - a simulation, repeatable by its seed
        self._order = count()
        # Ends before attempts at the same instant.
        self._events: list[tuple[float, int, int, _Invocation]] = []
        self._running = 0

    def invoke(self, at: float, invocation: _Invocation) -> None:
        heappush(self._events, (at, 1, next(self._order), invocation))

    def run(self) -> None:
        while self._events:
            now, kind, _, invocation = heappop(self._events)
            self.effect.lasted_seconds = max(self.effect.lasted_seconds, now)
            if kind == 0:
                self._running -= 1
                if invocation.then is not None:
                    invocation.then(now)
            elif self._quota is None or self._running < self._quota:
                self._running += 1
                self.effect.busy_seconds += invocation.seconds
                heappush(self._events, (now + invocation.seconds, 0, next(self._order), invocation))
            else:
                self._refuse(now, invocation)

    def _refuse(self, now: float, invocation: _Invocation) -> None:
        self.effect.throttled += 1
        invocation.attempts += 1
        if invocation.by_state_machine:
            if invocation.attempts > MOST_RETRIES:
                self.effect.failed_executions += 1
                return
            longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(invocation.attempts - 1, 10))
            self.invoke(now + self._random.uniform(0, longest), invocation)
            return
        again = now + min(300.0, 2.0 ** min(invocation.attempts - 1, 10))
        if again - invocation.first_tried_at > LONGEST_EVENT_AGE_SECONDS:
            self.effect.dropped_ticks += 1
        else:
            self.invoke(again, invocation)


def apply_quota(counts: PollingCounts, *, quota: int | None, copy_seconds: float = 0.0, seed: int = 1) -> QuotaEffect:
    """Run the invocations behind a simulated strategy under a quota; None for no quota.

    Each detected end is copied, if ``copy_seconds`` is not 0, and then recorded.
    """
    account = _Account(quota, seed)
    for at, seconds in counts.poller_runs:
        account.invoke(at, _Invocation(INVOCATION_SECONDS + seconds, at, by_state_machine=False))
    for at in counts.detected_at:
        _end(account, at, copy_seconds)
    account.run()
    return account.effect


def _end(account: _Account, detected_at: float, copy_seconds: float) -> None:
    """Let an end be detected: copy, record, notice."""

    def noticed(now: float) -> None:
        account.effect.notice_seconds.append(now - detected_at)

    def copied(now: float) -> None:
        account.invoke(now, _Invocation(RECORD_SECONDS, now, by_state_machine=True, then=noticed))

    if copy_seconds:
        account.invoke(detected_at, _Invocation(copy_seconds, detected_at, by_state_machine=True, then=copied))
    else:
        copied(detected_at)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0
