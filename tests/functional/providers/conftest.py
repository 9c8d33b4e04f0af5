"""Both providers against the simulated APIs, on a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from local.simulator import (
    AirtAccount,
    BuildPlan,
    DataModel,
    FaultPlan,
    JobPlan,
    ManualClock,
    Project,
    ReportTemplate,
    Scenario,
    SimulatedProviders,
    TreasureAccount,
)
from tests.functional.providers.simulated_apis import EMPTY_TEMPLATE, MODEL, OTHER_MODEL, SimulatedApis


def scenario() -> Scenario:
    model = DataModel(
        oid=MODEL,
        name="sales_model",
        when_started=(BuildPlan(queue_seconds=5, run_seconds=40), BuildPlan(final_status="failed")),
    )
    chatbot = Project(
        slug="chatbot",
        uuid="2489e9ad-2ee2-4e00-8ec9-32d5f69181c0",
        empty_sections=("findings",),
        templates=(ReportTemplate(EMPTY_TEMPLATE, sections=("findings",)),),
        when_started=(
            JobPlan(queue_seconds=5, run_seconds=40, artifact_bytes=64 * 1024),
            JobPlan(queue_seconds=5, run_seconds=5, final_status="failed"),
        ),
    )
    return Scenario(
        treasure=TreasureAccount(models=(model, DataModel(oid=OTHER_MODEL, name="other")), weak_keys=("1/weakling",)),
        airt=AirtAccount(projects=(chatbot,)),
    )


@pytest.fixture
def make_apis() -> Iterator[Callable[..., SimulatedApis]]:
    """Return a function that starts simulated APIs, which stop at the end of the test."""
    with ExitStack() as stack:

        def make(*, played: Scenario | None = None, tls: bool = False, hold: bool = False) -> SimulatedApis:
            clock, chosen = ManualClock(), played or scenario()
            # Only a test of a timeout lets a response hang; closing the simulator ends it.
            wait = None if hold else lambda _: None
            providers = SimulatedProviders(chosen, seed=1, clock=clock, faults=FaultPlan(), tls=tls, wait=wait)
            return SimulatedApis(stack.enter_context(providers), clock, chosen)

        yield make


@pytest.fixture
def apis(make_apis: Callable[..., SimulatedApis]) -> SimulatedApis:
    return make_apis()
