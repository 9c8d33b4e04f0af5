"""When to look again: the beat at which a waiting build is asked for.

A look costs the provider a request, and every second between the end of a build and the next look
is lag. With a hazard rate h(t), the chance per second that a build of age t ends just now, the best
density of looks is

    n(t) = sqrt(h(t) / (2 * price))        (Keller 1974, "Optimum checking schedules", Management Science 21)

where ``price`` is the lag, in seconds, that one look saved is worth. What is known of h(t):

* **Nothing yet**: the gap grows slowly with the age. Rounded to ticks that is a look at each tick while
  the build is young (12 minutes by default), and about a tenth of the age around the twentieth minute.
* **At least five ended builds of the same scope**: a log-normal is fitted to their durations, as wide as
  so few builds leave it; one for each kind of build, where a wide gap tells kinds apart, so that a stray
  duration moves nothing. A build may also be unlike all others; the longer it outlives them the surer
  that is, and its looks go over to the beat without a history.

Everything is in proportion to ``first_seconds``, so a demonstration that runs a thousand times
faster behaves alike. The poller ticks: a look happens at the first tick after the moment given here.
A tick is taken to be as long as ``first_seconds``, and the wish is half a tick early, so that ticks
round it to the nearest and not always up.

Pure functions of the standard library: they are imported by the handler of every tick. The fit is
kept per history; one call after that takes a few microseconds.
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
"""A shorter history says too little about where builds end."""

MOST_ENDED_BUILDS = 100
"""Only the last so many count: more would not sharpen the fit, and a scope's builds change."""

# The lag that one look is worth, in units of first_seconds (60 s: 6.3 s). With it builds of 20 minutes
# (log-normal, sigma 0.35) are noticed after at most 45 s in the mean; bench/polling.md has the whole curve.
_PRICE = 0.105
# Without a history: how much the gap grows per second of age.
_GROWTH = 0.04
# Looks of builds that were started together drift apart by up to this share of their gap, either way.
_JITTER = 0.1
# What a spread of durations is before any is known, and for how many builds that opinion counts.
_PRIOR_SIGMA = 0.4
_PRIOR_WEIGHT = 3.0
# Durations that differ by more than this factor, with none between, are of different kinds of builds.
_KINDS_APART = log(2.5)
# By then nine in ten builds of a kind have ended.
_END_SIGMAS = 1.3
# The chance that a build is of no kind known: the share of those that were the only one of their kind,
# with this many seen, in this many builds, before any is known.
_UNLIKE_SEEN, _UNLIKE_IN = 0.1, 20
# Where the table of expected looks has its points, in sigmas around the median.
_TABLE_SIGMAS = tuple(-4 + 9 * step / 50 for step in range(51))
_SQRT_2, _SQRT_2_PI = sqrt(2), sqrt(2 * pi)


def birth(created_at: datetime | None, first_seen_at: datetime, polling: "PollingSettings") -> datetime:
    """Tell from when a build's age counts: from its creation, if that can be.

    One that was created longer ago than it is ever waited for, when it was first seen, is either no
    ordinary build or wrongly dated; it is looked at as if it were new, not once in a quarter of an hour.
    """
    if created_at is None or first_seen_at - created_at > timedelta(hours=polling.give_up_after_hours):
        return first_seen_at
    return created_at


def next_look(
    now: datetime,
    created_at: datetime,
    polling: "PollingSettings",
    *,
    seed: str,
    history: Sequence[float] = (),
    status: "BuildStatus | None" = None,
    deadline_at: datetime | None = None,
) -> datetime | None:
    """Tell when a build that has not ended is looked at next.

    Parameters
    ----------
    now
        The moment of the look just made, or of the first sight. For a look that is the time for which the tick
        was scheduled: with a clock read some milliseconds later, a gap of one tick misses the next tick.
    created_at
        From when the build's age counts; a moment in the future (skewed clocks) counts as now.
    polling
        The source's settings.
    seed
        The build's reference; the jitter is derived from it, so the same question has the same answer.
    history
        Durations of ended builds of the same scope, in seconds, counted like the age; the last hundred are used.
    status
        The last answer: a queued build is not about to end, so it gets no more looks than one without a history.
    deadline_at
        When the build is given up, if that is not ``give_up_after_hours`` after ``created_at``.

    Returns
    -------
    datetime | None
        ``first_seconds`` to ``longest_seconds`` after ``now`` and not after the deadline, which is the only
        reason for a shorter gap. None when the deadline has passed: there is nothing left to look at.
    """
    gap = next_gap(
        (now - created_at).total_seconds(),
        polling,
        seed=seed,
        history=history,
        status=status,
        deadline_seconds=None if deadline_at is None else (deadline_at - created_at).total_seconds(),
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
) -> float | None:
    """Give the seconds from a look at this age to the next one; see `next_look`."""
    first, longest = polling.first_seconds, polling.longest_seconds
    give_up = polling.give_up_after_hours * 3600
    deadline = give_up if deadline_seconds is None else deadline_seconds
    left = deadline - age_seconds
    if left <= 0:
        return None
    age = max(0.0, age_seconds)

    gap = gap_without_history(age, first)
    if len(history) >= FEWEST_ENDED_BUILDS:
        usual = _course(tuple(history[-MOST_ENDED_BUILDS:]), first, give_up).gap(age, first)
        gap = max(gap, usual) if status == "queued" else usual
    gap *= 1 + _JITTER * _sway(seed, age)
    gap = min(longest, max(first, gap - first / 2))

    # The last look is asked for a tick before the deadline, so that its tick does not come too late.
    if gap <= left - first:
        return gap
    if left >= 2 * first:
        return min(longest, left - first)
    return min(longest, left)


