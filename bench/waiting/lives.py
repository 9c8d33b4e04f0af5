"""Whole lives of builds, on a clock that stands still while something works: a minute takes as long as its work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import exp, log
from pathlib import Path
from random import Random
from statistics import NormalDist, fmean

from bench.waiting.bill import Bill, bill_of
from bench.waiting.capacity import CapacityMeter, metered
from bench.waiting.sandboxes import Run, Sandboxes
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
# The answer of a provider across the Internet; local.polling_study.workload has the same.
LATENCY_SECONDS = 0.15
HISTORY = 30
REPORT_BYTES = 64 * 1024
REPORT = {"preset": {"format": "pdf", "sections": ["risk_score_metrics"]}}
_QUEUE_SECONDS = 5.0
_LONGEST_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way of waiting; ``lists`` of an account that can list its builds, in so many ``scopes``."""

    name: str
    lists: bool
    scopes: int = 1


SINGLY = Way(name="asked one by one, a report each", lists=False)
LISTED = Way(name="listed and discovered, 5 scopes, no report", lists=True, scopes=5)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is run: builds that begin at moments as of a Poisson process, so that ``in_flight`` run at a time."""

    builds: int = 40
    in_flight: float = 10.0
    idle_minutes: int = 10
    latency_seconds: float = LATENCY_SECONDS
    seed: int = 1


@dataclass(frozen=True, kw_only=True)
class Lives:
    """What the builds of one way used, and how it was.

    ``idle``
        A minute with nothing in flight, on the same stack: what ticks cost that find nothing.
    """

    way: Way
    builds: int
    minutes: int
    mean_seconds: float
    bill: Bill
    idle: Bill
    lags: Sequence[float]
    provider_requests: Mapping[str, int]
    states: Mapping[str, int]
    runs: Sequence[Run] = field(repr=False, default=())

    def per_thousand(self, in_flight: float) -> Bill:
        """Give the bill of 1,000 builds, so many at a time.

        The ticks are shared by those in flight: a tick more or less than there were costs or saves a minute
        that is idle. What a look costs stays as measured, although more builds at a time share more of it.
        """
        minutes = self.builds * self.mean_seconds / MINUTE / in_flight
        return (self.bill + self.idle * (minutes - self.minutes)) * (1000 / self.builds)


def durations(count: int, *, seed: int, of: LogNormal = TWENTY_MINUTES) -> list[float]:
    """Give durations spread evenly over the distribution, so that few builds stand for many; in seconds, shuffled."""
    quantile = NormalDist(log(of.median_seconds), of.sigma).inv_cdf
    drawn = [exp(quantile((number + 0.5) / count)) for number in range(count)]
    Random(seed).shuffle(drawn)  # noqa: S311 - a benchmark, repeatable by its seed
    return drawn


def live(way: Way, plan: Plan) -> Lives:
    """Let all builds of a way be requested or discovered, waited for, copied, recorded and announced."""
    taken = durations(plan.builds, seed=plan.seed)
    starts = _starts(taken, plan)
    clock = ManualClock(datetime.now(UTC).replace(second=0, microsecond=0))
    scenario = scenario_of(way, taken, starts, plan)
    delayed = FaultPlan(FaultRule(Delay(plan.latency_seconds), times=None))
    with (
        SimulatedProviders(scenario, clock=clock, faults=delayed) as providers,
        Sandboxes(clock=clock) as sandboxes,
        EmbeddedAws(TEMPLATE, load_handler=sandboxes.load) as aws,
    ):
        source = source_of(way, scenario, providers.url)
        configure(aws, [source], {source.secret: key_of(way, scenario)})
        _remember(aws, way, source, clock)
        table = aws.client("dynamodb").describe_table(TableName=aws.outputs["LedgerTableName"])["Table"]
        life = _Life(aws, clock)
        # A source is known before its builds: the first discovery of all takes nothing for history.
        life.tick()
        seen = len(sandboxes.runs), len(providers.requests)
        with metered(table) as meter:
            requests = [] if way.lists else [clock() + timedelta(seconds=start) for start in starts]
            minutes = life.until_ended(source, requests, builds=plan.builds)
            states = Counter(state for run in aws.executions() for state in run.states)
            bill = _bill(life, sandboxes.runs[seen[0] :], meter, minutes, aws, requested=len(requests))
        asked = Counter(str(entry.kind) for entry in list(providers.requests)[seen[1] :])
        ended = len(sandboxes.runs)
        with metered(table) as idle_meter:
            for _ in range(plan.idle_minutes):
                life.pass_minute()
                life.tick()
            idle = bill_of(runs=sandboxes.runs[ended:], meter=idle_meter, ticks=life.ticks_in(plan.idle_minutes)) * (
                1 / max(1, plan.idle_minutes)
            )
        truth = {build.build_id: build.completed for build in providers.builds}
        return Lives(
            way=way,
            builds=plan.builds,
            minutes=minutes,
            mean_seconds=fmean(taken),
            bill=bill,
            idle=idle,
            lags=[lag for row in aws.ledger_rows() if (lag := _lag(row, truth)) is not None],
            provider_requests=asked,
            states=states,
            runs=sandboxes.runs[seen[0] : ended],
        )


class _Life:
    """The minutes of a stack, each with its ticks."""

    def __init__(self, aws: EmbeddedAws, clock: ManualClock) -> None:
        self._aws = aws
        self._clock = clock
        self._minute = 0

    def tick(self) -> None:
        """Let the schedules of this minute fire, and all that follows end."""
        event = {"scheduled_time": self._clock().isoformat()}
        if self._minute % DISCOVER_MINUTES == 0:
            self._invoke("discover_builds", event)
        self._invoke("poll_builds", event)
        self._aws.wait_until_idle(_LONGEST_SECONDS)

    def pass_minute(self, source: SourceSettings | None = None, requests: Sequence[datetime] = ()) -> None:
        """Move on to the next tick; builds are requested at their moments on the way."""
        next_tick = self._clock() + timedelta(seconds=MINUTE)
        for moment in requests if source else ():
            self._clock.advance((moment - self._clock()).total_seconds())
            self._invoke("request_build", {"source": source.name if source else "", "report": REPORT})
            self._aws.wait_until_idle(_LONGEST_SECONDS)
        self._clock.advance((next_tick - self._clock()).total_seconds())
        self._minute += 1

    def ticks_in(self, minutes: int) -> int:
        """Count the ticks of the last so many minutes."""
        first = self._minute - minutes
        return minutes + sum(minute % DISCOVER_MINUTES == 0 for minute in range(first, self._minute))

    def until_ended(self, source: SourceSettings, requests: Sequence[datetime], *, builds: int) -> int:
        """Go on until all builds have ended; gives the minutes that it took."""
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
    life: _Life, runs: Sequence[Run], meter: CapacityMeter, minutes: int, aws: EmbeddedAws, *, requested: int
) -> Bill:
    executions = aws.executions()
    failed = [execution.name for execution in executions if execution.status != "SUCCEEDED"]
    if failed:
        raise RuntimeError(f"executions failed: {failed}")
    publishes = sum(count for (caller, action, _), count in aws.calls().items() if _is_notice(caller, action))
    # Requests come by an event or a schedule of somebody; it is counted like a tick.
    ticks = life.ticks_in(minutes) + requested
    return bill_of(runs=runs, executions=executions, meter=meter, ticks=ticks, publishes=publishes)


def _is_notice(caller: str, action: str) -> bool:
    return (caller, action) == ("state_machine", "sns:Publish")


def configure(aws: EmbeddedAws, sources: Sequence[SourceSettings], secrets: Mapping[str, str]) -> None:
    """Put parameters and secrets where the functions look for them."""
    for name, value in secrets.items():
        aws.client("secretsmanager").create_secret(Name=name, SecretString=value)
    for source in sources:
        aws.client("ssm").put_parameter(
            Name=f"{aws.outputs['ParameterPath']}/{source.name}", Value=source.model_dump_json(), Type="String"
        )


def _remember(aws: EmbeddedAws, way: Way, source: SourceSettings, clock: ManualClock) -> None:
    """Give each scope the durations of builds that ended before."""
    ledger = SourceLedger(Table(aws.outputs["LedgerTableName"], aws.client("dynamodb")), clock)
    for number, scope in enumerate(_scopes(way)):
        for past, seconds in enumerate(durations(HISTORY, seed=100 + number)):
            ledger.store_duration(BuildRef(source=source.name, scope=scope, build_id=f"past-{past}"), seconds)


def _scopes(way: Way) -> list[str]:
    return [f"model-{number}" for number in range(way.scopes)] if way.lists else ["acme/main/chatbot"]


def _starts(taken: Sequence[float], plan: Plan) -> list[float]:
    random = Random(plan.seed)  # noqa: S311 - as above
    rate = plan.in_flight / fmean(taken)
    starts, now = [], MINUTE
    for _ in taken:
        now += random.expovariate(rate)
        starts.append(now)
    return starts


def scenario_of(way: Way, taken: Sequence[float], starts: Sequence[float], plan: Plan) -> Scenario:
    """Let builds take so long; those of an account that lists them begin by themselves."""
    if not way.lists:
        jobs = tuple(
            JobPlan(queue_seconds=_QUEUE_SECONDS, run_seconds=seconds - _QUEUE_SECONDS, artifact_bytes=REPORT_BYTES)
            for seconds in taken
        )
        project = Project(slug="chatbot", uuid="2489e9ad-2ee2-4e00-8ec9-32d5f69181c0", when_started=jobs)
        return Scenario(airt=AirtAccount(projects=(project,)))
    random = Random(plan.seed)  # noqa: S311 - as above
    builds: dict[str, list[ScheduledBuild]] = {oid: [] for oid in _scopes(way)}
    for start, seconds in zip(starts, taken, strict=True):
        build = ScheduledBuild(
            BuildPlan(queue_seconds=_QUEUE_SECONDS, run_seconds=seconds - _QUEUE_SECONDS),
            # The tick that lets the source be known comes first.
            created_offset_seconds=start + MINUTE,
        )
        builds[random.choice(list(builds))].append(build)
    models = tuple(DataModel(oid=oid, name=oid, builds=tuple(of_model)) for oid, of_model in builds.items())
    return Scenario(treasure=TreasureAccount(models=models))


def key_of(way: Way, scenario: Scenario) -> str:
    """Give the API key of the account."""
    return scenario.treasure.key if way.lists else scenario.airt.key


def source_of(way: Way, scenario: Scenario, endpoint: str) -> SourceSettings:
    """Configure the account as a source."""
    common = {"endpoint": endpoint, "insecure": True, "secret": "build-courier/key", "requests_per_minute": 60}
    if way.lists:
        return parse_source(
            {**common, "name": "insights", "provider": "treasure_insights", "data_models": _scopes(way)}
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


def _lag(row: Mapping[str, object], truth: Mapping[str, datetime | None]) -> float | None:
    """Give the seconds from a build's end to the outcome in the ledger."""
    completed = truth.get(str(row["build"]).rpartition("/")[2])
    if completed is None or "ended_at" not in row:
        return None
    return (datetime.fromisoformat(str(row["ended_at"])) - completed).total_seconds()
