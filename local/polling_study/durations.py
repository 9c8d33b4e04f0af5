"""Distributions of build durations: log-normal with known parameters, or measured durations."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import erfc, exp, inf, log, pi, sqrt
from pathlib import Path
from random import Random
from statistics import fmean, pstdev
from typing import Protocol

# The minimum width of a smoothing kernel, in units of the logarithm: equal durations must stay a distribution.
_NARROWEST_KERNEL = 0.03


class Durations(Protocol):
    """A distribution of durations, in seconds."""

    @property
    def horizon_seconds(self) -> float:
        """An age by which practically all builds have ended."""

    def draw(self, random: Random) -> float:
        """Return one duration."""

    def survival(self, age_seconds: float) -> float:
        """Return the share of builds that are older than this when they end."""

    def density(self, age_seconds: float) -> float:
        """Return the share of builds that end at this age, per second."""


@dataclass(frozen=True)
class LogNormal:
    """Log-normal durations."""

    median_seconds: float
    sigma: float

    def __str__(self) -> str:
        return f"log-normal, median {self.median_seconds / 60:g} min, sigma {self.sigma:g}"

    @property
    def horizon_seconds(self) -> float:
        """An age by which all but three in ten million builds have ended."""
        return self.median_seconds * exp(5 * self.sigma)

    def draw(self, random: Random) -> float:
        """Return one duration."""
        return random.lognormvariate(log(self.median_seconds), self.sigma)

    def survival(self, age_seconds: float) -> float:
        """Return the share of builds that are older than this when they end."""
        return 0.5 * erfc(self._z(age_seconds) / sqrt(2)) if age_seconds > 0 else 1.0

    def density(self, age_seconds: float) -> float:
        """Return the share of builds that end at this age, per second."""
        if age_seconds <= 0:
            return 0.0
        return exp(-(self._z(age_seconds) ** 2) / 2) / (sqrt(2 * pi) * self.sigma * age_seconds)

    def _z(self, age_seconds: float) -> float:
        return log(age_seconds / self.median_seconds) / self.sigma


@dataclass(frozen=True)
class Mixture:
    """A mixture of several kinds of builds."""

    kinds: Sequence[tuple[float, LogNormal]]

    def __str__(self) -> str:
        return " + ".join(f"{share:.0%} {kind}" for share, kind in self.kinds)

    @property
    def horizon_seconds(self) -> float:
        """An age by which practically all builds have ended."""
        return max(kind.horizon_seconds for _, kind in self.kinds)

    def draw(self, random: Random) -> float:
        """Return one duration."""
        shares = [share for share, _ in self.kinds]
        return random.choices([kind for _, kind in self.kinds], shares)[0].draw(random)

    def survival(self, age_seconds: float) -> float:
        """Return the share of builds that are older than this when they end."""
        return sum(share * kind.survival(age_seconds) for share, kind in self.kinds)

    def density(self, age_seconds: float) -> float:
        """Return the share of builds that end at this age, per second."""
        return sum(share * kind.density(age_seconds) for share, kind in self.kinds)


@dataclass(frozen=True)
class Sample:
    """Measured durations: drawn as they are, and smoothed only for densities."""

    seconds: Sequence[float] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.seconds or not all(0 < seconds < inf for seconds in self.seconds):
            raise ValueError("durations must be one or more numbers above zero")

    def __str__(self) -> str:
        return f"{len(self.seconds)} measured durations, mean {fmean(self.seconds) / 60:.1f} min"

    @property
    def horizon_seconds(self) -> float:
        """An age by which all smoothed builds have ended."""
        return self._smoothed.horizon_seconds

    def draw(self, random: Random) -> float:
        """Return one of the measured durations."""
        return random.choice(self.seconds)

    def survival(self, age_seconds: float) -> float:
        """Return the smoothed share of builds that are older than this when they end."""
        return self._smoothed.survival(age_seconds)

    def density(self, age_seconds: float) -> float:
        """Return the smoothed share of builds that end at this age, per second."""
        return self._smoothed.density(age_seconds)

    @cached_property
    def _smoothed(self) -> Mixture:
        # Silverman's rule of thumb, on the logarithms; more than 200 kernels do not improve the result.
        chosen = sorted(self.seconds)[:: max(1, len(self.seconds) // 200)]
        logs = [log(seconds) for seconds in chosen]
        quarter = len(logs) // 4
        spread = min(pstdev(logs), (logs[-1 - quarter] - logs[quarter]) / 1.34)
        width = max(0.9 * spread * len(logs) ** -0.2, _NARROWEST_KERNEL)
        return Mixture([(1 / len(chosen), LogNormal(seconds, width)) for seconds in chosen])


def read_durations(path: Path) -> Sample:
    """Read durations in seconds: a JSON list of numbers, or the first column of a CSV with or without a heading.

    Raises
    ------
    ValueError
        The file has other content; the message names the line.
    """
    if path.suffix == ".json":
        values = json.loads(path.read_text())
        if not isinstance(values, list) or not all(isinstance(value, int | float) for value in values):
            raise ValueError(f"{path.name}: expected a JSON list of numbers, in seconds")
        return Sample(tuple(map(float, values)))
    seconds = []
    with path.open(newline="") as lines:
        for number, row in enumerate(csv.reader(lines), start=1):
            try:
                seconds += [float(row[0])] if row else []
            except ValueError as exc:
                if number > 1:
                    raise ValueError(f"{path.name}, line {number}: {row[0]!r} is not a number of seconds") from exc
    return Sample(tuple(seconds))
