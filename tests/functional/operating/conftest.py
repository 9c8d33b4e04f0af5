"""A deployed stack per module, emptied for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.embedded.embedded_aws import EmbeddedAws
from local.runs.session import TEMPLATE
from local.simulator import SimulatedProviders, demo_scenario
from tests.functional.operating.desk import Desk


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    scenario = demo_scenario()
    with SimulatedProviders(scenario, seed=7) as providers, EmbeddedAws(TEMPLATE) as aws:
        yield Desk(aws, providers, scenario, tmp_path_factory.mktemp("desk"))


@pytest.fixture
def desk(office: Desk) -> Desk:
    office.clear()
    office.store_keys()
    return office
