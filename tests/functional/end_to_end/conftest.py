"""Two runs of the command that many tests examine: the demonstration, and a customer's own sources."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
import yaml

from local.chaos.scenario_facts import api_keys
from local.simulator import HeldClock, ProviderName, SimulatedProviders, demo_scenario
from tests.functional.end_to_end.customer import (
    CUSTOMER_SEED,
    REQUESTS,
    WATCHES,
    customer_scenario,
    customer_secrets,
    customer_sources,
)
from tests.functional.end_to_end.evidence import CommandRun, observed_sessions
from tests.support.command import courier


@dataclass(frozen=True, kw_only=True)
class ObservedRun:
    """A run, its providers, and the secrets that no output may contain."""

    evidence: CommandRun
    providers: SimulatedProviders
    secrets: tuple[str, ...]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> ObservedRun:
    """``courier run --out …``, as `make run` has it."""
    folder = tmp_path_factory.mktemp("demo") / "out"
    served: list[SimulatedProviders] = []

    class Served(SimulatedProviders):
        def __enter__(self) -> Served:
            served.append(self)
            return super().__enter__()

    with observed_sessions() as observer, pytest.MonkeyPatch.context() as patches:
        patches.setattr("cli.run_plan.SimulatedProviders", Served)
        ended = courier("run", "--out", folder)
    evidence = CommandRun(ended=ended, folder=folder, inside=observer.insides[0])
    return ObservedRun(
        evidence=evidence,
        providers=served[0],
        secrets=(*api_keys(demo_scenario()), *observer.signatures),
    )


@pytest.fixture(scope="session")
def customer(tmp_path_factory: pytest.TempPathFactory) -> ObservedRun:
    """``courier run --sources …`` with all its options, and with mistakes that stop no other source."""
    folder = tmp_path_factory.mktemp("customer")
    scenario = customer_scenario()
    with (
        SimulatedProviders(scenario, seed=CUSTOMER_SEED, clock=HeldClock()) as providers,
        observed_sessions() as observer,
    ):
        (folder / "sources.yaml").write_text(yaml.safe_dump({"sources": customer_sources(providers.url)}), "utf-8")
        (folder / "secrets.json").write_text(json.dumps(customer_secrets(scenario)), "utf-8")
        options: list[object] = []
        for number, request in enumerate(REQUESTS):
            path = folder / f"request-{number}.json"
            path.write_text(json.dumps(request), "utf-8")
            options += ["--request", path]
        for watch in WATCHES:
            options += ["--watch", watch]
        ended = courier(
            *("run", "--sources", folder / "sources.yaml", "--secrets", folder / "secrets.json", *options),
            *("--tick", 0.1, "--until-idle", "--timeout", 40, "--out", folder / "out"),
        )
    evidence = CommandRun(ended=ended, folder=folder / "out", inside=observer.insides[0])
    secrets = (*api_keys(scenario), *customer_secrets(scenario).values(), *observer.signatures)
    return ObservedRun(evidence=evidence, providers=providers, secrets=secrets)


@pytest.fixture(params=["demo", "customer"])
def any_run(request: pytest.FixtureRequest) -> ObservedRun:
    """Each of the two runs."""
    run: ObservedRun = request.getfixturevalue(request.param)
    return run


def api_requests(providers: SimulatedProviders) -> int:
    """Count the requests that reached the APIs; the downloads are none."""
    return sum(
        entry.provider in {ProviderName.TREASURE_INSIGHTS, ProviderName.DREADNODE_AIRT} for entry in providers.requests
    )
