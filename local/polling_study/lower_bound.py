"""The best that any strategy can do for known durations: requests per build against mean lag."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, log, sqrt

from local.polling_study.durations import Durations


@dataclass(frozen=True)
class Point:
    """The result of a strategy: requests per build, and mean lag from a build's end to its detection, in seconds."""

    requests: float
    lag_seconds: float


@dataclass(frozen=True)
class KellerLimit:
    """Keller's limit (1974): requests times mean lag is a constant of the durations.

    With polls of density n(t), survival S and density of ends f, a build costs the integral of n S in requests and of
    f / (2 n) in lag. The product is minimal for n proportional to sqrt(f / S), where it is half the squared integral of
    sqrt(f S).
    """

    product_seconds: float

    @classmethod
    def of(cls, durations: Durations) -> "KellerLimit":
        """Integrate over the logarithm of the age, where the integrand is smooth."""
        steps = 2000
        low, high = log(1e-3), log(durations.horizon_seconds)
        width = (high - low) / steps
        ages = (exp(low + (step + 0.5) * width) for step in range(steps))
        integral = sum(sqrt(durations.density(age) * durations.survival(age)) * age for age in ages) * width
        return cls(integral**2 / 2)

    def requests(self, lag_seconds: float) -> float:
        """Return the smallest number of requests per build for a mean lag."""
        return self.product_seconds / lag_seconds

    def lag_seconds(self, requests: float) -> float:
        """Return the smallest mean lag for so many requests per build."""
        return self.product_seconds / requests


def best_on_ticks(
    durations: Durations,
    *,
    price_seconds: float,
    tick_seconds: float = 60.0,
    shortest_seconds: float = 0.0,
    longest_seconds: float = 900.0,
    phases: int = 4,
) -> Point:
    """Return the best strategy whose polls fall on ticks, for known durations and one trade-off.

    Dynamic programming from the last age to the first minimises the mean lag plus ``price_seconds`` for each request,
    averaged over the phases of a tick in which a build may start.
    """
    points = [
        _best_ages(
            durations,
            [0.0, *_ticks(tick_seconds * (phase + 0.5) / phases, tick_seconds, durations.horizon_seconds)],
            price_seconds,
            (shortest_seconds, longest_seconds),
        )
        for phase in range(phases)
    ]
    return Point(sum(point.requests for point in points) / phases, sum(point.lag_seconds for point in points) / phases)


def _ticks(start: float, step: float, end: float) -> list[float]:
    return [start + step * number for number in range(int((end - start) / step) + 2)]


def _best_ages(durations: Durations, ages: Sequence[float], price: float, bounds: tuple[float, float]) -> Point:
    survival = [durations.survival(age) for age in ages]
    lived = [0.0]  # the integral of the survival up to each age
    for (age, later), before in zip(pairwise(ages), survival, strict=False):
        middles = [age + (later - age) * (part + 0.5) / 8 for part in range(8)] if before > 0 else []
        lived.append(lived[-1] + sum(map(durations.survival, middles)) * (later - age) / 8)

    # best[i]: the expected cost of the polls after ages[i], weighted with the probability that the build still runs.
    best = [(0.0, Point(0.0, 0.0))] * len(ages)
    for i in range(len(ages) - 2, -1, -1):
        choices: list[tuple[float, Point]] = []
        for j in range(i + 1, len(ages)):
            gap = ages[j] - ages[i]
            if gap < bounds[0] or (gap > bounds[1] and choices):
                continue
            lag = max(0.0, gap * survival[i] - (lived[j] - lived[i]))
            after = best[j][1]
            cost = price * survival[i] + lag + best[j][0]
            choices.append((cost, Point(survival[i] + after.requests, lag + after.lag_seconds)))
            if gap > bounds[1]:
                break
        best[i] = min(choices, key=lambda choice: choice[0], default=best[-1])
    return best[0][1]
