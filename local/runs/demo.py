"""The demonstration of ``courier run`` without options: a courier configured for the two simulated providers."""

from __future__ import annotations

from courier.config.settings import SourceSettings
from courier.models import BuildRequest
from courier.providers import parse_source
from local.simulator import Scenario

TREASURE_SECRET = "build-courier/treasure-data"  # noqa: S105 - a name, not a secret
DREADNODE_SECRET = "build-courier/dreadnode"  # noqa: S105 - likewise

# A minute of the demonstration lasts one tick, and young builds are polled each tick.
POLLING = {"first_seconds": 60, "longest_seconds": 900, "give_up_after_hours": 24}
_REPORT = {
    "preset": {
        "format": "pdf",
        "sections": ["risk_score_metrics"],
        "compliance_frameworks": ["owasp_llm_top_10"],
    }
}


def demo_sources(scenario: Scenario, endpoint: str) -> tuple[SourceSettings, ...]:
    """Configure one Treasure Insights account and two Dreadnode projects, one of which has no data yet."""
    insights = {
        "name": "insights",
        "provider": "treasure_insights",
        "endpoint": endpoint,
        "insecure": True,
        "secret": TREASURE_SECRET,
        "data_models": "all",
        "account_id": scenario.treasure.account_id,
        # One build of the simulated account ended an hour before the demonstration began.
        "backfill_hours": 2,
        "polling": POLLING,
    }
    projects = [
        {
            "name": name,
            "provider": "dreadnode_airt",
            "endpoint": endpoint,
            "insecure": True,
            "secret": DREADNODE_SECRET,
            "auth": "bearer",
            "organization": project.organization,
            "workspace": project.workspace,
            "project": project.slug,
            "polling": POLLING,
        }
        for name, project in zip(("red-team", "sandbox"), scenario.airt.projects, strict=True)
    ]
    return tuple(parse_source(document) for document in (insights, *projects))


def demo_secrets(scenario: Scenario) -> dict[str, str]:
    """Return the simulated accounts' API keys, by the secret names of the sources."""
    return {TREASURE_SECRET: scenario.treasure.key, DREADNODE_SECRET: scenario.airt.key}


def demo_requests(scenario: Scenario) -> tuple[BuildRequest, ...]:
    """Return requests for a build of the first data model, three reports of one project, and one of the other."""
    return (
        BuildRequest(source="insights", data_model=scenario.treasure.models[0].oid),
        *(BuildRequest(source="red-team", report=_REPORT) for _ in range(3)),
        BuildRequest(source="sandbox", report=_REPORT),
    )
