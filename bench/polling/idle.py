"""Minutes in which nothing is due: their requests to AWS and to providers, and their CPU time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bench.polling.bill import Bill, count_usage
from bench.polling.capacity import CapacityMeter, metered
from bench.polling.lifecycle import DISCOVER_MINUTES, MINUTE, TEMPLATE, configure
from bench.polling.load_test import ledger_row
from bench.polling.sandboxes import MeasuredInvocation, MeasuredPool
from courier.models import BuildRef
from local.embedded.embedded_aws import EmbeddedAws
from local.runs.demo import demo_secrets, demo_sources
from local.simulator import ManualClock, Scenario, SimulatedProviders, TreasureAccount, demo_scenario

MINUTES_A_MONTH = 43_800
CALLS = 50


@dataclass(frozen=True, kw_only=True)
class IdleCost:
    """The cost of idle minutes of one kind, on a warm stack.

    ``requests``
        Requests to DynamoDB by operation, in one tick of the poller.
    ``provider_requests``
        Requests to providers in all those ticks.
    ``polls``
        The measured ticks.
    ``month``
        Usage of a month of such minutes, including the discoveries.
    """

    name: str
    sources: int
    requests: Mapping[str, float]
    provider_requests: int
    polls: Sequence[MeasuredInvocation]
    month: Bill


def measure_idle(calls: int = CALLS) -> list[IdleCost]:
    """Tick on a stack with three sources: with nothing in flight, and with a build that is not due yet."""
    clock = ManualClock(datetime.now(UTC).replace(second=0, microsecond=0))
    # An account without models, so discovery finds nothing.
    scenario = Scenario(treasure=TreasureAccount(), airt=demo_scenario().airt)
    with (
        SimulatedProviders(scenario, clock=clock) as providers,
        MeasuredPool(clock=clock, max_concurrency=1) as sandboxes,
        EmbeddedAws(TEMPLATE, load_handler=sandboxes.load) as aws,
    ):
        sources = demo_sources(scenario, providers.url)
        configure(aws, sources, demo_secrets(scenario))
        table = aws.client("dynamodb").describe_table(TableName=aws.outputs["LedgerTableName"])["Table"]

        def measure(name: str) -> IdleCost:
            polls, poll_meter, provider_requests = ticks("poll_builds", calls)
            discoveries, meter, _ = ticks("discover_builds", 5)
            return IdleCost(
                name=name,
                sources=len(sources),
                requests={kind: count / calls for kind, count in poll_meter.requests.items()},
                provider_requests=provider_requests,
                polls=polls,
                month=count_usage(invocations=polls, meter=poll_meter, ticks=calls) * (MINUTES_A_MONTH / calls)
                + count_usage(invocations=discoveries, meter=meter, ticks=5) * (MINUTES_A_MONTH / DISCOVER_MINUTES / 5),
            )

        def ticks(function: str, count: int) -> tuple[Sequence[MeasuredInvocation], CapacityMeter, int]:
            once(function)
            before, provider_requests = len(sandboxes.invocations), len(providers.requests)
            with metered(table) as meter:
                for _ in range(count):
                    once(function)
            return sandboxes.invocations[before:], meter, len(providers.requests) - provider_requests

        def once(function: str) -> None:
            clock.advance(MINUTE)
            result = aws.invoke(function, {"scheduled_time": clock().isoformat()})
            if result.error_type is not None:
                raise RuntimeError(f"{function} failed: {result.payload}")

        nothing = measure("nothing in flight")
        ref = BuildRef(source="red-team", scope="acme/main/chatbot", build_id="not-due-yet")
        aws.client("dynamodb").put_item(
            TableName=aws.outputs["LedgerTableName"],
            Item=ledger_row(ref, clock(), clock() + timedelta(hours=12)),
        )
        return [nothing, measure("one build in flight, not due")]
