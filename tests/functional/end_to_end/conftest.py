"""Two runs of the command, looked at by many tests: the demonstration, and a customer's own sources."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
import yaml

from local.simulator import ProviderName, Scenario, SimulatedProviders, demo_scenario
from tests.functional.cli.command import courier
from tests.functional.end_to_end.customer import (
    CUSTOMER_SEED,
    REQUESTS,
    WATCHES,
    customer_scenario,
    customer_secrets,
    customer_sources,
)
from tests.functional.end_to_end.evidence import Evidence, watched


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run, what the providers know about it, and what nobody may see of it."""

    evidence: Evidence
    providers: SimulatedProviders
    secrets: tuple[str, ...]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """``courier run --out …``, as `make run` has it."""
    folder = tmp_path_factory.mktemp("demo") / "out"
    served: list[SimulatedProviders] = []

    class Served(SimulatedProviders):
        def __enter__(self) -> Served:
            served.append(self)
            return super().__enter__()

    with watched() as watcher, pytest.MonkeyPatch.context() as patches:
        patches.setattr("cli.plan.SimulatedProviders", Served)
        ended = courier("run", "--out", folder)
    evidence = Evidence(ended=ended, folder=folder, inside=watcher.insides[0])
    return Run(
        evidence=evidence,
        providers=served[0],
        secrets=(*_keys(demo_scenario()), *watcher.secrets_in_links),
    )


@pytest.fixture(scope="session")
def customer(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """``courier run --sources …`` with all its options, and with mistakes that stop no other source."""
    folder = tmp_path_factory.mktemp("customer")
    scenario = customer_scenario()
    with SimulatedProviders(scenario, seed=CUSTOMER_SEED) as providers, watched() as watcher:
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
    evidence = Evidence(ended=ended, folder=folder / "out", inside=watcher.insides[0])
    secrets = (*_keys(scenario), *customer_secrets(scenario).values(), *watcher.secrets_in_links)
    return Run(evidence=evidence, providers=providers, secrets=secrets)


@pytest.fixture(params=["demo", "customer"])
def any_run(request: pytest.FixtureRequest) -> Run:
    """Each of the two runs."""
    run: Run = request.getfixturevalue(request.param)
    return run


def api_requests(providers: SimulatedProviders) -> int:
    """Count the requests that reached the APIs; the downloads are none."""
    return sum(
        entry.provider in {ProviderName.TREASURE_INSIGHTS, ProviderName.DREADNODE_AIRT} for entry in providers.requests
    )


def _keys(scenario: Scenario) -> tuple[str, ...]:
    """Give the API keys, whole and without what is only an account's number."""
    treasure, airt = scenario.treasure.key, scenario.airt.key
    return (treasure, treasure.partition("/")[2], airt, airt.removeprefix("dn_key_"))
