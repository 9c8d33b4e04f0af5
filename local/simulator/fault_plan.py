"""Which request meets which fault: scripted by its number, or sampled under a seed."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from local.simulator.faults import Fault
from local.simulator.messages import Request, RequestKind, RequestTarget


@dataclass(frozen=True)
class InjectedFault:
    """One fault that met one request."""

    target: RequestTarget
    fault: Fault


@dataclass(frozen=True)
class FaultRule:
    """One line of a script: `fault` meets the requests that match, from the `nth` on, `times` times.

    None matches everything, and `times` None never ends. With `ranged` only requests with a Range header match.
    """

    fault: Fault
    kind: RequestKind | None = None
    build_id: str | None = None
    scope: str | None = None
    ranged: bool = False
    nth: int = 1
    times: int | None = 1

    def matches(self, request: Request) -> bool:
        """Tell whether the rule counts this request."""
        target = request.target
        return (
            self.kind in {None, target.kind}
            and self.build_id in {None, target.build_id}
            and self.scope in {None, target.scope}
            and (not self.ranged or "range" in request.headers)
        )

    def applies_to(self, number: int) -> bool:
        """Tell whether the fault meets the request that matched as `number`, counted from 1."""
        return number >= self.nth and (self.times is None or number < self.nth + self.times)


@dataclass(frozen=True)
class FaultSample:
    """Random faults: each request of a kind meets one of `faults[kind]` with `probability`.

    No more than `most_in_a_row` follow each other for the same kind and build, so that whoever retries that often gets
    through.
    """

    seed: int
    probability: float
    faults: Mapping[RequestKind, Sequence[Fault]] = field(repr=False)
    most_in_a_row: int = 2

    def draw(self, request: Request, number: int) -> Fault | None:
        """Return what meets the request that is the `number`-th of its kind, scope and build.

        It depends on nothing else, so threads that overtake each other do not change what happens to whom.
        """
        choices = self.faults.get(request.target.kind, ())
        if not choices or number % (self.most_in_a_row + 1) == 0:
            return None
        target = request.target
        random = Random(f"{self.seed}/{target.kind}/{target.scope}/{target.build_id}/{number}")  # noqa: S311 - a test
        return random.choice(choices) if random.random() < self.probability else None


class FaultPlan:
    """What goes wrong, when; rules may be added while the simulator runs."""

    def __init__(self, *rules: FaultRule, sample: FaultSample | None = None) -> None:
        self._rules: list[FaultRule] = []
        self._counts: list[int] = []
        self._sample = sample
        self._seen: Counter[tuple[RequestKind, str, str]] = Counter()
        self._injected: list[InjectedFault] = []
        self._lock = threading.Lock()
        for rule in rules:
            self.add(rule)

    def add(self, rule: FaultRule) -> None:
        """Add a rule; it counts the requests that come from now on."""
        with self._lock:
            self._rules.append(rule)
            self._counts.append(0)

    def clear(self) -> None:
        """Take all rules and the sample away: from now on everything works."""
        with self._lock:
            self._rules.clear()
            self._counts.clear()
            self._sample = None

    def apply(self, request: Request) -> tuple[Fault, ...]:
        """Count a request and return the faults that it meets, the scripted ones in the order of the rules."""
        faults: list[Fault] = []
        target = request.target
        with self._lock:
            for index, rule in enumerate(self._rules):
                if rule.matches(request):
                    self._counts[index] += 1
                    if rule.applies_to(self._counts[index]):
                        faults.append(rule.fault)
            key = (target.kind, target.scope, target.build_id)
            self._seen[key] += 1
            sampled = self._sample.draw(request, self._seen[key]) if self._sample else None
            if sampled is not None:
                faults.append(sampled)
            self._injected += [InjectedFault(target, fault) for fault in faults]
        return tuple(faults)

    @property
    def injected(self) -> tuple[InjectedFault, ...]:
        """Every fault that met a request so far."""
        with self._lock:
            return tuple(self._injected)
