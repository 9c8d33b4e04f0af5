"""What both engines run: the simulated providers, the sources, and the builds with the end that each must come to."""

from dataclasses import dataclass

from courier.models import Outcome
from local.simulator import (
    AirtAccount,
    BuildPlan,
    DataModel,
    Delay,
    FaultPlan,
    FaultRule,
    JobPlan,
    Project,
    RequestKind,
    Scenario,
    ScheduledBuild,
    SimulatedProviders,
    TreasureAccount,
)

# The stack that plays the scenario, and the prefix of its secrets; beside it runs one that was updated.
SECOND = "courier-second"
SECOND_PREFIX = f"{SECOND}/"
SEED = 7
INSIGHTS = "insights"
REPORT = {"preset": {"format": "pdf", "sections": ["risk_score_metrics"]}}
# The organization and workspace of every simulated project.
_OWNER = "acme/main"

_MIB = 1024 * 1024
# Polled as soon as possible: a build takes a second.
_POLLING = {"first_seconds": 0.5, "longest_seconds": 2, "give_up_after_hours": 24}
# A copy that has little time begins no part after four seconds: six parts, one for each worker, are under way then.
LITTLE_TIME_SECONDS = 64.0
_SLOW_PARTS = 6
_SLOW_SECONDS = 5.0
# All parts but the first of the copy that is killed hang: its process is killed before.
HANGING_PARTS = 2
_HANG = Delay(60.0)

