"""The faults of each request: by rules that count requests, or sampled from a seed."""

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
    """One fault that was injected into one request."""

    target: RequestTarget
    fault: Fault


@dataclass(frozen=True)
class FaultRule:
    """Injects `fault` into the requests that match, from the `nth` on, `times` times.

    None matches everything, and `times` None has no end. With `ranged` only requests with a Range header match.
    """

    fault: Fault
    kind: RequestKind | None = None
    build_id: str | None = None
    scope: str | None = None
    ranged: bool = False
    nth: int = 1
    times: int | None = 1

    def matches(self, request: Request) -> bool:
        """Return whether the request matches the rule."""
        target = request.target
        return (
            self.kind in {None, target.kind}
            and self.build_id in {None, target.build_id}
            and self.scope in {None, target.scope}
            and (not self.ranged or "range" in request.headers)
        )

    def applies_to(self, number: int) -> bool:
        """Return whether the fault is injected into the matching request with this number, counted from 1."""
        return number >= self.nth and (self.times is None or number < self.nth + self.times)


@dataclass(frozen=True)
class FaultSample:
    """Random faults: each request of a kind gets one of `faults[kind]` with `probability`.

    At most `most_in_a_row` follow each other for the same kind and build, so that enough retries succeed.
    """

    seed: int
    probability: float
    faults: Mapping[RequestKind, Sequence[Fault]] = field(repr=False)
    most_in_a_row: int = 2

    def draw(self, request: Request, number: int) -> Fault | None:
        """Return the fault of the `number`-th request of its kind, scope and build.

        It depends on nothing else, so that the order of threads does not change it.
        """
        choices = self.faults.get(request.target.kind, ())
        if not choices or number % (self.most_in_a_row + 1) == 0:
            return None
        target = request.target
        random = Random(f"{self.seed}/{target.kind}/{target.scope}/{target.build_id}/{number}")  # noqa: S311 - a test
        return random.choice(choices) if random.random() < self.probability else None


class FaultPlan:
    """The rules and the sample that inject faults; rules may be added while the simulator runs."""

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
        """Remove all rules and the sample: from now on no fault is injected."""
        with self._lock:
            self._rules.clear()
            self._counts.clear()
            self._sample = None

    def apply(self, request: Request) -> tuple[Fault, ...]:
        """Count a request and return its faults: those of the rules in their order, then the sampled one."""
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
        """Every fault that was injected so far."""
        with self._lock:
            return tuple(self._injected)
