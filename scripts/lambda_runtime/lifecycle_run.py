"""Runs the whole lifecycle of builds of every provider, with the built functions in sandboxes."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local.embedded.function_spec import FunctionSpec
from local.runs.demo import demo_requests, demo_secrets, demo_sources
from local.runs.session import BuildLine, Session
from local.simulator import SimulatedProviders, demo_scenario
from scripts.lambda_runtime.pool import SandboxPool
from scripts.lambda_runtime.sandbox import FunctionCode

# Real seconds per minute of the template's schedules.
TICK_SECONDS = 1.5
LONGEST_SECONDS = 120.0
_SEED = 7

# Outcomes that must occur, by source.
EXPECTED = {"insights": {"succeeded", "failed", "canceled"}, "red-team": {"delivered"}, "sandbox": {"empty"}}


@dataclass(frozen=True, kw_only=True)
class LifecycleRun:
    """The result of a run; ``faults`` are one line each, and empty if the run passed."""

    seconds: float
    outcomes: Counter[tuple[str, str]]
    invocations: dict[str, int]
    faults: tuple[str, ...]


def run_lifecycle(python: Path, build: Path, layers: tuple[Path, ...]) -> LifecycleRun:
    """Run the simulated providers' builds from their request or discovery to their notice.

    Parameters
    ----------
    python
        Interpreter of an environment that contains awslambdaric and boto3 only.
    build, layers
        Folder of the built functions by logical id, and the folders of their layers.
    """

    def code_of(spec: FunctionSpec) -> FunctionCode:
        return FunctionCode(folder=build / spec.logical_id, layers=layers, handler=spec.handler)

    started = time.monotonic()
    scenario = demo_scenario()
    with (
        SimulatedProviders(scenario, seed=_SEED) as providers,
        SandboxPool(python, code_of) as pool,
        Session(
            sources=demo_sources(scenario, providers.url),
            secrets=demo_secrets(scenario),
            tick_seconds=TICK_SECONDS,
            load_handler=pool.load,
        ) as session,
    ):
        session.submit(demo_requests(scenario))
        session.run(
            until_idle=True, timeout_seconds=LONGEST_SECONDS, on_change=lambda _: None, monotonic=time.monotonic
        )
        result = session.finish()
        builds = session.builds()
        faults = [*_faults(builds)]
        faults += [f"execution {run.name} ended as {run.status}" for run in result.failed_executions]
        faults += [f"{letter.function} failed for good: {letter.message}" for letter in result.dead_letters]
        faults += [f"{source} is unhealthy: {words}" for source, words in result.unhealthy.items()]
        # One notice per build at least.
        if len(session.notices()) < len(builds):
            faults.append(f"{len(builds)} builds and {len(session.notices())} notices")
        return LifecycleRun(
            seconds=time.monotonic() - started,
            outcomes=Counter((line.ref[0], line.state) for line in builds),
            invocations={name: usage.invocations for name, usage in session.aws.usage().items()},
            faults=tuple(dict.fromkeys(faults)),
        )


def _faults(builds: list[BuildLine]) -> Iterator[str]:
    for line in builds:
        if line.outcome is None:
            yield f"{line.build} has no outcome; its status is {line.status}"
    seen: dict[str, set[str]] = {}
    for line in builds:
        seen.setdefault(line.ref[0], set()).add(line.state)
    for source, outcomes in EXPECTED.items():
        for outcome in sorted(outcomes - seen.get(source, set())):
            yield f"no build of {source} ended as {outcome}"
