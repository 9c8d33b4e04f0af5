"""The poll schedule: when a build that has not ended is polled next.

A poll costs the provider a request, and every second between the end of a build and the next poll
is lag. With a hazard rate h(t), the probability per second that a build of age t ends just now, the
optimal density of polls is

    n(t) = sqrt(h(t) / (2 * price))        (Keller 1974, "Optimum checking schedules", Management Science 21)

where ``price`` is the lag, in seconds, that one avoided poll is worth. What is known of h(t):

* **Without a history** the gap grows slowly with the age. Rounded to ticks that is a poll at each tick while
  the build is young (12 minutes by default), and a gap of about a tenth of the age around the twentieth minute.
* **With at least five ended builds of the same scope** a log-normal is fitted to their durations, as wide as
  so few samples require; one for each kind of build, where a wide gap separates the kinds, so that a single
  outlier changes nothing. A build may also be unlike all others; the longer it outlives them the more likely
  that is, and its polls change over to the schedule without a history.

Everything is proportional to ``first_seconds``, so a demonstration that runs a thousand times
faster behaves alike. The poller ticks: a poll happens at the first tick after the time computed here.
A tick is assumed to be as long as ``first_seconds``, and the computed time is half a tick early, so that ticks
round it to the nearest and not always up. The next tick is the earliest one: only a gap that begins between two ticks
can be shorter than a tick.

Pure functions of the standard library: every tick imports them. The fit is cached per history; a call after
that takes a few microseconds.
"""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from math import erfc, exp, inf, log, pi, sqrt
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

if TYPE_CHECKING:
    from courier.config.settings import PollingSettings
    from courier.models import BuildStatus

FEWEST_ENDED_BUILDS = 5
"""A shorter history says too little about when builds end."""

MOST_ENDED_BUILDS = 100
"""Only this many of the latest count: more would not sharpen the fit, and a scope's builds change."""

# The lag that one poll is worth, in units of first_seconds (60 s: 6.3 s). With it builds of 20 minutes
# (log-normal, sigma 0.35) are noticed after at most 45 s on average; bench/polling.md has the whole curve.
_PRICE = 0.105
# Without a history: how much the gap grows per second of age.
_GROWTH = 0.04
# Polls of builds that were started together drift apart by up to this share of their gap, either way.
_JITTER_SHARE = 0.1
# The prior for the spread of durations, and the number of builds that it counts for.
_PRIOR_SIGMA = 0.4
_PRIOR_WEIGHT = 3.0
# Durations that differ by more than this factor, with none between, are of different kinds of builds.
_KINDS_APART = log(2.5)
# After so many sigmas nine in ten builds of a kind have ended.
_END_SIGMAS = 1.3
# The probability that a build is of no known kind: the share of builds that were the only one of their kind,
# with this prior count of them, in this prior number of builds.
_UNLIKE_SEEN, _UNLIKE_IN = 0.1, 20
# The points of the table of expected polls, in sigmas around the median.
_TABLE_SIGMAS = tuple(-4 + 9 * step / 50 for step in range(51))
_SQRT_2, _SQRT_2_PI = sqrt(2), sqrt(2 * pi)


def age_starts_at(created_at: datetime | None, first_seen_at: datetime, polling: "PollingSettings") -> datetime:
    """Return the instant that a build's age is counted from: its creation, where that is plausible.

    A build that was created longer ago than the source's limit, when it was first seen, is either no
    ordinary build or wrongly dated; it is polled as if it were new, and not once in a quarter of an hour.
    """
    if created_at is None or first_seen_at - created_at > timedelta(hours=polling.give_up_after_hours):
        return first_seen_at
    return created_at


def next_poll_at(
    now: datetime,
    created_at: datetime,
    polling: "PollingSettings",
    *,
    seed: str,
    history: Sequence[float] = (),
    status: "BuildStatus | None" = None,
    deadline_at: datetime | None = None,
    on_tick: bool = True,
) -> datetime | None:
    """Return when a build that has not ended is polled next.

    Parameters
    ----------
    now
        The instant of the poll just made, or of the registration. For a poll that is the time for which the tick
        was scheduled: with a clock read some milliseconds later, a gap of one tick misses the next tick.
    created_at
        The instant that the build's age is counted from; an instant in the future (skewed clocks) counts as now.
    polling
        The source's settings.
    seed
        The build's reference; the jitter is derived from it, so the same arguments yield the same result.
    history
        Durations of ended builds of the same scope, in seconds, counted like the age; the last hundred are used.
    status
        The last status: a queued build is not about to end, so it gets no more polls than one without a history.
    deadline_at
        When the wait ends, if that is not ``give_up_after_hours`` after ``created_at``.
    on_tick
        Whether ``now`` is the time of a tick, as it is for a poll. A build is registered at any time: if its first poll
        were due a whole ``first_seconds`` later, most builds would just miss a tick, and wait for nearly two.

    Returns
    -------
    datetime | None
        ``first_seconds`` (half of it, if ``now`` is no tick) to ``longest_seconds`` after ``now`` and not after the
        deadline, which is the only other reason for a shorter gap. None when the deadline has passed.
    """
    gap = next_gap(
        (now - created_at).total_seconds(),
        polling,
        seed=seed,
        history=history,
        status=status,
        deadline_seconds=None if deadline_at is None else (deadline_at - created_at).total_seconds(),
        on_tick=on_tick,
    )
    return None if gap is None else now + max(timedelta(seconds=gap), timedelta.resolution)


