"""One fault in one scenario, and the result."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from local.chaos import scenarios
from local.chaos.checker import Allowance, Violation, check, repeated_notices
from local.chaos.evidence import Evidence
from local.chaos.experiment_runner import ExperimentRunner, FaultInjector
from local.chaos.fault_injectors import CountingInjector
from local.simulator import FaultRule

_GOOD = frozenset({"delivered", "succeeded"})


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One fault in one scenario.

    ``fault``, ``where``
        The fault, as a row of the matrix, and the place.
    ``make_injector``
        Returns a new fault injector for each run, because injectors count.
    ``rules``
        Faults of the providers, besides those of the scenario.
    ``quick_timeouts``
        Whether provider timeouts are fractions of a second, so that slow providers can be tested quickly.
    """

    fault: str
    where: str
    scenario: str
    make_injector: Callable[[], FaultInjector] | None = None
    rules: Sequence[FaultRule] = ()
    allowance: Allowance = field(default_factory=Allowance)
    quick_timeouts: bool = False

    def __str__(self) -> str:
        return f"{self.fault} in {self.scenario}: {self.where}"


@dataclass(frozen=True, kw_only=True)
class ExperimentResult:
    """The result of one run.

    ``injected``, ``kinds``
        The number of injected faults, in total and by kind; provider faults have the names of their classes.
    ``delivered``
        Builds that ended as ``delivered`` or ``succeeded``.
    ``notices_once``, ``notices_repeated``
        Notices that were sent once, and repetitions of notices.
    ``lost``
        Builds and requests without a record or a dead letter.
    ``redriven``
        Executions that failed and were redriven.
    """

    experiment: str
    fault: str
    scenario: str = ""
    injected: int
    kinds: Mapping[str, int] = field(default_factory=dict)
    builds: int = 0
    delivered: int = 0
    notices_once: int = 0
    notices_repeated: int = 0
    lost: int = 0
    open_uploads: int = 0
    leaks: int = 0
    redriven: int = 0
    seconds: float = 0.0
    violations: Sequence[Violation]


def run_experiment(runner: ExperimentRunner, experiment: Experiment) -> ExperimentResult:
    """Run one experiment, and check its evidence."""
    began = time.monotonic()
    scenario = getattr(scenarios, experiment.scenario)()
    injector = experiment.make_injector() if experiment.make_injector else FaultInjector()
    evidence = runner.run(scenario, injector, faults=experiment.rules, quick_timeouts=experiment.quick_timeouts)
    allowance = Allowance(
        outcomes=experiment.allowance.outcomes | scenario.outcomes,
        repeated_notices=experiment.allowance.repeated_notices + scenario.repeated_notices,
        failed_executions=experiment.allowance.failed_executions,
    )
    violations = check(evidence, allowance)
    injected = injector.injected if isinstance(injector, CountingInjector) else 0
    injected += sum(bool(entry.faults) for entry in evidence.requests) if experiment.rules else 0
    return summarize(
        evidence,
        violations,
        name=str(experiment),
        fault=experiment.fault,
        scenario=experiment.scenario,
        kinds={experiment.fault: injected},
        seconds=time.monotonic() - began,
    )


def summarize(
    evidence: Evidence,
    violations: Sequence[Violation],
    *,
    name: str,
    fault: str,
    scenario: str,
    kinds: Mapping[str, int],
    seconds: float,
) -> ExperimentResult:
    """Return the result of an experiment."""
    outcomes = Counter(
        json.loads(version.text or "{}").get("outcome", "unreadable") for version in evidence.records.values()
    )
    notices = Counter(json.loads(notice.message)["id"] for notice in evidence.notices)
    return ExperimentResult(
        experiment=name,
        fault=fault,
        scenario=scenario,
        injected=sum(kinds.values()),
        kinds=dict(kinds),
        builds=outcomes.total(),
        delivered=sum(outcomes[outcome] for outcome in _GOOD),
        notices_once=sum(count == 1 for count in notices.values()),
        notices_repeated=repeated_notices(evidence),
        lost=sum(violation.promise in {"one record", "never silent"} for violation in violations),
        open_uploads=len(evidence.open_uploads),
        leaks=sum(violation.promise == "no leak" for violation in violations),
        redriven=sum("ExecutionRedriven" in history for history in evidence.histories),
        seconds=seconds,
        violations=violations,
    )
