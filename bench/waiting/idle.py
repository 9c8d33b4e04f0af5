"""Minutes in which nothing is due: what they ask of AWS and of providers, and what they compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bench.waiting.bill import Bill, bill_of
from bench.waiting.capacity import CapacityMeter, metered
from bench.waiting.crowd import row_of
from bench.waiting.lives import DISCOVER_MINUTES, MINUTE, TEMPLATE, configure
from bench.waiting.sandboxes import Run, Sandboxes
from courier.models import BuildRef
from local.embedded.embedded_aws import EmbeddedAws
from local.runs.demo import demo_secrets, demo_sources
from local.simulator import ManualClock, Scenario, SimulatedProviders, TreasureAccount, demo_scenario

MINUTES_A_MONTH = 43_800
CALLS = 50


@dataclass(frozen=True, kw_only=True)
class Idleness:
    """Idle minutes of one kind, on a warm stack.

    ``requests``
        To DynamoDB by operation, in one tick of the poller.
    ``asked``
        Requests to providers by all those ticks.
    ``polls``
        The ticks, as their process saw them.
    ``month``
        What a month of nothing but such minutes uses, the discoveries in it too.
    """

    name: str
    sources: int
    requests: Mapping[str, float]
    asked: int
    polls: Sequence[Run]
    month: Bill


def idle(calls: int = CALLS) -> list[Idleness]:
    """Tick on a stack with three sources: with nothing in flight, and with a build that is not due yet."""
    clock = ManualClock(datetime.now(UTC).replace(second=0, microsecond=0))
    # An account without models: nothing is there to be discovered.
    scenario = Scenario(treasure=TreasureAccount(), airt=demo_scenario().airt)
    with (
        SimulatedProviders(scenario, clock=clock) as providers,
        Sandboxes(clock=clock, most_at_once=1) as sandboxes,
        EmbeddedAws(TEMPLATE, load_handler=sandboxes.load) as aws,
    ):
        sources = demo_sources(scenario, providers.url)
        configure(aws, sources, demo_secrets(scenario))
        table = aws.client("dynamodb").describe_table(TableName=aws.outputs["LedgerTableName"])["Table"]

        def measure(name: str) -> Idleness:
            polls, poll_meter, asked = ticks("poll_builds", calls)
            discoveries, meter, _ = ticks("discover_builds", 5)
            return Idleness(
                name=name,
                sources=len(sources),
                requests={kind: count / calls for kind, count in poll_meter.requests.items()},
                asked=asked,
                polls=polls,
                month=bill_of(runs=polls, meter=poll_meter, ticks=calls) * (MINUTES_A_MONTH / calls)
                + bill_of(runs=discoveries, meter=meter, ticks=5) * (MINUTES_A_MONTH / DISCOVER_MINUTES / 5),
            )

        def ticks(function: str, count: int) -> tuple[Sequence[Run], CapacityMeter, int]:
            once(function)
            before, asked = len(sandboxes.runs), len(providers.requests)
            with metered(table) as meter:
                for _ in range(count):
                    once(function)
            return sandboxes.runs[before:], meter, len(providers.requests) - asked

        def once(function: str) -> None:
            clock.advance(MINUTE)
            result = aws.invoke(function, {"scheduled_time": clock().isoformat()})
            if result.error_type is not None:
                raise RuntimeError(f"{function} failed: {result.payload}")

        nothing = measure("nothing in flight")
        ref = BuildRef(source="red-team", scope="acme/main/chatbot", build_id="not-due-yet")
        aws.client("dynamodb").put_item(
            TableName=aws.outputs["LedgerTableName"],
            Item=row_of(ref, clock(), clock() + timedelta(hours=12)),
        )
        return [nothing, measure("one build in flight, not due")]
