"""Dashboard and alarms read exactly the metrics that a whole run emits."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from courier.models import BuildRequest
from courier.observability.metrics import Metric
from courier.providers import parse_source
from local.runs.session import MINUTE_SECONDS, BuildLine, Session
from local.simulator import (
    AirtAccount,
    BuildPlan,
    DataModel,
    DropFields,
    ErrorStatus,
    FaultPlan,
    FaultRule,
    JobPlan,
    ManualClock,
    Project,
    RequestKind,
    Scenario,
    ScheduledBuild,
    SetFields,
    SetHeaders,
    SimulatedProviders,
    TreasureAccount,
)
from scripts.checks.checkout import Checkout, open_checkout
from tests.functional.monitoring.readings import (
    NAMESPACE,
    Series,
    alarms,
    dashboard,
    emitted_by,
    read_by_alarms,
    read_by_widgets,
)

ROOT = Path(__file__).parents[3]
MODEL, OTHER_MODEL = "0b0f6d0e-5a57-4a53-9a0a-aaaaaaaaaaaa", "0b0f6d0e-5a57-4a53-9a0a-bbbbbbbbbbbb"
ODD_BUILD = "0b0f6d0e-5a57-4a53-9a0a-000000000001"
# Metrics of AWS's own, with the dimensions under which each is published. From the services' own guides:
# Step Functions, "Monitoring Step Functions metrics using Amazon CloudWatch"; Lambda, "Types of metrics for Lambda
# functions"; SQS, "Available CloudWatch metrics for Amazon SQS"; DynamoDB, "DynamoDB metrics and dimensions".
AWS_METRICS = {
    ("AWS/States", "ExecutionsStarted"): [{"StateMachineArn"}],
    ("AWS/States", "ExecutionsSucceeded"): [{"StateMachineArn"}],
    ("AWS/States", "ExecutionsFailed"): [{"StateMachineArn"}],
    ("AWS/States", "ExecutionsTimedOut"): [{"StateMachineArn"}],
    ("AWS/States", "ExecutionsAborted"): [{"StateMachineArn"}],
    ("AWS/Lambda", "Invocations"): [{"FunctionName"}],
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): [{"QueueName"}],
    ("AWS/DynamoDB", "ConsumedReadCapacityUnits"): [{"TableName"}, {"TableName", "GlobalSecondaryIndexName"}],
    ("AWS/DynamoDB", "ConsumedWriteCapacityUnits"): [{"TableName"}, {"TableName", "GlobalSecondaryIndexName"}],
}


@pytest.fixture(scope="module")
def checkout() -> Checkout:
    return open_checkout(ROOT)


@pytest.fixture(scope="module")
def read(checkout: Checkout) -> frozenset[Series]:
    return frozenset(
        [*read_by_widgets(dashboard(checkout.defaults)), *read_by_alarms(alarms(checkout.defaults).values())]
    )


@pytest.fixture(scope="module")
def emitted() -> dict[Series, set[str]]:
    """Run everything that emits a metric, and return the series with their units."""
    faults = FaultPlan(
        FaultRule(ErrorStatus(429), RequestKind.GET_JOB),
        # Discovery stops at the second data model, and the next one continues there.
        FaultRule(ErrorStatus(429), RequestKind.LIST_BUILDS, scope=OTHER_MODEL, times=3),
        FaultRule(DropFields(("oid",)), RequestKind.LIST_BUILDS, scope=OTHER_MODEL, nth=4),
        FaultRule(SetFields({"status": "resting"}, ODD_BUILD), RequestKind.LIST_BUILDS, scope=MODEL, times=2),
        FaultRule(SetFields({"started": "soon"}, ODD_BUILD), RequestKind.LIST_BUILDS, scope=MODEL, times=2),
        FaultRule(SetHeaders({"X-Total-Count": "99"}), RequestKind.LIST_BUILDS, scope=MODEL, times=2),
    )
    found: dict[Series, set[str]] = {}
    clock = ManualClock(datetime.now(UTC))
    with SimulatedProviders(_scenario(), seed=3, faults=faults, clock=clock) as providers:
        for series, unit in emitted_by(_run(providers, clock)):
            found.setdefault(series, set()).add(unit)
    return found


def test_every_metric_is_emitted(emitted: dict[Series, set[str]]) -> None:
    assert {series.metric for series in emitted} == set(Metric)
    assert {series.namespace for series in emitted} == {NAMESPACE}


def test_every_metric_read_is_emitted_and_every_metric_emitted_is_read(
    emitted: dict[Series, set[str]], read: frozenset[Series]
) -> None:
    ours = {series.without_values for series in read if series.namespace == NAMESPACE}
    assert ours == {series.without_values for series in emitted}


def test_dashboard_alarms_and_functions_use_the_same_stack_name(
    emitted: dict[Series, set[str]], read: frozenset[Series]
) -> None:
    stack = ("service", "build-courier")
    assert all(series.values == {stack} for series in read if series.namespace == NAMESPACE)
    assert all(stack in series.values for series in emitted)


def test_a_metric_has_one_unit_and_the_titles_name_it(emitted: dict[Series, set[str]], checkout: Checkout) -> None:
    units: dict[str, set[str]] = {}
    for series, its in emitted.items():
        units.setdefault(series.metric, set()).update(its)
    assert all(len(its) == 1 for its in units.values()), units
    for widget in dashboard(checkout.defaults)["widgets"]:
        shown = {unit for series in read_by_widgets({"widgets": [widget]}) for unit in units.get(series.metric, ())}
        title = str(widget["properties"].get("title", "")).lower()
        assert all(unit.lower() in title for unit in shown - {"Count"}), title


def test_every_aws_metric_read_is_published_by_aws(read: frozenset[Series]) -> None:
    aws_series = [series for series in read if series.namespace != NAMESPACE]
    assert {(series.namespace, series.metric) for series in aws_series} == AWS_METRICS.keys()
    for series in aws_series:
        assert set(series.dimensions) in AWS_METRICS[series.namespace, series.metric], series


def test_every_aws_metric_read_belongs_to_the_stack(read: frozenset[Series], checkout: Checkout) -> None:
    text = str(checkout.defaults["Resources"])
    table = checkout.defaults["Resources"]["LedgerTable"]["Properties"]
    indexes = {index["IndexName"] for index in table["GlobalSecondaryIndexes"]}
    values = {pair for series in read if series.namespace != NAMESPACE for pair in series.values}
    assert {value for name, value in values if name == "GlobalSecondaryIndexName"} == indexes
    functions = {value for name, value in values if name == "FunctionName"}
    assert functions == {
        name for name, entry in checkout.defaults["Resources"].items() if entry["Type"].endswith("::Function")
    }
    for name, value in values:
        assert value.removesuffix(".QueueName").rpartition(":")[2] in text, name


def _scenario() -> Scenario:
    usual = ScheduledBuild(BuildPlan(queue_seconds=0.1, run_seconds=2), build_id=ODD_BUILD)
    # Two of one model: one list call serves both.
    beside = ScheduledBuild(BuildPlan(queue_seconds=0.1, run_seconds=2.2))
    failing = ScheduledBuild(BuildPlan(queue_seconds=0.1, run_seconds=1, final_status="failed"))
    models = (
        DataModel(oid=MODEL, name="a", builds=(usual, beside)),
        DataModel(oid=OTHER_MODEL, name="b", builds=(failing,)),
    )
    project = Project(
        slug="chatbot",
        uuid="2489e9ad-2ee2-4e00-8ec9-32d5f69181d0",
        when_started=(JobPlan(queue_seconds=0.1, run_seconds=0.3, artifact_bytes=20_000),),
    )
    return Scenario(treasure=TreasureAccount(models=models), airt=AirtAccount(projects=(project,)))


def _run(providers: SimulatedProviders, clock: ManualClock) -> Iterator[str]:
    """Run a courier with healthy, unhealthy and misconfigured sources, and yield the log lines of its functions."""
    loopback = {"endpoint": providers.url, "insecure": True}
    treasure = {**loopback, "provider": "treasure_insights"}
    place = {"organization": "acme", "workspace": "main", "project": "chatbot"}
    sources: list[Mapping[str, object]] = [
        {**treasure, "name": "insights", "secret": "build-courier/td", "backfill_hours": 1},
        {**treasure, "name": "revoked", "secret": "build-courier/revoked"},
        {**loopback, **place, "name": "red-team", "provider": "dreadnode_airt", "secret": "build-courier/dn"},
    ]
    scenario = _scenario()
    secrets = {
        "build-courier/td": scenario.treasure.key,
        "build-courier/dn": scenario.airt.key,
        "build-courier/revoked": "77/" + "0f" * 20,
    }
    settings = [parse_source(source) for source in sources]
    with Session(sources=settings, secrets=secrets, tick_seconds=0.2) as session:
        client = session.aws.client("ssm")
        path = session.aws.outputs["ParameterPath"]
        client.put_parameter(Name=f"{path}/broken", Value='{"name": "broken"}', Type="String")
        report = {"preset": {"format": "pdf", "sections": ["risk_score_metrics"]}}
        session.submit([BuildRequest.model_validate({"source": "red-team", "report": report})])
        # The second discovery finds builds in flight, and the source with the dead key backing off.
        for _ in range(2):
            session.aws.invoke("discover_builds", {})

        def advance(_: Sequence[BuildLine]) -> None:
            # No build ends before two of a data model were polled with one list call.
            if any('"BatchSize"' in line.text for line in session.aws.logs("poll_builds")):
                clock.advance(MINUTE_SECONDS)

        session.run(until_idle=True, timeout_seconds=60, on_change=advance, monotonic=time.monotonic)
        assert all(line.outcome for line in session.builds()), session.builds()
        yield from [line.text for line in session.aws.logs()]
