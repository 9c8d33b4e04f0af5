"""A campaign: the list of all experiments, and shares of it for several processes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from local.chaos import provider_faults, single_faults
from local.chaos.checker import Violation
from local.chaos.experiment_runner import ExperimentRunner
from local.chaos.experiments import Experiment, ExperimentResult, run_experiment
from local.chaos.storms import BUILDS, run_storm

NO_END = "no end"
"""The promise that an experiment breaks when it has to be stopped."""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """The experiments and storms of one process with one embedded AWS."""

    experiments: Sequence[Experiment] = ()
    storms: Sequence[int] = ()
    storm_builds: int = BUILDS


def plan_experiments(runner: ExperimentRunner) -> list[Experiment]:
    """Return every experiment: kill points and AWS faults as recorded now, and the providers' faults."""
    return [*single_faults.plan(single_faults.record(runner)), *provider_faults.experiments()]


def every_nth(experiments: Sequence[Experiment], share: int) -> list[Experiment]:
    """Take each ``share``-th experiment of each fault, and at least one of each."""
    seen: dict[str, int] = {}
    taken = []
    for experiment in experiments:
        if seen.setdefault(experiment.fault, 0) % share == 0:
            taken.append(experiment)
        seen[experiment.fault] += 1
    return taken


def one_of_each(experiments: Sequence[Experiment]) -> list[Experiment]:
    """Take one experiment of each fault: any of its experiments, but always the same one."""
    by_fault: dict[str, list[Experiment]] = {}
    for experiment in experiments:
        by_fault.setdefault(experiment.fault, []).append(experiment)
    # Not always the first, so that every scenario is used; the length of the name is arbitrary but stable.
    return [those[len(fault) % len(those)] for fault, those in by_fault.items()]


def tenth(experiments: Sequence[Experiment]) -> list[Experiment]:
    """Take what `make test` runs: one experiment of each fault, and others up to a tenth of all, evenly spread."""
    taken = {id(experiment) for experiment in one_of_each(experiments)}
    rest = [experiment for experiment in experiments if id(experiment) not in taken]
    wanted = max(0, math.ceil(len(experiments) / 10) - len(taken))
    taken |= {id(rest[turn * len(rest) // wanted]) for turn in range(wanted)}
    return [experiment for experiment in experiments if id(experiment) in taken]


def run_chunk(chunk: Chunk) -> list[ExperimentResult]:
    """Run some experiments and storms, one after the other."""
    return list(_findings(chunk))


def _findings(chunk: Chunk) -> Iterator[ExperimentResult]:
    with ExperimentRunner() as runner:
        for experiment in chunk.experiments:
            try:
                finding = run_experiment(runner, experiment)
                if not finding.injected:
                    # The order of threads varies, so a point that is passed only sometimes may be missed.
                    finding = run_experiment(runner, experiment)
            except TimeoutError as exc:
                yield _without_end(str(experiment), experiment.fault, exc)
                # What is still active there would affect the next experiment.
                return
            yield finding
        for seed in chunk.storms:
            try:
                yield run_storm(runner, seed, chunk.storm_builds)
            except TimeoutError as exc:
                yield _without_end(f"storm {seed}", "storm", exc)
                return


def _without_end(name: str, fault: str, error: TimeoutError) -> ExperimentResult:
    return ExperimentResult(experiment=name, fault=fault, injected=1, violations=[Violation(NO_END, str(error))])
