"""The Job-Poller loop on the embedded AWS, with the same provider and the same counting."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from unittest.mock import patch

from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.asl.eval.environment import Environment

from bench.polling.bill import Bill, count_usage
from bench.polling.lifecycle import (
    REPORT,
    SINGLE,
    LifecycleCost,
    LifecyclePlan,
    PollingMode,
    api_key,
    build_scenario,
    build_source,
    durations,
)
from bench.polling.sandboxes import MeasuredPool
from local.chaos.virtual_time import VirtualTime
from local.embedded.embedded_aws import EmbeddedAws
from local.simulator import Delay, FaultPlan, FaultRule, ManualClock, SimulatedProviders

TEMPLATE = Path(__file__).resolve().parent / "job_poller" / "template.yaml"
LOOP = PollingMode(name="Job-Poller loop, a report each", lists=False)
_CHECK_SECONDS = 0.005
_LONGEST_SECONDS = 600.0


def measure_loops(plan: LifecyclePlan) -> LifecycleCost:
    """Run one loop per build; all start together, because loops share nothing that would change their cost."""
    build_seconds = durations(plan.builds, seed=plan.seed)
    clock = ManualClock(datetime.now(UTC).replace(second=0, microsecond=0))
    scenario = build_scenario(SINGLE, build_seconds, build_seconds, plan)
    time = VirtualTime(clock)

    def wait(_: WaitFunction, env: Environment, wait_seconds: int) -> None:  # noqa: ARG001 - signature of moto
        time.pause(wait_seconds)

    with (
        SimulatedProviders(
            scenario, clock=clock, faults=FaultPlan(FaultRule(Delay(plan.latency_seconds), times=None))
        ) as providers,
        MeasuredPool(clock=clock) as sandboxes,
        # moto waits on the real clock.
        patch.object(WaitFunction, "_wait_interval", wait),
        EmbeddedAws(TEMPLATE, load_handler=sandboxes.load) as aws,
    ):
        source = build_source(SINGLE, scenario, providers.url)
        aws.client("secretsmanager").create_secret(Name=source.secret, SecretString=api_key(SINGLE, scenario))
        begun_at = clock()
        for _ in build_seconds:
            aws.start_execution("Loop", {"source": source.model_dump(mode="json"), "report": REPORT})
        try:
            _advance_time(aws, time)
        finally:
            time.close()
        executions = aws.executions()
        if failed := [execution.cause for execution in executions if execution.status != "SUCCEEDED"]:
            raise RuntimeError(f"loops failed: {failed[0]}")
        states = Counter(state for execution in executions for state in execution.states)
        bill = count_usage(invocations=sandboxes.invocations, executions=executions, publishes=states["Notify"])
        return LifecycleCost(
            mode=LOOP,
            builds=plan.builds,
            minutes=round((clock() - begun_at).total_seconds() / 60),
            mean_seconds=fmean(build_seconds),
            bill=bill,
            idle=Bill({}),
            lags=(),
            provider_requests=Counter(str(entry.kind) for entry in providers.requests),
            states=states,
            invocations=sandboxes.invocations,
        )


def _advance_time(aws: EmbeddedAws, time: VirtualTime) -> None:
    """Advance the clock whenever all executions wait, until all have ended."""
    pause = threading.Event().wait
    for _ in range(round(_LONGEST_SECONDS / _CHECK_SECONDS)):
        running = aws.active_count()
        if running == 0:
            return
        if time.waiting == running and (wake := time.next_wake()) is not None:
            time.move_to(wake)
        pause(_CHECK_SECONDS)
    raise TimeoutError(f"the loops did not end in {_LONGEST_SECONDS} s")
