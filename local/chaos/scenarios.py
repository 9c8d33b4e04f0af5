"""Small scenarios that together pass every place of the courier with an external effect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from typing_extensions import override

from courier.config.settings import SourceSettings
from courier.models import BuildRequest
from courier.providers import parse_source
from local.chaos.experiment_runner import ChaosScenario
from local.embedded.embedded_aws import EmbeddedAws
from local.simulator import (
    AirtAccount,
    BuildPlan,
    DataModel,
    ErrorStatus,
    FaultRule,
    JobPlan,
    ObjectChanged,
    Project,
    ProviderName,
    RequestKind,
    Scenario,
    ScheduledBuild,
    ScheduledJob,
    SimulatedProviders,
    TreasureAccount,
)
from local.simulator.faults_json import JsonFault
from local.simulator.messages import JsonValue

TREASURE_SECRET: Final = "build-courier/treasure"  # noqa: S105 - a name, not a secret
AIRT_SECRET: Final = "build-courier/airt"  # noqa: S105 - likewise
KIBIBYTE: Final = 1024
# Two parts: the smallest report that is copied in parts.
LARGE_BYTES: Final = 9 * KIBIBYTE * KIBIBYTE
OTHER_KEY: Final = "1234/" + "fedcba9876543210" * 2 + "fedcba98"


@dataclass(frozen=True)
class DropBuild(JsonFault):
    """One build is missing from the list."""

    build_id: str

    @override
    def rewrite(self, body: JsonValue) -> JsonValue:
        return (
            [item for item in body if not (isinstance(item, dict) and item.get("oid") == self.build_id)]
            if isinstance(body, list)
            else body
        )


_POLLING = {"first_seconds": 60, "longest_seconds": 300, "give_up_after_hours": 2}
REPORT = {
    "preset": {"format": "pdf", "sections": ["risk_score_metrics"], "compliance_frameworks": ["owasp_llm_top_10"]}
}
_SALES, _ORDERS = "5d1d4f1c-1111-4222-8333-000000000001", "5d1d4f1c-1111-4222-8333-000000000002"


def build_id(number: int) -> str:
    """Return the id of a scheduled build."""
    return f"5d1d4f1c-0000-4222-8333-{number:012x}"


def treasure_source(endpoint: str, **settings: object) -> SourceSettings:
    """Return the source for the simulated Treasure Insights account."""
    return parse_source(
        {
            "name": "insights",
            "provider": "treasure_insights",
            "endpoint": endpoint,
            "insecure": True,
            "secret": TREASURE_SECRET,
            "data_models": "all",
            "account_id": "1234",
            "requests_per_minute": 600,
            "backfill_hours": 1,
            "polling": _POLLING,
            **settings,
        }
    )


def airt_source(endpoint: str, project: str, **settings: object) -> SourceSettings:
    """Return the source for one project of the simulated Dreadnode platform."""
    return parse_source(
        {
            "name": project,
            "provider": "dreadnode_airt",
            "endpoint": endpoint,
            "insecure": True,
            "secret": AIRT_SECRET,
            "organization": "acme",
            "workspace": "main",
            "project": project,
            "requests_per_minute": 600,
            "polling": _POLLING,
            **settings,
        }
    )


def treasure_scenario(name: str, models: Sequence[DataModel], **more: Any) -> ChaosScenario:  # noqa: ANN401 - handed on
    """Return a scenario with one source, of a Treasure Insights account with the default key."""
    account = TreasureAccount(models=tuple(models))
    usual = {"sources": lambda endpoint: [treasure_source(endpoint)], "secrets": {TREASURE_SECRET: account.key}}
    return ChaosScenario(name=name, simulation=Scenario(treasure=account), **{**usual, **more})


def insights() -> ChaosScenario:
    """Return a scenario with builds of every final status, one that ended earlier, and one requested build."""
    sales = DataModel(
        oid=_SALES,
        name="sales",
        builds=(
            ScheduledBuild(BuildPlan(run_seconds=40), created_offset_seconds=-600, build_id=build_id(1)),
            ScheduledBuild(BuildPlan(run_seconds=90), build_id=build_id(2)),
            ScheduledBuild(BuildPlan(run_seconds=100, final_status="failed"), build_id=build_id(3)),
            ScheduledBuild(BuildPlan(run_seconds=170, final_status="canceled"), build_id=build_id(4)),
            # Starts between two discoveries, so that the poller's list shows it first.
            ScheduledBuild(BuildPlan(run_seconds=60), created_offset_seconds=30, build_id=build_id(5)),
        ),
    )
    orders = DataModel(oid=_ORDERS, name="orders", when_started=(BuildPlan(run_seconds=80),))
    return treasure_scenario(
        "insights",
        [sales, orders],
        requests=[(_ORDERS, BuildRequest(source="insights", data_model=_ORDERS))],
    )


def reports() -> ChaosScenario:
    """Return a scenario with requested reports (delivered, failed, empty) and a request to track an existing one."""
    chatbot = Project(
        slug="chatbot",
        uuid="2489e9ad-2ee2-4e00-8ec9-000000000001",
        when_started=(
            JobPlan(run_seconds=70, artifact_bytes=40 * KIBIBYTE),
            JobPlan(run_seconds=80, final_status="failed"),
        ),
        jobs=(ScheduledJob(build_id(9), JobPlan(run_seconds=50, artifact_bytes=20 * KIBIBYTE)),),
    )
    sandbox = Project(
        slug="sandbox", uuid="2489e9ad-2ee2-4e00-8ec9-000000000002", empty_sections=("risk_score_metrics",)
    )
    return airt_scenario(
        "reports",
        (chatbot, sandbox),
        requests=[
            *((chatbot.scope, BuildRequest(source="chatbot", report=REPORT)) for _ in range(2)),
            (sandbox.scope, BuildRequest(source="sandbox", report=REPORT)),
            (chatbot.scope, BuildRequest(source="chatbot", build_id=build_id(9))),
        ],
    )


def large(name: str = "large", *faults: FaultRule) -> ChaosScenario:
    """Return a scenario with one report that is copied in parts."""
    archive = Project(
        slug="archive",
        uuid="2489e9ad-2ee2-4e00-8ec9-000000000003",
        jobs=(ScheduledJob(build_id(10), JobPlan(run_seconds=50, artifact_bytes=LARGE_BYTES)),),
    )
    return airt_scenario(
        name,
        (archive,),
        requests=[(archive.scope, BuildRequest(source="archive", build_id=build_id(10)))],
        faults=faults,
    )


def artifact_changes() -> ChaosScenario:
    """Return a scenario whose report changes during each copy, so that its upload has to be aborted."""
    scenario = large(
        "artifact_changes", FaultRule(ObjectChanged(), RequestKind.ARTIFACT, ranged=True, nth=2, times=None)
    )
    return replace(scenario, outcomes=frozenset({"undeliverable"}))


def resumed() -> ChaosScenario:
    """Return a scenario whose store fails for a while after the first part: the copy resumes its upload."""
    return large("resumed", FaultRule(ErrorStatus(503), RequestKind.ARTIFACT, nth=2, times=7))


def store_down() -> ChaosScenario:
    """Return a scenario whose store fails permanently after the first part: recording has to abort the upload."""
    scenario = large("store_down", FaultRule(ErrorStatus(503), RequestKind.ARTIFACT, nth=2, times=None))
    return replace(scenario, outcomes=frozenset({"undeliverable"}))


def builds_vanish() -> ChaosScenario:
    """Return a scenario with one build that never ends, and one that disappears from its provider."""
    orders = DataModel(
        oid=_ORDERS,
        name="orders",
        builds=(
            ScheduledBuild(BuildPlan(run_seconds=90_000), build_id=build_id(21)),
            ScheduledBuild(BuildPlan(run_seconds=90_000), build_id=build_id(22)),
        ),
    )
    return treasure_scenario(
        "builds_vanish",
        [orders],
        sources=lambda endpoint: [
            treasure_source(
                endpoint,
                cancel_on_timeout=True,
                # A build is lost after half an hour without it.
                polling={"first_seconds": 60, "longest_seconds": 120, "give_up_after_hours": 0.8},
            )
        ],
        # It is in the first list and in none after that.
        faults=[
            FaultRule(DropBuild(build_id(22)), RequestKind.LIST_BUILDS, nth=2, times=None),
            FaultRule(ErrorStatus(404), RequestKind.GET_BUILD, build_id=build_id(22), times=None),
        ],
        outcomes=frozenset({"timed_out", "lost"}),
        least_minutes=15,
    )


def key_revoked() -> ChaosScenario:
    """Return a scenario whose key is revoked and restored while a build is in flight."""
    sales = DataModel(
        oid=_SALES, name="sales", builds=(ScheduledBuild(BuildPlan(run_seconds=400), build_id=build_id(31)),)
    )

    def revoke(providers: SimulatedProviders, _: EmbeddedAws) -> None:
        providers.rotate_key(ProviderName.TREASURE_INSIGHTS, OTHER_KEY)

    def restore(providers: SimulatedProviders, _: EmbeddedAws) -> None:
        providers.rotate_key(ProviderName.TREASURE_INSIGHTS, TreasureAccount().key)

    return treasure_scenario(
        "key_revoked",
        [sales],
        events=((100, revoke), (280, restore)),
        least_minutes=15,
    )


def secret_replaced() -> ChaosScenario:
    """Return a scenario whose key is replaced while a build is in flight; the operator stores the new one later."""
    sales = DataModel(
        oid=_SALES, name="sales", builds=(ScheduledBuild(BuildPlan(run_seconds=1_500), build_id=build_id(32)),)
    )

    def replace_key(providers: SimulatedProviders, _: EmbeddedAws) -> None:
        providers.rotate_key(ProviderName.TREASURE_INSIGHTS, OTHER_KEY)

    def store_key(_: SimulatedProviders, aws: EmbeddedAws) -> None:
        aws.client("secretsmanager").put_secret_value(SecretId=TREASURE_SECRET, SecretString=OTHER_KEY)

    return treasure_scenario(
        "secret_replaced",
        [sales],
        # The second one is unused: it lets the checker look for the new key too.
        secrets={TREASURE_SECRET: TreasureAccount().key, "build-courier/new": OTHER_KEY},
        events=((100, replace_key), (400, store_key)),
        least_minutes=20,
    )


def scope_fails() -> ChaosScenario:
    """Return a scenario with three data models, of which the first cannot be listed for a while."""
    models = [
        DataModel(
            oid=f"5d1d4f1c-1111-4222-8333-00000000001{number}",
            name=f"model_{number}",
            builds=tuple(
                ScheduledBuild(BuildPlan(run_seconds=150), build_id=build_id(80 + 10 * number + each))
                for each in range(2)
            ),
        )
        for number in range(3)
    ]
    return treasure_scenario(
        "scope_fails",
        [*models],
        # Three attempts of one call after the other.
        faults=[FaultRule(ErrorStatus(500), RequestKind.LIST_BUILDS, scope=models[0].oid, times=15)],
        least_minutes=15,
    )


def poller_late() -> ChaosScenario:
    """Return a scenario whose poller starts late: discovery finds the ends of builds in its lists."""
    sales = DataModel(
        oid=_SALES,
        name="sales",
        builds=tuple(ScheduledBuild(BuildPlan(run_seconds=90), build_id=build_id(50 + n)) for n in range(2)),
    )
    return treasure_scenario(
        "poller_late",
        [sales],
        dropped={"poll_builds": 8},
        least_minutes=6,
    )


def keys_invalid() -> ChaosScenario:
    """Return a scenario with revoked keys: discovery and a request report them before anything is in flight."""
    sales = DataModel(
        oid=_SALES, name="sales", builds=(ScheduledBuild(BuildPlan(run_seconds=900), build_id=build_id(61)),)
    )
    chatbot = Project(
        slug="chatbot", uuid="2489e9ad-2ee2-4e00-8ec9-000000000001", when_started=(JobPlan(run_seconds=70),)
    )
    treasure, airt = TreasureAccount(models=(sales,)), AirtAccount(projects=(chatbot,))

    def restore(providers: SimulatedProviders, _: EmbeddedAws) -> None:
        providers.rotate_key(ProviderName.TREASURE_INSIGHTS, treasure.key)
        providers.rotate_key(ProviderName.DREADNODE_AIRT, airt.key)

    def revoke(providers: SimulatedProviders, _: EmbeddedAws) -> None:
        providers.rotate_key(ProviderName.TREASURE_INSIGHTS, OTHER_KEY)
        providers.rotate_key(ProviderName.DREADNODE_AIRT, OTHER_KEY)

    return ChaosScenario(
        name="keys_invalid",
        simulation=Scenario(treasure=treasure, airt=airt),
        sources=lambda endpoint: [treasure_source(endpoint), airt_source(endpoint, chatbot.slug)],
        secrets={TREASURE_SECRET: treasure.key, AIRT_SECRET: airt.key},
        requests=[(chatbot.scope, BuildRequest(source="chatbot", report=REPORT))],
        events=((0, revoke), (400, restore)),
        # Every attempt fails until then, so the request becomes a dead letter.
        least_minutes=20,
    )


def start_retried() -> ChaosScenario:
    """Return a scenario whose provider is down at the request, which certainly started nothing and is retried."""
    orders = DataModel(oid=_ORDERS, name="orders", when_started=(BuildPlan(run_seconds=80),))
    return treasure_scenario(
        "start_retried",
        [orders],
        requests=[(_ORDERS, BuildRequest(source="insights", data_model=_ORDERS))],
        # Discovery gets them too; both retry.
        faults=[FaultRule(ErrorStatus(503), RequestKind.LIST_BUILDS, times=6)],
    )


def segments() -> ChaosScenario:
    """Return a scenario with more builds than one invocation takes: the poller works in segments of one build."""
    sales = DataModel(
        oid=_SALES,
        name="sales",
        builds=tuple(ScheduledBuild(BuildPlan(run_seconds=90), build_id=build_id(40 + n)) for n in range(3)),
    )
    return treasure_scenario(
        "segments",
        [sales],
        segment_builds=1,
    )


def operated() -> ChaosScenario:
    """Return a scenario with an operator who stops, retries, resends, adopts, pauses, resumes and probes.

    Each act is an event that Lambda delivers again after an error, as the operator would.
    """
    chatbot = Project(
        slug="chatbot",
        uuid="2489e9ad-2ee2-4e00-8ec9-000000000001",
        jobs=(
            # Too large for the settings at first.
            ScheduledJob(build_id(91), JobPlan(run_seconds=50, artifact_bytes=40 * KIBIBYTE)),
            ScheduledJob(build_id(92), JobPlan(run_seconds=3000, artifact_bytes=20 * KIBIBYTE)),
            ScheduledJob(build_id(93), JobPlan(run_seconds=50, artifact_bytes=20 * KIBIBYTE)),
        ),
    )
    sales = DataModel(
        oid=_SALES, name="sales", builds=(ScheduledBuild(BuildPlan(run_seconds=3000), build_id=build_id(94)),)
    )
    simulation = Scenario(treasure=TreasureAccount(models=(sales,)), airt=AirtAccount(projects=(chatbot,)))
    base = {"hosts": ["localhost"], "private_addresses": True}

    def act(
        action: str, number: int | None = None, **fields: object
    ) -> Callable[[SimulatedProviders, EmbeddedAws], object]:
        scope = f"insights/{_SALES}" if number == 94 else f"chatbot/{chatbot.scope}"  # noqa: PLR2004 - the id above
        name = {"source": "chatbot"} if number is None else {"build": f"{scope}/{build_id(number)}"}
        event = {"action": action, "id": f"{action}-{number}", "by": "operator", **name, **fields}
        return lambda _, aws: aws.invoke_asynchronously("request_build", event)

    def allow(providers: SimulatedProviders, aws: EmbeddedAws) -> None:
        settings = airt_source(providers.url, chatbot.slug, artifact=base)
        name = f"{aws.outputs['ParameterPath']}/{settings.name}"
        aws.client("ssm").put_parameter(Name=name, Value=settings.model_dump_json(), Type="String", Overwrite=True)

    return ChaosScenario(
        name="operated",
        simulation=simulation,
        sources=lambda endpoint: [
            treasure_source(endpoint),
            airt_source(endpoint, chatbot.slug, artifact={**base, "largest_bytes": 30 * KIBIBYTE}),
        ],
        secrets={TREASURE_SECRET: simulation.treasure.key, AIRT_SECRET: simulation.airt.key},
        requests=[
            (chatbot.scope, BuildRequest(source="chatbot", build_id=build_id(number))) for number in (91, 92, 93)
        ],
        events=(
            (180, act("adopt", 92)),
            (240, act("stop", 94, scope=f"insights/{_SALES}", cancels=True)),
            (300, act("stop", 92)),
            (360, allow),
            (420, act("retry", 91)),
            (480, act("resend", 93)),
            (540, act("retry", 92)),
            (600, act("pause")),
            (660, act("resume")),
            (720, act("probe")),
            (780, act("stop", 92, id="stop-again")),
        ),
        least_minutes=15,
        outcomes=frozenset({"undeliverable", "canceled"}),
        repeated_notices=1,
    )


def airt_scenario(
    name: str,
    projects: Sequence[Project],
    *,
    requests: Sequence[tuple[str, BuildRequest]],
    faults: Sequence[FaultRule] = (),
) -> ChaosScenario:
    """Return a scenario with projects of the simulated Dreadnode platform, one source each."""
    simulation = Scenario(airt=AirtAccount(projects=tuple(projects)))
    artifact = {"hosts": ["localhost"], "private_addresses": True}
    return ChaosScenario(
        name=name,
        simulation=simulation,
        sources=lambda endpoint: [airt_source(endpoint, project.slug, artifact=artifact) for project in projects],
        secrets={AIRT_SECRET: simulation.airt.key},
        requests=requests,
        faults=faults,
    )


SCENARIOS: Final = (
    insights,
    reports,
    large,
    resumed,
    artifact_changes,
    store_down,
    builds_vanish,
    key_revoked,
    secret_replaced,
    scope_fails,
    keys_invalid,
    poller_late,
    operated,
    start_retried,
    segments,
)
