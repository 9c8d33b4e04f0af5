"""The whole life of builds of every provider, through the state machine, with the built functions in sandboxes."""

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
from scripts.lambda_runtime.sandbox import ColdStart, FunctionCode

# A minute of the template's schedules; a tick is an invocation of a process here.
TICK_SECONDS = 1.5
LONGEST_SECONDS = 120.0
_SEED = 7

# What one life of each provider must have seen, by source.
EXPECTED = {"insights": {"succeeded", "failed", "canceled"}, "red-team": {"delivered"}, "sandbox": {"empty"}}


@dataclass(frozen=True, kw_only=True)
class LifecycleRun:
    """How it went.

    ``cold_starts``
        Of the functions' first sandboxes, with real work in the first invocation.
    ``faults``
        One line each; none is good.
    """

    seconds: float
    outcomes: Counter[tuple[str, str]]
    invocations: dict[str, int]
    cold_starts: dict[str, list[ColdStart]]
    faults: tuple[str, ...]


def run_lifecycle(python: Path, build: Path, layers: tuple[Path, ...]) -> LifecycleRun:
    """Let the simulated providers' builds go from their request or discovery to their notice.

    Parameters
    ----------
    python
        Of an environment that holds awslambdaric and boto3 only.
    build, layers
        Where the built functions lie, by logical id, and the layers below them.
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
        verdict = session.finish()
        builds = session.builds()
        faults = [*_faults(builds)]
        faults += [f"execution {run.name} ended as {run.status}" for run in verdict.failed_executions]
        faults += [f"{letter.function} failed for good: {letter.message}" for letter in verdict.dead_letters]
        faults += [f"{source} is ill: {words}" for source, words in verdict.unhealthy.items()]
        # One notice per build at least.
        if len(session.notices()) < len(builds):
            faults.append(f"{len(builds)} builds and {len(session.notices())} notices")
        return LifecycleRun(
            seconds=time.monotonic() - started,
            outcomes=Counter((line.ref[0], line.state) for line in builds),
            invocations={name: usage.invocations for name, usage in session.aws.usage().items()},
            cold_starts=pool.cold_starts(),
            faults=tuple(dict.fromkeys(faults)),
        )


def _faults(builds: list[BuildLine]) -> Iterator[str]:
    for line in builds:
        if line.outcome is None:
            yield f"{line.build} has no outcome, it is {line.status}"
    seen: dict[str, set[str]] = {}
    for line in builds:
        seen.setdefault(line.ref[0], set()).add(line.state)
    for source, outcomes in EXPECTED.items():
        for outcome in sorted(outcomes - seen.get(source, set())):
            yield f"no build of {source} ended as {outcome}"
