"""A deployed stack per module, cleared for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.embedded.embedded_aws import EmbeddedAws
from local.embedded.results import Subscription
from local.runs.session import TEMPLATE
from local.simulator import SimulatedProviders, demo_scenario
from tests.functional.cli.acting_stack import Stack, scenario
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


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[OperatorSetup, Subscription]]:
    content = scenario()
    with SimulatedProviders(content, seed=7) as providers, EmbeddedAws(TEMPLATE) as aws:
        operator = OperatorSetup(aws, providers, content, tmp_path_factory.mktemp("operator"))
        yield operator, aws.subscribe()


@pytest.fixture
def stack(deployed: tuple[OperatorSetup, Subscription]) -> Iterator[Stack]:
    operator, subscription = deployed
    operator.clear()
    operator.store_keys()
    stack = Stack(operator, subscription)
    stack.configure()
    stack.notices()
    yield stack
    operator.aws.forget_executions()
