"""The Job-Poller loop on the same embedded AWS, with the same provider and the same counting."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from unittest.mock import patch

from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.asl.eval.environment import Environment

from bench.waiting.bill import Bill, bill_of
from bench.waiting.lives import REPORT, SINGLY, Lives, Plan, Way, durations, key_of, scenario_of, source_of
from bench.waiting.sandboxes import Sandboxes
from local.chaos.virtual_time import VirtualTime
from local.embedded.embedded_aws import EmbeddedAws
from local.simulator import Delay, FaultPlan, FaultRule, ManualClock, SimulatedProviders

TEMPLATE = Path(__file__).resolve().parent / "job_poller" / "template.yaml"
LOOP = Way(name="Job-Poller loop, a report each", lists=False)
_BEAT_SECONDS = 0.005
_LONGEST_SECONDS = 600.0


def live_in_loops(plan: Plan) -> Lives:
    """Let builds that begin together each go round their loop; nothing is shared, so together is like apart."""
    taken = durations(plan.builds, seed=plan.seed)
    clock = ManualClock(datetime.now(UTC).replace(second=0, microsecond=0))
    scenario = scenario_of(SINGLY, taken, taken, plan)
    time = VirtualTime(clock)

    def wait(_: WaitFunction, env: Environment, wait_seconds: int) -> None:  # noqa: ARG001 - moto's
        time.pause(wait_seconds)

    with (
        SimulatedProviders(
            scenario, clock=clock, faults=FaultPlan(FaultRule(Delay(plan.latency_seconds), times=None))
        ) as providers,
        Sandboxes(clock=clock) as sandboxes,
        # moto waits on the real clock only.
        patch.object(WaitFunction, "_wait_interval", wait),
        EmbeddedAws(TEMPLATE, load_handler=sandboxes.load) as aws,
    ):
        source = source_of(SINGLY, scenario, providers.url)
        aws.client("secretsmanager").create_secret(Name=source.secret, SecretString=key_of(SINGLY, scenario))
        begun_at = clock()
        for _ in taken:
            aws.start_execution("Loop", {"source": source.model_dump(mode="json"), "report": REPORT})
        try:
            _turn(aws, time)
        finally:
            time.close()
        executions = aws.executions()
        if failed := [execution.cause for execution in executions if execution.status != "SUCCEEDED"]:
            raise RuntimeError(f"loops failed: {failed[0]}")
        states = Counter(state for execution in executions for state in execution.states)
        bill = bill_of(runs=sandboxes.runs, executions=executions, publishes=states["Notify"])
        return Lives(
            way=LOOP,
            builds=plan.builds,
            minutes=round((clock() - begun_at).total_seconds() / 60),
            mean_seconds=fmean(taken),
            bill=bill,
            idle=Bill({}),
            lags=(),
            provider_requests=Counter(str(entry.kind) for entry in providers.requests),
            states=states,
            runs=sandboxes.runs,
        )


def _turn(aws: EmbeddedAws, time: VirtualTime) -> None:
    """Move the clock on whenever all executions wait, until none is left."""
    pause = threading.Event().wait
    for _ in range(round(_LONGEST_SECONDS / _BEAT_SECONDS)):
        running = aws.active_count()
        if running == 0:
            return
        if time.waiting == running and (wake := time.next_wake()) is not None:
            time.move_to(wake)
        pause(_BEAT_SECONDS)
    raise TimeoutError(f"the loops did not end in {_LONGEST_SECONDS} s")
