"""Two hundred builds with random faults everywhere: in providers, AWS, functions and deliveries."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Final

from typing_extensions import override

from courier.models import BuildRequest
from local.chaos.checker import Allowance, check
from local.chaos.exchange_hooks import Exchange, kill_function
from local.chaos.experiment_runner import ChaosScenario, ExperimentRunner
from local.chaos.experiments import ExperimentResult, summarize
from local.chaos.fault_injectors import CountingInjector
from local.chaos.scenarios import (
    AIRT_SECRET,
    KIBIBYTE,
    LARGE_BYTES,
    REPORT,
    TREASURE_SECRET,
    airt_source,
    treasure_source,
)
from local.embedded.embedded_aws import EmbeddedAws
from local.embedded.interception import (
    STATE_MACHINE,
    AwsCall,
    AwsError,
    CallFault,
    DeliverTwice,
    DropResponse,
    FalseSuccess,
    Invocation,
    InvocationFault,
    ResponseFault,
    Throttle,
)
from local.simulator import (
    CHALLENGE_HEADERS,
    GATEWAY_TEXT,
    HTML_PAGE,
    AddText,
    AirtAccount,
    BuildPlan,
    CapitalIds,
    ChunkedBody,
    ConnectionEnd,
    CutBody,
    DataModel,
    DenyEtag,
    DropItems,
    ErrorStatus,
    Fault,
    FaultSample,
    InterimResponse,
    JobPlan,
    LinkExpired,
    OddRange,
    OtherEtag,
    Paginate,
    Project,
    ReorderItems,
    RepeatItems,
    RepeatLength,
    Reply,
    RequestKind,
    ResetBeforeReading,
    Scenario,
    ScheduledBuild,
    ScheduledJob,
    SetFields,
    SetHeaders,
    SimulatedProviders,
    TokenExpired,
    TreasureAccount,
    Unanswered,
    WriteTimes,
)

BUILDS: Final = 200
"""The number of builds of a storm."""

# After this time no more faults are injected, and everything has to complete.
_STORM_SECONDS: Final = 3_600
_STORM_MINUTES: Final = 60
_PUBLISH: Final = "sns:Publish"
_AWS_ERRORS: Final = (AwsError(400, "ThrottlingException"), AwsError(500, "InternalError"))

_API: Final[Sequence[Fault]] = (
    *(ErrorStatus(status) for status in (401, 429, 500, 502, 503, 504)),
    ErrorStatus(503, retry_after=6),
    Reply(200, HTML_PAGE),
    Reply(202, headers={"Retry-After": "6"}),
    Reply(401, HTML_PAGE),
    Reply(403, HTML_PAGE, headers=CHALLENGE_HEADERS),
    Reply(404, GATEWAY_TEXT, "text/plain"),
    CutBody(20),
    CutBody(20, ending=ConnectionEnd.RESET),
    ResetBeforeReading(),
    Unanswered(carried_out=False),
    SetFields({"status": "reticulating"}),
    WriteTimes("text"),
    WriteTimes("epoch_ms"),
    CapitalIds(),
    AddText(),
    Paginate(),
    RepeatItems(),
    ReorderItems(),
    DropItems(),
)
_STARTS: Final[Sequence[Fault]] = (Unanswered(), ErrorStatus(502, carried_out=True), ErrorStatus(503), CutBody(10))
_STORE: Final[Sequence[Fault]] = (
    ErrorStatus(500),
    ErrorStatus(503),
    ErrorStatus(429, retry_after=2),
    LinkExpired(),
    TokenExpired(),
    CutBody(5_000),
    CutBody(5_000, ending=ConnectionEnd.RESET),
    ResetBeforeReading(),
    OddRange("unsatisfiable"),
    OddRange("multipart"),
    OddRange("short"),
    OddRange("equals_sign"),
    DenyEtag(),
    OtherEtag(),
    ChunkedBody(),
    ChunkedBody(5_000),
    InterimResponse(),
    RepeatLength(),
    SetHeaders({"Content-Encoding": "aws-chunked"}),
)
# What creates objects, or parts of them.
_S3_WRITES: Final = frozenset(
    {"s3:PutObject", "s3:CreateMultipartUpload", "s3:UploadPart", "s3:CompleteMultipartUpload"}
)
_FALSE_SUCCESSES: Final = {
    "empty success of S3": FalseSuccess(),
    "page in the place of S3": FalseSuccess(HTML_PAGE),
}


class Storm(CountingInjector):
    """Injects random faults everywhere; the fault of the n-th occasion of a kind follows from the seed."""

    redrives = True

    def __init__(self, seed: int, *, intensity: float = 1.0) -> None:
        super().__init__()
        self.kinds: Counter[str] = Counter()
        self.repeatable = 0
        self._seed = seed
        self._intensity = intensity
        self._counts: Counter[str] = Counter()
        self._runner: ExperimentRunner | None = None
        self._minutes = 0
        self._guard = threading.Lock()

    @property
    def _is_over(self) -> bool:
        return self._minutes >= _STORM_MINUTES

    @override
    def tick(self, runner: ExperimentRunner) -> None:
        self._runner = runner
        self._minutes += 1
        if self._draw("second tick", {"two ticks at once": 0.2}):
            runner.aws.invoke_asynchronously("poll_builds", {})
            runner.aws.invoke_asynchronously("discover_builds", {})

    @override
    def before(self, exchange: Exchange) -> None:
        chance = {"killed before": 0.004, "connection broken before": 0.004}
        self._apply(self._draw(f"before {exchange}", chance))

    @override
    def after(self, exchange: Exchange) -> None:
        fault = self._draw(f"after {exchange}", {"killed after": 0.004, "response lost": 0.004})
        if fault is not None and exchange.call == _PUBLISH:
            self.repeatable += 1
        self._apply(fault)

    @override
    def before_call(self, call: AwsCall) -> CallFault | None:
        chances = {"throttled by AWS": 0.01, "error 500 of AWS": 0.01}
        if call.action in _S3_WRITES:
            chances |= {**dict.fromkeys(_FALSE_SUCCESSES, 0.01), "S3 lost the body": 0.01}
        match self._draw(f"{call.caller} {call.action}", chances):
            case "throttled by AWS":
                return _AWS_ERRORS[0]
            case "error 500 of AWS":
                return _AWS_ERRORS[1]
            case "S3 lost the body":
                return AwsError(400, "IncompleteBody")
            case None:
                return None
            case fault:
                return _FALSE_SUCCESSES[fault]

    @override
    def after_call(self, call: AwsCall, status: int) -> ResponseFault | None:
        if call.action in _S3_WRITES:
            fault = self._draw(f"{call.caller} {call.action} done", dict.fromkeys(_FALSE_SUCCESSES, 0.01))
            return _FALSE_SUCCESSES[fault] if fault else None
        if call.caller != STATE_MACHINE:
            return None
        if self._draw(f"{call.action} answered", {"response lost": 0.01}) is None:
            return None
        self.repeatable += call.action == _PUBLISH
        return DropResponse()

    @override
    def before_invocation(self, invocation: Invocation) -> InvocationFault | None:
        chance = {"event delivered twice": 0.02, "no capacity for a function": 0.02, "event delivered late": 0.02}
        match self._draw(invocation.function, chance):
            case "event delivered twice":
                return DeliverTwice()
            case "no capacity for a function":
                return Throttle()
            case "event delivered late" if self._runner is not None:
                self._runner.pause(90)
        return None

    @override
    def after_invocation(self, invocation: Invocation, *, error_type: str | None) -> DropResponse | None:
        lost = self._draw(f"{invocation.function} done", {"result of a function lost": 0.01})
        return DropResponse() if lost else None

    @staticmethod
    def _apply(fault: str | None) -> None:
        if fault is None:
            return
        if fault.startswith("killed"):
            kill_function()
        raise ConnectionRefusedError(111, "injected")

    def _draw(self, what: str, chances: dict[str, float]) -> str | None:
        """Draw the fault of the next occasion of a kind, and count it."""
        with self._guard:
            self._counts[what] += 1
            draw = Random(f"{self._seed}/{what}/{self._counts[what]}").random()  # noqa: S311 - a test
            if self._is_over:
                return None
            for fault, chance in chances.items():
                draw -= chance * self._intensity
                if draw < 0:
                    self.injected += 1
                    self.kinds[fault] += 1
                    return fault
        return None


def run_storm(runner: ExperimentRunner, seed: int, builds: int = BUILDS) -> ExperimentResult:
    """Run one storm, and check its evidence."""
    began = time.monotonic()
    storm, scenario = Storm(seed), storm_scenario(seed, builds)
    evidence = runner.run(scenario, storm)
    violations = check(evidence, Allowance(repeated_notices=storm.repeatable))
    kinds = storm.kinds + Counter(f"provider: {fault}" for entry in evidence.requests for fault in entry.faults)
    return summarize(
        evidence,
        violations,
        name=scenario.name,
        fault="storm",
        scenario=scenario.name,
        kinds=kinds,
        seconds=time.monotonic() - began,
    )


def provider_fault_sample(seed: int, *, probability: float = 0.05) -> FaultSample:
    """Return the provider faults of a storm."""
    status_requests = (RequestKind.LIST_BUILDS, RequestKind.GET_BUILD, RequestKind.GET_JOB, RequestKind.LIST_MODELS)
    faults: dict[RequestKind, Sequence[Fault]] = dict.fromkeys(status_requests, _API)
    faults |= dict.fromkeys((RequestKind.START_BUILD, RequestKind.START_JOB), _STARTS)
    faults[RequestKind.ARTIFACT] = _STORE
    return FaultSample(seed=seed, probability=probability, faults=faults)


def storm_scenario(seed: int, builds: int = BUILDS) -> ChaosScenario:
    """Return a scenario: two fifths of the builds at Treasure Insights, the rest reports, half of them requested."""
    random = Random(f"storm {seed}")  # noqa: S311 - a test
    listed, existing = builds * 2 // 5, builds * 3 // 10
    models = _models(random, listed)
    projects, requests = _projects(random, existing, builds - listed - existing)
    simulation = Scenario(treasure=TreasureAccount(models=models), airt=AirtAccount(projects=projects))
    artifact = {"hosts": ["localhost"], "private_addresses": True}

    def stop_faults(providers: SimulatedProviders, _: EmbeddedAws) -> None:
        providers.faults.clear()

    return ChaosScenario(
        name=f"storm {seed}",
        simulation=simulation,
        sources=lambda endpoint: [
            treasure_source(endpoint),
            *(airt_source(endpoint, project.slug, artifact=artifact) for project in projects),
        ],
        secrets={TREASURE_SECRET: simulation.treasure.key, AIRT_SECRET: simulation.airt.key},
        requests=requests,
        sample=provider_fault_sample(seed),
        events=[(_STORM_SECONDS, stop_faults)],
        least_minutes=20,
    )


def _models(random: Random, builds: int) -> tuple[DataModel, ...]:
    plans = [
        ScheduledBuild(
            BuildPlan(
                run_seconds=random.uniform(30, 900), final_status=random.choice(("done", "done", "failed", "canceled"))
            ),
            created_offset_seconds=random.uniform(0, 300),
            build_id=_id("b", number),
        )
        for number in range(builds)
    ]
    return tuple(
        DataModel(oid=_id("a", number), name=f"model_{number}", builds=tuple(plans[number::4])) for number in range(4)
    )


def _projects(
    random: Random, existing: int, started: int
) -> tuple[tuple[Project, ...], list[tuple[str, BuildRequest]]]:
    plan: Callable[[], JobPlan] = partial(_job_plan, random)
    jobs = [ScheduledJob(_id("c", number), plan()) for number in range(existing)]
    large = ScheduledJob(_id("d", 0), JobPlan(run_seconds=120, artifact_bytes=LARGE_BYTES))
    projects = tuple(
        Project(
            slug=f"project-{number}",
            uuid=_id("e", number),
            when_started=tuple(plan() for _ in range(started)),
            jobs=(*jobs[number::3], large) if number == 0 else tuple(jobs[number::3]),
        )
        for number in range(3)
    )
    requests = [
        (project.scope, BuildRequest(source=project.slug, build_id=job.job_id))
        for project in projects
        for job in project.jobs
    ]
    for number in range(started - 1):
        project = projects[number % 3]
        requests.append((project.scope, BuildRequest(source=project.slug, report=REPORT)))
    random.shuffle(requests)
    return projects, requests


def _job_plan(random: Random) -> JobPlan:
    return JobPlan(
        run_seconds=random.uniform(30, 600),
        final_status=random.choice(("completed", "completed", "completed", "failed")),
        artifact_bytes=random.randrange(16, 64) * KIBIBYTE,
    )


def _id(kind: str, number: int) -> str:
    return f"5d1d4f1c-{kind * 4}-4222-8333-{number:012x}"
