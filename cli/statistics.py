"""How long builds take and how many succeed: one way to count for every command and for the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor
from typing import TYPE_CHECKING, Final, TypeVar

from courier.models import Outcome

if TYPE_CHECKING:
    from cli.records import EndedRecord

GOOD_OUTCOMES: Final = frozenset({Outcome.DELIVERED, Outcome.SUCCEEDED})
# A canceled or empty build is neither a success nor a failure: it was wanted so, or there was nothing to report.
NEUTRAL_OUTCOMES: Final = frozenset({Outcome.CANCELED, Outcome.EMPTY})
BAD_OUTCOMES: Final = frozenset(Outcome) - GOOD_OUTCOMES - NEUTRAL_OUTCOMES
USUAL, SLOW = 0.5, 0.95
_Key = TypeVar("_Key", str, tuple[str, str])


@dataclass(frozen=True, kw_only=True)
class BuildStatistics:
    """What a number of ended builds have in common.

    Attributes
    ----------
    outcomes
        How many builds had each outcome; outcomes of a later version are counted too.
    durations
        Seconds from creation to end of the good builds whose provider reports both, sorted. A failure may end at once,
        so it says nothing about how long a build takes.
    last_good
        The newest good build.
    """

    outcomes: Mapping[str, int] = field(default_factory=Counter)
    durations: Sequence[float] = ()
    last_good: EndedRecord | None = None

    @property
    def builds(self) -> int:
        """How many builds ended."""
        return sum(self.outcomes.values())

    @property
    def good(self) -> int:
        """How many succeeded, and were delivered where there was a report."""
        return sum(self.outcomes.get(outcome, 0) for outcome in GOOD_OUTCOMES)

    @property
    def bad(self) -> int:
        """How many failed, timed out, were lost or could not be delivered."""
        return sum(self.outcomes.get(outcome, 0) for outcome in BAD_OUTCOMES)

    @property
    def other(self) -> int:
        """How many are neither good nor bad: canceled, empty, or with an outcome of a later version."""
        return self.builds - self.good - self.bad

    @property
    def success_share(self) -> float | None:
        """The share of good builds among the good and the bad ones; None without either."""
        counted = self.good + self.bad
        return self.good / counted if counted else None

    @property
    def failure_share(self) -> float | None:
        """The share of bad builds among the good and the bad ones; None without either."""
        counted = self.good + self.bad
        return self.bad / counted if counted else None

    @property
    def p50(self) -> float | None:
        """The usual duration in seconds: half of the builds took no longer."""
        return percentile(self.durations, USUAL)

    @property
    def p95(self) -> float | None:
        """The duration in seconds that one build in twenty exceeds."""
        return percentile(self.durations, SLOW)


def summarize(records: Iterable[EndedRecord]) -> BuildStatistics:
    """Count the outcomes of some builds, and collect the durations of the good ones."""
    outcomes: Counter[str] = Counter()
    durations: list[float] = []
    last_good: EndedRecord | None = None
    for record in records:
        outcomes[record.outcome] += 1
        if record.outcome not in GOOD_OUTCOMES:
            continue
        if record.seconds is not None:
            durations.append(record.seconds)
        if last_good is None or record.ended_at > last_good.ended_at:
            last_good = record
    return BuildStatistics(outcomes=outcomes, durations=sorted(durations), last_good=last_good)


def by_source(records: Iterable[EndedRecord]) -> dict[str, BuildStatistics]:
    """Summarize the builds of each source, in the order of their names."""
    return _by(records, lambda record: record.build.source)


def by_scope(records: Iterable[EndedRecord]) -> dict[tuple[str, str], BuildStatistics]:
    """Summarize the builds of each source and scope, in the order of their names."""
    return _by(records, lambda record: (record.build.source, record.build.scope))


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the value that this share of all values does not exceed, interpolated; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    low, high = ordered[floor(position)], ordered[ceil(position)]
    return low + (high - low) * (position - floor(position))


def _by(records: Iterable[EndedRecord], key_of: Callable[[EndedRecord], _Key]) -> dict[_Key, BuildStatistics]:
    groups: dict[_Key, list[EndedRecord]] = {}
    for record in records:
        groups.setdefault(key_of(record), []).append(record)
    return {key: summarize(groups[key]) for key in sorted(groups)}
