"""``python -m scripts.lambda_runtime``: run the built functions as Lambda does, and time their cold starts.

Needs the output of `make build`, the dependencies built for this machine in ``.aws-sam/runtime``, and
``.venv-runtime``; `make verify-runtime` provides all three.
"""

import sys
from pathlib import Path

from local.embedded.function_runtime import Handler, LambdaContext
from local.embedded.function_spec import FunctionSpec
from local.runs.demo import demo_secrets, demo_sources
from local.runs.session import Session
from local.simulator import SimulatedProviders, demo_scenario
from scripts.lambda_runtime.cold_starts import (
    BARE_SERVICE,
    FIRST_EVENT,
    MAX_RATIO,
    ROUNDS,
    SAMPLES,
    ColdStartTimer,
    Timing,
    is_fault,
    unwanted_modules,
)
from scripts.lambda_runtime.lifecycle_run import run_lifecycle

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-runtime/bin/python"
BUILD = ROOT / ".aws-sam/build"
LAYERS = (BUILD / "CourierLayer", ROOT / ".aws-sam/runtime/DependenciesLayer")


def show_lifecycle() -> list[str]:
    """Run the whole lifecycle of the simulated providers' builds and return the faults."""
    run = run_lifecycle(PYTHON, BUILD, LAYERS)
    outcomes = ", ".join(f"{source} {outcome} {count}" for (source, outcome), count in sorted(run.outcomes.items()))
    print(f"lifecycles of {run.outcomes.total()} builds in {run.seconds:.0f} s: {outcomes}")
    print(f"invocations: {', '.join(f'{name} {count}' for name, count in run.invocations.items())}")
    return list(run.faults)


def show_cold_starts() -> list[str]:
    """Time the cold starts beside the bare handlers, send all sample events, and return the faults."""
    specs: dict[str, FunctionSpec] = {}

    def remember(spec: FunctionSpec) -> Handler:
        specs[spec.name] = spec
        return _not_called

    scenario = demo_scenario()
    with (
        SimulatedProviders(scenario, seed=1) as providers,
        Session(sources=demo_sources(scenario, providers.url), secrets=demo_secrets(scenario), load_handler=remember),
    ):
        watch = ColdStartTimer(PYTHON, specs, build=BUILD, layers=LAYERS, events=ROOT / "events")
        print("cold starts in ms: median (minimum) of the whole, of the imports at the top (init), and CPU time")
        faults = [fault for name in FIRST_EVENT for fault in _show_function(watch, name)]
        rejected = watch.rejected_events()
        count = len(list((ROOT / "events").iterdir()))
        print(f"sample events: the built functions accept {count - len(rejected)} of {count}")
    return faults + rejected


def _show_function(watch: ColdStartTimer, name: str) -> list[str]:
    timing, service = Timing(name), BARE_SERVICE.get(name)
    bare = Timing(f"bare, with a client of {service}")
    faults = set()
    for _ in range(ROUNDS):
        # Alternating, so that other load of the machine disturbs both equally.
        for _ in range(SAMPLES):
            outcome = watch.time_function(timing)
            if is_fault(outcome):
                faults.add(f"{name}: {outcome.payload[:500]}")
            if service:
                watch.time_bare(bare, service)
        if faults or not service or timing.median < MAX_RATIO * bare.median:
            break
    watch.profile(timing)
    print(f"{name:16} {timing.describe()}  {timing.describe_imports()}")
    if service:
        ratio, cpu_ratio = timing.median / bare.median, timing.cpu_median / bare.cpu_median
        # Reported and no error: on a busy machine a slow start is not the fault of the change under test.
        mark = "met" if ratio < MAX_RATIO else "missed"
        share = f"{ratio:.2f} times that (CPU time {cpu_ratio:.2f})"
        print(f"{'':16} {bare.describe()}  {bare.name}: {share}, target {MAX_RATIO}: {mark}")
    if unwanted := unwanted_modules(timing):
        faults.add(f"{name} imports what it does not use: {', '.join(unwanted[:10])}")
    return sorted(faults)


def _not_called(event: object, context: LambdaContext) -> object:  # noqa: ARG001 - the signature of a handler
    raise AssertionError("no function may run while cold starts are timed")


def main() -> int:
    """Run both and return the exit code, which is 1 if there are faults."""
    faults = [*show_lifecycle(), *show_cold_starts()]
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
