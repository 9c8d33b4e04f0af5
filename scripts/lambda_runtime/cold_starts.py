"""Times the built functions from the start of their process to the first response, and profiles their imports."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local.embedded.function_spec import FunctionSpec
from scripts.lambda_runtime.import_profile import Imports, read_imports
from scripts.lambda_runtime.sandbox import FunctionCode, InvocationOutcome, Sandbox

TIMEOUT_SECONDS = 60.0
# Enough for a median that one disturbance does not move; more rounds follow while a target is missed.
SAMPLES = 7
ROUNDS = 3

# A function with one client may take this many times as long as a bare handler that creates the same client.
MAX_RATIO = 1.3
BARE_SERVICE = {"poll_builds": "dynamodb", "record_outcome": "s3"}

# The usual first event of each function.
FIRST_EVENT = {
    "poll_builds": "poll_builds.schedule.json",
    "record_outcome": "record_outcome.delivered.json",
    "request_build": "request_build.schedule.json",
    "copy_artifact": "copy_artifact.execution.json",
    "discover_builds": "discover_builds.schedule.json",
}

# Modules that no first invocation may import, by function; "*" stands for all. Functions that read the sources'
# parameters import boto3 through Powertools.
UNWANTED = {
    # The sample sources have the built-in providers only.
    "*": ("rich", "typer", "moto", "local", "cli", "courier.providers.http_json"),
    "poll_builds": ("boto3", "courier.transfer"),
    "record_outcome": ("boto3", "requests", "courier.config.settings", "courier.providers", "courier.transfer"),
}

_BARE = Path(__file__).with_name("bare_function")


@dataclass
class Timing:
    """Cold starts of one handler, in milliseconds, and the profile of one more."""

    name: str
    totals: list[float] = field(default_factory=list)
    inits: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)
    imports: Imports | None = None
    profiled_milliseconds: float = 0.0

    @property
    def median(self) -> float:
        """The median of the whole cold starts."""
        return statistics.median(self.totals)

    @property
    def cpu_median(self) -> float:
        """The median of the CPU time, which other load of the machine disturbs less."""
        return statistics.median(self.cpus)

    def describe(self) -> str:
        """Return median and minimum, the time until the imports at the top were finished, and the CPU time."""
        init = statistics.median(self.inits)
        return f"{self.median:5.0f} ms ({min(self.totals):4.0f})  init {init:4.0f}  cpu {self.cpu_median:4.0f}"

    def describe_imports(self) -> str:
        """Return the share of all imports in the profiled cold start, and the largest packages."""
        if self.imports is None:
            return "not profiled"
        share = self.imports.total_milliseconds / self.profiled_milliseconds
        return f"imports {share:.0%} of it: {self.imports.largest(6)}"


class ColdStartTimer:
    """Measures cold starts, each in a sandbox of its own.

    Parameters
    ----------
    python
        Interpreter of an environment that contains awslambdaric and boto3 only.
    specs
        The functions as deployed, by name.
    build, layers
        Folder of the built functions by logical id, and the folders of their layers.
    events
        Folder of the sample events.
    """

    def __init__(
        self,
        python: Path,
        specs: Mapping[str, FunctionSpec],
        *,
        build: Path,
        layers: tuple[Path, ...],
        events: Path,
    ) -> None:
        self._python = python
        self._specs = specs
        self._build = build
        self._layers = layers
        self._events = events

    def time_function(self, timing: Timing) -> InvocationOutcome:
        """Add one cold start of a function, with its usual first event."""
        with self._sandbox(timing.name) as sandbox:
            return _run(sandbox, self._event(FIRST_EVENT[timing.name]), timing)

    def time_bare(self, timing: Timing, service: str) -> InvocationOutcome:
        """Add one cold start of the bare handler for a service."""
        with Sandbox(self._python, FunctionCode(folder=_BARE), variables={"SERVICE": service}) as sandbox:
            return _run(sandbox, "{}", timing)

    def profile(self, timing: Timing) -> None:
        """Profile the imports of one more cold start."""
        with self._sandbox(timing.name, profile=True) as sandbox:
            sandbox.invoke(self._event(FIRST_EVENT[timing.name]), timeout_seconds=TIMEOUT_SECONDS)
            timing.imports = read_imports(sandbox.output())
            if sandbox.cold_start is not None:
                timing.profiled_milliseconds = sandbox.cold_start.total_seconds * 1000

    def rejected_events(self) -> list[str]:
        """Send every sample event to its built function and return those that it rejects."""
        faults = []
        for name in self._specs:
            with self._sandbox(name) as sandbox:
                for path in sorted(self._events.glob(f"{name}.*.json")):
                    outcome = sandbox.invoke(self._event(path.name), timeout_seconds=TIMEOUT_SECONDS)
                    if is_fault(outcome):
                        faults.append(f"events/{path.name}: {outcome.payload[:300]}")
        return faults

    def _sandbox(self, name: str, *, profile: bool = False) -> Sandbox:
        spec = self._specs[name]
        code = FunctionCode(folder=self._build / spec.logical_id, layers=self._layers, handler=spec.handler)
        return Sandbox(self._python, code, variables=spec.variables, name=spec.physical_name, profile=profile)

    def _event(self, name: str) -> str:
        return (self._events / name).read_text(encoding="utf-8")


def is_fault(outcome: InvocationOutcome) -> bool:
    """Return whether an invocation failed for a reason other than its provider.

    The samples name builds that the simulated providers do not know, so BuildNotFoundError is expected.
    """
    if outcome.error_type is None or outcome.error_type == "BuildNotFoundError":
        return False
    return not outcome.error_type.startswith(("Source", "Artifact"))


def unwanted_modules(timing: Timing) -> list[str]:
    """Return the modules that a function imported and does not use."""
    if timing.imports is None:
        return []
    unwanted: Sequence[str] = (*UNWANTED["*"], *UNWANTED.get(timing.name, ()))
    return sorted(
        module
        for module in timing.imports.modules
        if any(module == name or module.startswith(f"{name}.") for name in unwanted)
    )


def _run(sandbox: Sandbox, payload: str, timing: Timing) -> InvocationOutcome:
    outcome = sandbox.invoke(payload, timeout_seconds=TIMEOUT_SECONDS)
    if sandbox.cold_start is not None:
        timing.totals.append(sandbox.cold_start.total_seconds * 1000)
        timing.inits.append(sandbox.cold_start.init_seconds * 1000)
        timing.cpus.append(sandbox.cold_start.cpu_seconds * 1000)
    return outcome
