"""A deployed stack per module, cleared for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.embedded.embedded_aws import EmbeddedAws
from local.runs.session import TEMPLATE
from local.simulator import SimulatedProviders, demo_scenario
from tests.functional.cli.operator_setup import OperatorSetup


@pytest.fixture(scope="module")
def shared_setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorSetup]:
    scenario = demo_scenario()
    with SimulatedProviders(scenario, seed=7) as providers, EmbeddedAws(TEMPLATE) as aws:
        yield OperatorSetup(aws, providers, scenario, tmp_path_factory.mktemp("operator"))


@pytest.fixture
def operator(shared_setup: OperatorSetup) -> OperatorSetup:
    shared_setup.clear()
    shared_setup.store_keys()
    return shared_setup
