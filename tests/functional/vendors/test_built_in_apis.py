"""The two built-in providers and their definitions, in one run over the same scenario: the outcomes are the same."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

import pytest

from courier.config.settings import SourceSettings
from courier.models import BuildRequest
from courier.providers import parse_source
from local.runs.demo import POLLING, demo_requests, demo_secrets, demo_sources
from local.runs.session import Session
from local.simulator import Scenario, SimulatedProviders, demo_scenario

pytestmark = pytest.mark.long

SEED = 7
TICK_SECONDS = 0.5


def described(settings: SourceSettings, scenario: Scenario, endpoint: str) -> SourceSettings:
    """Return a source with a definition, for a source with a built-in provider."""
    document: dict[str, Any] = {
        "name": f"{settings.name}-described",
        "provider": "http_json",
        "secret": settings.secret,
        "insecure": True,
        "polling": POLLING,
        "backfill_hours": settings.backfill_hours,
    }
    if settings.provider == "treasure_insights":
        account = {"account": scenario.treasure.account_id}
        document |= {"api": "treasure-insights@1", "endpoint": endpoint, "scopes": "all", "values": account}
    else:
        project = next(
            project for project in scenario.airt.projects if project.slug == settings.model_dump()["project"]
        )
        document |= {"api": "dreadnode-airt@1", "endpoint": f"{endpoint}/api/v1", "scopes": [project.scope]}
        document["artifact"] = settings.artifact.model_dump()
    return parse_source(document)


def described_request(request: BuildRequest) -> BuildRequest:
    return BuildRequest(source=f"{request.source}-described", scope=request.data_model, input=request.report or {})


def test_definitions_reach_the_outcomes_of_the_built_in_providers() -> None:
    scenario = demo_scenario()
    with SimulatedProviders(scenario, seed=SEED) as ours, SimulatedProviders(scenario, seed=SEED) as theirs:
        sources = demo_sources(scenario, ours.url)
        definitions = [described(settings, scenario, theirs.url) for settings in sources]
        requests = demo_requests(scenario)
        with Session(
            sources=[*sources, *definitions], secrets=demo_secrets(scenario), tick_seconds=TICK_SECONDS
        ) as session:
            session.submit([*requests, *map(described_request, requests)])
            assert session.run(until_idle=True, timeout_seconds=60, on_change=lambda _: None, monotonic=time.monotonic)
            assert session.finish().is_good
            payload = [json.loads(notice.message)["data"] for notice in session.notices()]
    outcomes: dict[str, Counter[tuple[object, ...]]] = {
        settings.name: Counter() for settings in (*sources, *definitions)
    }
    for data in payload:
        artifact, problem = data["artifact"] or {}, data["problem"] or {}
        outcomes[data["build"]["source"]][
            data["build"]["scope"], data["outcome"], artifact.get("size_bytes"), problem.get("name")
        ] += 1
    for settings in sources:
        assert outcomes[f"{settings.name}-described"] == outcomes[settings.name]
    assert {outcome for _, outcome, *_ in outcomes["red-team-described"]} == {"delivered", "failed"}
    assert {outcome for _, outcome, *_ in outcomes["sandbox-described"]} == {"empty"}
    assert {outcome for _, outcome, *_ in outcomes["insights-described"]} == {"succeeded", "failed", "canceled"}
