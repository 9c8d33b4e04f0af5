"""A customer's accounts and files: one of every kind of source, request and mistake."""

from __future__ import annotations

from typing import Final

from local.simulator import (
    AirtAccount,
    BuildPlan,
    DataModel,
    JobPlan,
    LinkPolicy,
    Project,
    ReportTemplate,
    Scenario,
    ScheduledBuild,
    ScheduledJob,
    TreasureAccount,
)
from local.simulator.scenario import MEBIBYTE

CUSTOMER_SEED: Final = 21
MODEL: Final = "0b0f6d0e-5a57-4a53-9a0a-aaaaaaaaaaaa"
OLD_BUILD: Final = "0b0f6d0e-5a57-4a53-9a0a-000000000001"
NEW_BUILD: Final = "0b0f6d0e-5a57-4a53-9a0a-000000000002"
CANCELED_BUILD: Final = "0b0f6d0e-5a57-4a53-9a0a-000000000003"
BIG_JOB: Final = "2489e9ad-2ee2-8e00-8ec9-32d5f69181c7"
TEMPLATE: Final = "2489e9ad-2ee2-8e00-8ec9-000000000001"
EMPTY_TEMPLATE: Final = "2489e9ad-2ee2-8e00-8ec9-000000000002"
UNKNOWN_JOB: Final = "2489e9ad-2ee2-8e00-8ec9-ffffffffffff"

REQUESTS: Final = (
    {"source": "reports", "report": {"template_id": TEMPLATE}},
    {"source": "reports", "report": {"preset": {"format": "pdf", "sections": ["risk_score_metrics"]}}},
    {"source": "reports", "report": {"template_id": EMPTY_TEMPLATE}},
    {"source": "no-project", "report": {"template_id": TEMPLATE}},
)
WATCHES: Final = (
    f"reports/acme/main/support/{BIG_JOB}",
    f"reports/acme/main/support/{UNKNOWN_JOB}",
    f"models/{MODEL}/{OLD_BUILD}",
)


def customer_scenario() -> Scenario:
    """Return accounts whose builds all end within a few seconds."""
    model = DataModel(
        oid=MODEL,
        name="orders",
        builds=(
            ScheduledBuild(BuildPlan(), created_offset_seconds=-90_000, build_id=OLD_BUILD),
            ScheduledBuild(BuildPlan(queue_seconds=0.5, run_seconds=3), build_id=NEW_BUILD),
            ScheduledBuild(
                BuildPlan(queue_seconds=0.5, run_seconds=4, final_status="canceled"), build_id=CANCELED_BUILD
            ),
        ),
    )
    support = Project(
        slug="support",
        uuid="2489e9ad-2ee2-4e00-8ec9-32d5f69181d0",
        empty_sections=("findings",),
        templates=(ReportTemplate(TEMPLATE), ReportTemplate(EMPTY_TEMPLATE, sections=("findings",))),
        jobs=(ScheduledJob(BIG_JOB, JobPlan(queue_seconds=0.5, run_seconds=2, artifact_bytes=17 * MEBIBYTE)),),
        when_started=(
            JobPlan(queue_seconds=0.2, run_seconds=1, artifact_bytes=300 * 1024),
            JobPlan(queue_seconds=0.2, run_seconds=0.5, final_status="failed", error_message="no data for 2026"),
        ),
    )
    return Scenario(
        treasure=TreasureAccount(
            models=(model,), account_id="77", key="77/" + "fedcba98" * 5, unset_times="absent", start_status=201
        ),
        airt=AirtAccount(
            projects=(support,),
            key="dn_key_fedcba9876543210",
            url_policy=LinkPolicy.STORED_UNTIL_EXPIRED,
            token_lifetime_seconds=900,
            empty_sections_shape="in_detail",
        ),
    )


def customer_sources(endpoint: str) -> list[dict[str, object]]:
    """Return the list of ``sources.yaml``: two valid ones, one with a dead key, three that are wrong."""
    loopback = {"endpoint": endpoint, "insecure": True}
    treasure = {**loopback, "provider": "treasure_insights", "secret": "build-courier/td"}
    airt = {**loopback, "provider": "dreadnode_airt", "organization": "acme", "workspace": "main"}
    return [
        # A slow machine may see the young builds only when they have ended; the old one is history all the same.
        {**treasure, "name": "models", "data_models": [MODEL], "backfill_hours": 1},
        {**airt, "name": "reports", "secret": "build-courier/dn", "auth": "x-api-key", "project": "support"},
        {**treasure, "name": "revoked", "secret": "build-courier/revoked"},
        {**treasure, "name": "Wrong_Name"},
        {**airt, "name": "no-project", "secret": "build-courier/dn"},
        {**treasure, "name": "no-secret", "secret": "build-courier/missing"},
    ]


def customer_secrets(scenario: Scenario) -> dict[str, str]:
    """Return the content of the secrets file; one key has its prefix, one is not valid any more."""
    return {
        "build-courier/td": f"TD1 {scenario.treasure.key}",
        "build-courier/dn": scenario.airt.key,
        "build-courier/revoked": "77/" + "0f1e2d3c" * 5,
        "build-courier/unused": "an-unused-key",
    }
