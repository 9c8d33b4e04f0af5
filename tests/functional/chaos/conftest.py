"""One laboratory for the experiments of a module, and what the undisturbed scripts leave behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.chaos import scenarios
from local.chaos.evidence import Evidence
from local.chaos.experiment_runner import ExperimentRunner


@pytest.fixture(scope="module")
def laboratory() -> Iterator[ExperimentRunner]:
    """One embedded AWS; only one can be up in a process, so it does not outlive its module."""
    with ExperimentRunner() as laboratory:
        yield laboratory


@pytest.fixture(scope="module")
def of_insights(laboratory: ExperimentRunner) -> Evidence:
    """Builds without reports."""
    return laboratory.run(scenarios.insights())


@pytest.fixture(scope="module")
def of_reports(laboratory: ExperimentRunner) -> Evidence:
    """Builds with reports."""
    return laboratory.run(scenarios.reports())
