"""One experiment runner per module, and the evidence of two scenarios without faults."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.chaos import scenarios
from local.chaos.evidence import Evidence
from local.chaos.experiment_runner import ExperimentRunner


@pytest.fixture(scope="module")
def runner() -> Iterator[ExperimentRunner]:
    """One embedded AWS; a process can run only one, so it ends with its module."""
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