def next_gap(
    age_seconds: float,
    polling: "PollingSettings",
    *,
    seed: str,
    history: Sequence[float] = (),
    status: "BuildStatus | None" = None,
    deadline_seconds: float | None = None,
    on_tick: bool = True,
) -> float | None:
    """Return the seconds from a poll at this age to the next one; see `next_poll_at`."""
    first, longest = polling.first_seconds, polling.longest_seconds
    give_up = polling.give_up_after_hours * 3600
    deadline = give_up if deadline_seconds is None else deadline_seconds
    left = deadline - age_seconds
    if left <= 0:
        return None
    age = max(0.0, age_seconds)

    gap = gap_without_history(age, first)
    if len(history) >= FEWEST_ENDED_BUILDS:
        usual = _poll_curve(tuple(history[-MOST_ENDED_BUILDS:]), first, give_up).gap(age, first)
        gap = max(gap, usual) if status == "queued" else usual
    gap *= 1 + _JITTER_SHARE * _jitter(seed, age)
    gap = min(longest, max(first if on_tick else first / 2, gap - first / 2))

    # The last poll is scheduled a tick before the deadline, so that its tick does not come too late.
    if gap <= left - first:
        return gap
    if left >= 2 * first:
        return min(longest, left - first)
    return min(longest, left)


def gap_without_history(age_seconds: float, first_seconds: float) -> float:
    """Return the gap, in seconds, after a poll at this age when nothing is known of the scope."""
    return first_seconds + age_seconds * _GROWTH


def _jitter(seed: str, age_seconds: float) -> float:
    """Return a number from -1 to 1, the same for the same build at the same age."""
    return crc32(f"{seed} {age_seconds:.3f}".encode()) / 0x7FFFFFFF - 1


class _PollCurve(NamedTuple):
    """How many polls a build of some age has had, by the hazard rate of its scope: a table to interpolate in.

    ``ends`` are the ages by which builds of one kind have ended and a time without ends begins.
    """

    ages: tuple[float, ...]
    polls: tuple[float, ...]
    ends: tuple[float, ...]

    def gap(self, age: float, first: float) -> float:
        """Return the seconds until one more poll is due."""
        last = self.ages[-1]
        if age >= last:
            return gap_without_history(age, first)
        wanted = _interpolate(age, self.ages, self.polls) + 1
        if wanted <= self.polls[-1]:
            due = _interpolate(wanted, self.polls, self.ages)
        else:
            due = last + (wanted - self.polls[-1]) * gap_without_history(last, first)
        # A kind with few builds may not be worth a whole poll; without one its builds would wait for the next kind.
        return min(due, *(end for end in self.ends if end > age + first / 2), inf) - age


def _interpolate(x: float, xs: tuple[float, ...], ys: tuple[float, ...]) -> float:
    at = min(max(bisect_right(xs, x), 1), len(xs) - 1)
    return ys[at - 1] + (ys[at] - ys[at - 1]) * (x - xs[at - 1]) / (xs[at] - xs[at - 1])


class _Kind(NamedTuple):
    """Builds that take about equally long: their share, and the log-normal of the next one."""

    share: float
    mean: float
    sigma: float


# A thousand scopes take about 6 MB.
@lru_cache(maxsize=1000)
def _poll_curve(history: tuple[float, ...], first: float, give_up: float) -> _PollCurve:
    """Integrate Keller's density over the age; one table per history."""
    kinds, unlike = _fit(history, first, give_up)
    # A short history misplaces some polls; a lower price compensates for the lag that this costs.
    price = 2 * _PRICE * first * len(history) / (len(history) + 1)
    ages, total, before = [0.0], [0.0], 0.0
    for age in sorted(exp(kind.mean + z * kind.sigma) for kind in kinds for z in _TABLE_SIGMAS):
        survival = density = 0.0
        for share, mean, sigma in kinds:
            z = (log(age) - mean) / sigma
            survival += share * 0.5 * erfc(z / _SQRT_2)
            density += share * exp(-z * z / 2) / (_SQRT_2_PI * sigma * age)  # per second
        weight = (1 - unlike) / ((1 - unlike) * survival + unlike)
        # The schedule without a history is optimal for some hazard rate: that of a build unlike the others.
        hazard = weight * density + (1 - weight * survival) * price / gap_without_history(age, first) ** 2
        density = min(1 / first, sqrt(hazard / price))
        total.append(total[-1] + ((before or density) + density) / 2 * (age - ages[-1]))
        ages.append(age)
        before = density
    ends = tuple(exp(kind.mean + _END_SIGMAS * kind.sigma) for kind in kinds[:-1])
    return _PollCurve(tuple(ages), tuple(total), ends)


def _fit(history: tuple[float, ...], first: float, give_up: float) -> tuple[list[_Kind], float]:
    """Fit log-normals to durations in seconds; return them, and the probability that a build is unlike all of them.

    Most scopes have one kind of build. Some have more, such as builds that fail at once, or find
    everything in a cache; a wide gap in the durations separates them.
    """
    # No poll can distinguish two builds that ended well before the first poll.
    shortest, count = first / 2, len(history)
    logs = sorted(log(min(max(shortest, seconds), max(first, give_up))) for seconds in history)
    cuts = [0, *(i for i in range(1, count) if logs[i] - logs[i - 1] > _KINDS_APART), count]
    groups = [logs[start:end] for start, end in pairwise(cuts) if end - start > 1] or [logs]
    grouped = sum(map(len, groups))
    kinds = [_Kind(len(group) / grouped, *_log_normal(group)) for group in groups]
    unlike = (count - grouped + _UNLIKE_SEEN) / (count + _UNLIKE_IN)
    return kinds, unlike


def _log_normal(logs: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the sigma of the next of these logarithms; few samples leave it wide."""
    count = len(logs)
    mean = sum(logs) / count
    squares = sum((value - mean) ** 2 for value in logs)
    return mean, sqrt((_PRIOR_WEIGHT * _PRIOR_SIGMA**2 + squares) / (_PRIOR_WEIGHT + count - 1) * (1 + 1 / count))
