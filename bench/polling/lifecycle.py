"""The whole lifecycle of builds, on a clock that stops while anything works: a minute takes as long as its work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import exp, log
from pathlib import Path
from random import Random
from statistics import NormalDist, fmean

from bench.polling.bill import Bill, count_usage
from bench.polling.capacity import CapacityMeter, metered
from bench.polling.sandboxes import MeasuredInvocation, MeasuredPool
from courier.config.settings import SourceSettings
from courier.ledger import SourceLedger, Table
from courier.models import BuildRef
from courier.providers import parse_source
from local.embedded.embedded_aws import EmbeddedAws
from local.polling_study.durations import LogNormal
from local.polling_study.workload import TWENTY_MINUTES
from local.simulator import (
    AirtAccount,
    BuildPlan,
    DataModel,
    Delay,
    FaultPlan,
    FaultRule,
    JobPlan,
    ManualClock,
    Project,
    Scenario,
    ScheduledBuild,
    SimulatedProviders,
    TreasureAccount,
)

TEMPLATE = Path(__file__).resolve().parent.parent.parent / "template.yaml"
MINUTE = 60.0
DISCOVER_MINUTES = 5
# The response time of a provider across the Internet; local.polling_study.workload has the same.
LATENCY_SECONDS = 0.15
HISTORY = 30
REPORT_BYTES = 64 * 1024
REPORT = {"preset": {"format": "pdf", "sections": ["risk_score_metrics"]}}
_QUEUE_SECONDS = 5.0
_LONGEST_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class PollingMode:
    """How builds are polled: one by one, or by lists of an account (``lists``) with this number of ``scopes``."""

    name: str
    lists: bool
    scopes: int = 1


SINGLE = PollingMode(name="polled one by one, a report each", lists=False)
LISTED = PollingMode(name="listed and discovered, 5 scopes, no report", lists=True, scopes=5)


@dataclass(frozen=True, kw_only=True)
class LifecyclePlan:
    """The measured builds: they start in a Poisson process, so that ``in_flight`` run at a time."""

    builds: int = 40
    in_flight: float = 10.0
    idle_minutes: int = 10
    latency_seconds: float = LATENCY_SECONDS
    seed: int = 1


@dataclass(frozen=True, kw_only=True)
class LifecycleCost:
    """What the builds of one mode used.

    ``idle``
        Usage of a minute with nothing in flight, on the same stack.
    """

    mode: PollingMode
    builds: int
    minutes: int
    mean_seconds: float
    bill: Bill
    idle: Bill
    lags: Sequence[float]
    provider_requests: Mapping[str, int]
    states: Mapping[str, int]
    invocations: Sequence[MeasuredInvocation] = field(repr=False, default=())

    def per_thousand(self, in_flight: float) -> Bill:
        """Return the usage of 1,000 builds with this number in flight.

        All builds in flight share the ticks, so each tick more or less than measured costs or saves an idle minute.
        The cost of a poll stays as measured, although more builds in flight share more of it.
        """
        minutes = self.builds * self.mean_seconds / MINUTE / in_flight
        return (self.bill + self.idle * (minutes - self.minutes)) * (1000 / self.builds)


def durations(count: int, *, seed: int, of: LogNormal = TWENTY_MINUTES) -> list[float]:
    """Return shuffled durations in seconds, spread evenly over the distribution, so that few builds represent many."""
    quantile = NormalDist(log(of.median_seconds), of.sigma).inv_cdf
    drawn = [exp(quantile((number + 0.5) / count)) for number in range(count)]
    Random(seed).shuffle(drawn)  # noqa: S311 - a benchmark, repeatable by its seed
    return drawn


def measure_lifecycle(mode: PollingMode, plan: LifecyclePlan) -> LifecycleCost:
    """Request or discover all builds of a mode, wait for them, copy, record and announce them."""
    build_seconds = durations(plan.builds, seed=plan.seed)
    starts = _starts(build_seconds, plan)
    clock = ManualClock(datetime.now(UTC).replace(second=0, microsecond=0))
    scenario = build_scenario(mode, build_seconds, starts, plan)
    delayed = FaultPlan(FaultRule(Delay(plan.latency_seconds), times=None))
    with (
        SimulatedProviders(scenario, clock=clock, faults=delayed) as providers,
        MeasuredPool(clock=clock) as sandboxes,
        EmbeddedAws(TEMPLATE, load_handler=sandboxes.load) as aws,
    ):
        source = build_source(mode, scenario, providers.url)
        configure(aws, [source], {source.secret: api_key(mode, scenario)})
        _store_history(aws, mode, source, clock)
        table = aws.client("dynamodb").describe_table(TableName=aws.outputs["LedgerTableName"])["Table"]
        stack = _Stack(aws, clock)
        # The first discovery of a source registers no builds that ended before it, so it runs before the builds.
        stack.tick()
        start = len(sandboxes.invocations), len(providers.requests)
        with metered(table) as meter:
            requests = [] if mode.lists else [clock() + timedelta(seconds=start) for start in starts]
            minutes = stack.until_ended(source, requests, builds=plan.builds)
            states = Counter(state for run in aws.executions() for state in run.states)
            bill = _bill(stack, sandboxes.invocations[start[0] :], meter, minutes, aws, requested=len(requests))
        provider_requests = Counter(str(entry.kind) for entry in list(providers.requests)[start[1] :])
        ended = len(sandboxes.invocations)
        with metered(table) as idle_meter:
            for _ in range(plan.idle_minutes):
                stack.pass_minute()
                stack.tick()
            idle = count_usage(
                invocations=sandboxes.invocations[ended:], meter=idle_meter, ticks=stack.ticks_in(plan.idle_minutes)
            ) * (1 / max(1, plan.idle_minutes))
        completions = {build.build_id: build.completed for build in providers.builds}
        return LifecycleCost(
            mode=mode,
            builds=plan.builds,
            minutes=minutes,
            mean_seconds=fmean(build_seconds),
            bill=bill,
            idle=idle,
            lags=[lag for row in aws.ledger_rows() if (lag := _lag(row, completions)) is not None],
            provider_requests=provider_requests,
            states=states,
            invocations=sandboxes.invocations[start[0] : ended],
        )


class _Stack:
    """A deployed stack whose minutes, each with its ticks, pass one by one."""

    def __init__(self, aws: EmbeddedAws, clock: ManualClock) -> None:
        self._aws = aws
        self._clock = clock
        self._minute = 0

    def tick(self) -> None:
        """Fire the schedules of this minute and wait until the stack is idle."""
        event = {"scheduled_time": self._clock().isoformat()}
        if self._minute % DISCOVER_MINUTES == 0:
            self._invoke("discover_builds", event)
        self._invoke("poll_builds", event)
        self._aws.wait_until_idle(_LONGEST_SECONDS)

    def pass_minute(self, source: SourceSettings | None = None, requests: Sequence[datetime] = ()) -> None:
        """Advance to the next tick and request builds at their times in between."""
        next_tick = self._clock() + timedelta(seconds=MINUTE)
        for moment in requests if source else ():
            self._clock.advance((moment - self._clock()).total_seconds())
            self._invoke("request_build", {"source": source.name if source else "", "report": REPORT})
            self._aws.wait_until_idle(_LONGEST_SECONDS)
        self._clock.advance((next_tick - self._clock()).total_seconds())
        self._minute += 1

    def ticks_in(self, minutes: int) -> int:
        """Return the number of ticks in the last minutes."""
        first = self._minute - minutes
        return minutes + sum(minute % DISCOVER_MINUTES == 0 for minute in range(first, self._minute))

    def until_ended(self, source: SourceSettings, requests: Sequence[datetime], *, builds: int) -> int:
        """Tick until all builds have ended, and return the number of minutes."""
        begun_at, left = self._minute, sorted(requests)
        while len(self._aws.executions()) < builds or self._aws.busy():
            until = self._clock() + timedelta(seconds=MINUTE)
            now, left = [each for each in left if each <= until], [each for each in left if each > until]
            self.pass_minute(source, now)
            self.tick()
            if self._minute - begun_at > 100 * builds:
                raise RuntimeError("the builds do not end")
        return self._minute - begun_at

    def _invoke(self, function: str, event: object) -> None:
        result = self._aws.invoke(function, event)
        if result.error_type is not None:
            raise RuntimeError(f"{function} failed: {result.payload}")


def _bill(
    stack: _Stack,
    invocations: Sequence[MeasuredInvocation],
    meter: CapacityMeter,
    minutes: int,
    aws: EmbeddedAws,
    *,
    requested: int,
) -> Bill:
    executions = aws.executions()
    failed = [execution.name for execution in executions if execution.status != "SUCCEEDED"]
    if failed:
        raise RuntimeError(f"executions failed: {failed}")
    publishes = sum(count for (caller, action, _), count in aws.calls().items() if _is_notice(caller, action))
    # A request arrives through an event or a schedule, which is counted like a tick.
    ticks = stack.ticks_in(minutes) + requested
    return count_usage(invocations=invocations, executions=executions, meter=meter, ticks=ticks, publishes=publishes)


def _is_notice(caller: str, action: str) -> bool:
    return (caller, action) == ("state_machine", "sns:Publish")


def configure(aws: EmbeddedAws, sources: Sequence[SourceSettings], secrets: Mapping[str, str]) -> None:
    """Store the parameters and secrets that the functions read."""
    for name, value in secrets.items():
        aws.client("secretsmanager").create_secret(Name=name, SecretString=value)
    for source in sources:
        aws.client("ssm").put_parameter(
            Name=f"{aws.outputs['ParameterPath']}/{source.name}", Value=source.model_dump_json(), Type="String"
        )


def _store_history(aws: EmbeddedAws, mode: PollingMode, source: SourceSettings, clock: ManualClock) -> None:
    """Store durations of ended builds for each scope."""
    ledger = SourceLedger(Table(aws.outputs["LedgerTableName"], aws.client("dynamodb")), clock)
    for number, scope in enumerate(_scopes(mode)):
        for past, seconds in enumerate(durations(HISTORY, seed=100 + number)):
            ledger.store_duration(BuildRef(source=source.name, scope=scope, build_id=f"past-{past}"), seconds)


def _scopes(mode: PollingMode) -> list[str]:
    return [f"model-{number}" for number in range(mode.scopes)] if mode.lists else ["acme/main/chatbot"]


def _starts(build_seconds: Sequence[float], plan: LifecyclePlan) -> list[float]:
    random = Random(plan.seed)  # noqa: S311 - as above
    rate = plan.in_flight / fmean(build_seconds)
    starts, now = [], MINUTE
    for _ in build_seconds:
        now += random.expovariate(rate)
        starts.append(now)
    return starts


def build_scenario(
    mode: PollingMode, build_seconds: Sequence[float], starts: Sequence[float], plan: LifecyclePlan
) -> Scenario:
    """Return a scenario with builds of these durations; builds of an account that lists them start on their own."""
    if not mode.lists:
        jobs = tuple(
            JobPlan(queue_seconds=_QUEUE_SECONDS, run_seconds=seconds - _QUEUE_SECONDS, artifact_bytes=REPORT_BYTES)
            for seconds in build_seconds
        )
        project = Project(slug="chatbot", uuid="2489e9ad-2ee2-4e00-8ec9-32d5f69181c0", when_started=jobs)
        return Scenario(airt=AirtAccount(projects=(project,)))
    random = Random(plan.seed)  # noqa: S311 - as above
    builds: dict[str, list[ScheduledBuild]] = {oid: [] for oid in _scopes(mode)}
    for start, seconds in zip(starts, build_seconds, strict=True):
        build = ScheduledBuild(
            BuildPlan(queue_seconds=_QUEUE_SECONDS, run_seconds=seconds - _QUEUE_SECONDS),
            # One minute later, because the tick that registers the source comes first.
            created_offset_seconds=start + MINUTE,
        )
        builds[random.choice(list(builds))].append(build)
    models = tuple(DataModel(oid=oid, name=oid, builds=tuple(of_model)) for oid, of_model in builds.items())
    return Scenario(treasure=TreasureAccount(models=models))


def api_key(mode: PollingMode, scenario: Scenario) -> str:
    """Return the API key of the account."""
    return scenario.treasure.key if mode.lists else scenario.airt.key


def build_source(mode: PollingMode, scenario: Scenario, endpoint: str) -> SourceSettings:
    """Return the settings of the account as a source."""
    common = {"endpoint": endpoint, "insecure": True, "secret": "build-courier/key", "requests_per_minute": 60}
    if mode.lists:
        return parse_source(
            {**common, "name": "insights", "provider": "treasure_insights", "data_models": _scopes(mode)}
        )
    project = scenario.airt.projects[0]
    return parse_source(
        {
            **common,
            "name": "red-team",
            "provider": "dreadnode_airt",
            "organization": project.organization,
            "workspace": project.workspace,
            "project": project.slug,
        }
    )


def _lag(row: Mapping[str, object], completions: Mapping[str, datetime | None]) -> float | None:
    """Return the seconds from the end of a build to its outcome in the ledger."""
    completed = completions.get(str(row["build"]).rpartition("/")[2])
    if completed is None or "ended_at" not in row:
        return None
    return (datetime.fromisoformat(str(row["ended_at"])) - completed).total_seconds()