def gap_without_history(age_seconds: float, first_seconds: float) -> float:
    """Give the gap, in seconds, after a look at this age when nothing is known of the scope."""
    return first_seconds + age_seconds * _GROWTH


def _sway(seed: str, age_seconds: float) -> float:
    """Give a number from -1 to 1, the same for the same build at the same age."""
    return crc32(f"{seed} {age_seconds:.3f}".encode()) / 0x7FFFFFFF - 1


class _Course(NamedTuple):
    """How many looks a build of some age has had, by the hazard of its scope: a table to interpolate in.

    ``ends`` are the ages by which builds of one kind have ended and a time without ends begins.
    """

    ages: tuple[float, ...]
    looks: tuple[float, ...]
    ends: tuple[float, ...]

    def gap(self, age: float, first: float) -> float:
        """Give the seconds until one more look is due."""
        last = self.ages[-1]
        if age >= last:
            return gap_without_history(age, first)
        wanted = _interpolate(age, self.ages, self.looks) + 1
        if wanted <= self.looks[-1]:
            due = _interpolate(wanted, self.looks, self.ages)
        else:
            due = last + (wanted - self.looks[-1]) * gap_without_history(last, first)
        # A kind with few builds may not be worth a whole look; without one its builds would wait for the next kind.
        return min(due, *(end for end in self.ends if end > age + first / 2), inf) - age


def _interpolate(x: float, xs: tuple[float, ...], ys: tuple[float, ...]) -> float:
    at = min(max(bisect_right(xs, x), 1), len(xs) - 1)
    return ys[at - 1] + (ys[at] - ys[at - 1]) * (x - xs[at - 1]) / (xs[at] - xs[at - 1])


class _Kind(NamedTuple):
    """Builds that take about equally long: their share, and the log-normal of one yet to come."""

    share: float
    mean: float
    sigma: float


# A thousand scopes take about 6 MB.
@lru_cache(maxsize=1000)
def _course(history: tuple[float, ...], first: float, give_up: float) -> _Course:
    """Integrate Keller's density over the age; one table per history."""
    kinds, unlike = _fit(history, first, give_up)
    # A short history misplaces some looks; a lower price buys the lag back that this costs.
    price = 2 * _PRICE * first * len(history) / (len(history) + 1)
    ages, total, before = [0.0], [0.0], 0.0
    for age in sorted(exp(kind.mean + z * kind.sigma) for kind in kinds for z in _TABLE_SIGMAS):
        survival = ending = 0.0
        for share, mean, sigma in kinds:
            z = (log(age) - mean) / sigma
            survival += share * 0.5 * erfc(z / _SQRT_2)
            ending += share * exp(-z * z / 2) / (_SQRT_2_PI * sigma * age)  # per second
        weight = (1 - unlike) / ((1 - unlike) * survival + unlike)
        # The beat without a history is the best one for some hazard: that of a build unlike the others.
        hazard = weight * ending + (1 - weight * survival) * price / gap_without_history(age, first) ** 2
        density = min(1 / first, sqrt(hazard / price))
        total.append(total[-1] + ((before or density) + density) / 2 * (age - ages[-1]))
        ages.append(age)
        before = density
    ends = tuple(exp(kind.mean + _END_SIGMAS * kind.sigma) for kind in kinds[:-1])
    return _Course(tuple(ages), tuple(total), ends)


def _fit(history: tuple[float, ...], first: float, give_up: float) -> tuple[list[_Kind], float]:
    """Fit log-normals to durations in seconds; give them, and the chance that a build is unlike all of them.

    Most scopes have one kind of build. Some have more, such as those that fail at once, or find
    everything in a cache; a wide gap in the durations tells them apart.
    """
    # No look can tell two builds apart that ended well before the first.
    shortest, count = first / 2, len(history)
    logs = sorted(log(min(max(shortest, seconds), max(first, give_up))) for seconds in history)
    cuts = [0, *(i for i in range(1, count) if logs[i] - logs[i - 1] > _KINDS_APART), count]
    groups = [logs[start:end] for start, end in pairwise(cuts) if end - start > 1] or [logs]
    grouped = sum(map(len, groups))
    kinds = [_Kind(len(group) / grouped, *_log_normal(group)) for group in groups]
    unlike = (count - grouped + _UNLIKE_SEEN) / (count + _UNLIKE_IN)
    return kinds, unlike


def _log_normal(logs: Sequence[float]) -> tuple[float, float]:
    """Give the mean and the sigma of the next of these logarithms; few of them leave it wide."""
    count = len(logs)
    mean = sum(logs) / count
    squares = sum((value - mean) ** 2 for value in logs)
    return mean, sqrt((_PRIOR_WEIGHT * _PRIOR_SIGMA**2 + squares) / (_PRIOR_WEIGHT + count - 1) * (1 + 1 / count))