_WAITED_FOR_REPORT = ("RouteBuild", "WaitForReport", "CopyArtifact", "RecordOutcome", "Notify")
_WAITED_FOR_BUILD = ("RouteBuild", "WaitForBuild", "RecordOutcome", "Notify")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One execution.

    ``name``
        The name of the Dreadnode source and project, or of the data model.
    ``plan``
        What the provider does with the build when it is requested; None if nothing is requested.
    ``states``
        The states that the execution enters, in order.
    ``status``
        How the execution ends.
    """

    name: str
    outcome: Outcome | None
    states: tuple[str, ...]
    plan: JobPlan | BuildPlan | None = None
    status: str = "SUCCEEDED"

    @property
    def is_report(self) -> bool:
        """Whether the build is a Dreadnode report."""
        return isinstance(self.plan, JobPlan)

    @property
    def source(self) -> str:
        """The source of the build."""
        return self.name if self.is_report else INSIGHTS

    @property
    def scope(self) -> str:
        """The scope of the build."""
        return f"{_OWNER}/{self.name}" if self.is_report else data_model_id(self.name)

    def request(self) -> dict[str, object]:
        """Return the request for the build."""
        if self.is_report:
            return {"source": self.source, "report": REPORT}
        return {"source": self.source, "data_model": self.scope}


def _report(name: str, size: int = 300_000, *, outcome: Outcome = Outcome.DELIVERED, status: str = "completed") -> Case:
    plan = JobPlan(queue_seconds=0.2, run_seconds=0.5, artifact_bytes=size, final_status=status)  # type: ignore[arg-type]
    return Case(name=name, outcome=outcome, states=_WAITED_FOR_REPORT, plan=plan)


def _build(name: str, outcome: Outcome, status: str = "done") -> Case:
    plan = BuildPlan(queue_seconds=0.2, run_seconds=0.5, final_status=status)  # type: ignore[arg-type]
    return Case(name=name, outcome=outcome, states=_WAITED_FOR_BUILD, plan=plan)


SMALL = _report("small")
PLAIN = (
    SMALL,
    _report("three-parts", 20 * _MIB),
    _report("report-failed", outcome=Outcome.FAILED, status="failed"),
    _build("succeeds", Outcome.SUCCEEDED),
    _build("fails", Outcome.FAILED, "failed"),
    _build("is-canceled", Outcome.CANCELED, "canceled"),
)
# Registered by `request_build` itself, to which the provider answers that there is nothing to report.
EMPTY = Case(name="empty", outcome=Outcome.EMPTY, states=("RouteBuild", "RecordOutcome", "Notify"), plan=JobPlan())
# Found by `discover_builds`, and not requested.
ENDED_EARLIER = Case(name="ended-earlier", outcome=Outcome.SUCCEEDED, states=("RouteBuild", "RecordOutcome", "Notify"))
CONTINUED = _report("continued", 64 * _MIB)
KILLED = _report("killed", 20 * _MIB)
THROTTLED = _report("throttled")
# Neither ends by itself.
LATE_REPORT = Case(
    name="late-report",
    outcome=Outcome.TIMED_OUT,
    states=("RouteBuild", "WaitForReport", "RecordTimeout", "RouteTimeout", "Notify"),
    plan=JobPlan(run_seconds=1e6),
)
LATE_BUILD = Case(
    name="late-build",
    outcome=Outcome.TIMED_OUT,
    states=("RouteBuild", "WaitForBuild", "RecordTimeout", "RouteTimeout", "Notify"),
    plan=BuildPlan(run_seconds=1e6),
)
UNKNOWN_SOURCE = Case(name="unknown-source", outcome=None, states=("RouteBuild", "CopyArtifact"), status="FAILED")
MISSING_TABLE = Case(name="missing-table", outcome=None, states=("RouteBuild", "WaitForReport"), status="FAILED")

REQUESTED = (*PLAIN, EMPTY, CONTINUED, KILLED, THROTTLED, LATE_REPORT, LATE_BUILD)
CASES = (*REQUESTED, ENDED_EARLIER, UNKNOWN_SOURCE, MISSING_TABLE)


def providers(*, hangs: bool = False) -> SimulatedProviders:
    """Return the simulated providers; with ``hangs``, the download of the copy hangs that is to be killed."""
    reports = [case for case in REQUESTED if isinstance(case.plan, JobPlan)]
    models = [case for case in REQUESTED if isinstance(case.plan, BuildPlan)]
    earlier = ScheduledBuild(BuildPlan(), created_offset_seconds=-3600)
    slow = FaultRule(
        Delay(_SLOW_SECONDS), RequestKind.ARTIFACT, scope=CONTINUED.scope, ranged=True, nth=2, times=_SLOW_PARTS
    )
    hanging = FaultRule(_HANG, RequestKind.ARTIFACT, scope=KILLED.scope, ranged=True, nth=2, times=HANGING_PARTS)
    return SimulatedProviders(
        Scenario(
            treasure=TreasureAccount(
                models=(
                    *(
                        DataModel(oid=case.scope, name=case.name, when_started=(case.plan,))
                        for case in models
                        if isinstance(case.plan, BuildPlan)
                    ),
                    DataModel(oid=ENDED_EARLIER.scope, name=ENDED_EARLIER.name, builds=(earlier,)),
                )
            ),
            airt=AirtAccount(
                projects=tuple(
                    project(case.name, case.plan, is_empty=case is EMPTY)
                    for case in reports
                    if isinstance(case.plan, JobPlan)
                )
            ),
        ),
        seed=SEED,
        faults=FaultPlan(slow, *([hanging] if hangs else [])),
    )


def hanging(simulated: SimulatedProviders) -> int:
    """Return how many downloads hang, or did."""
    return sum(injected.fault is _HANG for injected in simulated.faults.injected)


def project(name: str, plan: JobPlan, *, is_empty: bool = False) -> Project:
    """Return a project whose every report takes this course."""
    return Project(
        slug=name,
        uuid=_uuid(name),
        empty_sections=("risk_score_metrics",) if is_empty else (),
        when_started=(plan,),
    )


def sources(endpoint: str, *, secret_prefix: str) -> list[dict[str, object]]:
    """Return the sources of all cases, as a user writes them."""
    insights = {
        "name": INSIGHTS,
        "provider": "treasure_insights",
        "endpoint": endpoint,
        "secret": f"{secret_prefix}treasure-data",
        "data_models": "all",
        "backfill_hours": 2,
    }
    names = [case.name for case in REQUESTED if case.is_report]
    return [
        _shared(document)
        for document in (insights, *(report_source(name, endpoint, secret_prefix=secret_prefix) for name in names))
    ]


def report_source(name: str, endpoint: str, *, secret_prefix: str) -> dict[str, object]:
    """Return the source of one Dreadnode project, as a user writes it."""
    organization, workspace = _OWNER.split("/")
    return _shared(
        {
            "name": name,
            "provider": "dreadnode_airt",
            "endpoint": endpoint,
            "secret": f"{secret_prefix}dreadnode",
            "organization": organization,
            "workspace": workspace,
            "project": name,
        }
    )


def secrets(secret_prefix: str) -> dict[str, str]:
    """Return the API keys of the simulated accounts by their secrets' names."""
    return {f"{secret_prefix}treasure-data": TreasureAccount().key, f"{secret_prefix}dreadnode": AirtAccount().key}


def data_model_id(name: str) -> str:
    """Return the id of a data model."""
    return _uuid(name)


def _shared(document: dict[str, object]) -> dict[str, object]:
    return document | {"insecure": True, "requests_per_minute": 10_000, "polling": _POLLING}


def _uuid(name: str) -> str:
    digits = name.encode().hex().ljust(32, "0")[:32]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"
