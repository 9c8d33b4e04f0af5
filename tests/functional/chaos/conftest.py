"""One laboratory for the experiments of a module, and what the undisturbed scripts leave behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.chaos import scenarios
from local.chaos.evidence import Evidence
from local.chaos.experiment_runner import ExperimentRunner


@pytest.fixture(scope="module")
def runner() -> Iterator[ExperimentRunner]:
    """One embedded AWS; only one can be up in a process, so it does not outlive its module."""
    with ExperimentRunner() as runner:
        yield runner


@pytest.fixture(scope="module")
def of_insights(runner: ExperimentRunner) -> Evidence:
    """Builds without reports."""
    return runner.run(scenarios.insights())


@pytest.fixture(scope="module")
def of_reports(runner: ExperimentRunner) -> Evidence:
    """Builds with reports."""
    return runner.run(scenarios.reports())
