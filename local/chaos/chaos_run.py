"""A run of the courier on simulated providers that misbehave, and whether it kept its promises all the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from courier.config.settings import SourceSettings
from courier.errors import SourceError
from courier.models import BuildRequest
from local.chaos.checker import PROMISES, Allowance, Violation, check
from local.chaos.evidence import Evidence, SubmittedRequest, collect
from local.chaos.scenario_facts import api_keys, scheduled_ids, scopes_of
from local.chaos.storms import provider_fault_sample
from local.runs.run_report import RunReport
from local.runs.session import BuildLine, Session
from local.simulator import FaultPlan, FaultRule, ProviderName, RequestKind, Scenario, SimulatedProviders
from local.simulator.fault_files import describe
from local.simulator.fault_plan import InjectedFault
from local.simulator.faults import ReplaceBody, Reply
from local.simulator.faults_json import SetFields

CHAOS_SECONDS: Final = 20.0
"""How long faults come by chance; in the demonstration every build ends within this time, if nothing delays it."""

# Storms have hundreds of builds and strike each twentieth request; here there are some dozens of requests.
_PROBABILITY: Final = 0.3
# The template's schedule of discover_builds has come by once more, and a build that it found has ended.
_QUIET_MINUTES: Final = 11
# What a wrong answer of each kind of request may make of a build, whatever the provider's word for it is.
_STATUS_REQUESTS: Final = frozenset({RequestKind.GET_BUILD, RequestKind.GET_JOB, RequestKind.LIST_BUILDS})
_NOT_SEEN: Final = frozenset({"lost", "timed_out"})
_SPOILT: Final = frozenset({"undeliverable"})
_OTHER_STATUSES: Final = frozenset({"delivered", "succeeded", "failed", "canceled"})


@dataclass(frozen=True, kw_only=True)
class FaultProfile:
    """What the providers do wrong in a run: a list of rules, or what chance brings under a seed."""

    rules: Sequence[FaultRule] = ()
    seed: int | None = None

    def plan(self) -> FaultPlan:
        """Make the plan, which counts from its making on."""
        if self.seed is None:
            return FaultPlan(*self.rules)
        return FaultPlan(sample=provider_fault_sample(self.seed, probability=_PROBABILITY))

    def __str__(self) -> str:
        if self.seed is None:
            return f"by {len(self.rules)} rules"
        return f"by chance under seed {self.seed}, in the first {CHAOS_SECONDS:g} s"


@dataclass(frozen=True, kw_only=True)
class ChaosReport:
    """What came of a run with faults.

    ``injected``
        How often each fault met each kind of request; 0 for rules that nothing has matched.
    ``explained``
        What went otherwise than without faults, and may.
    """

    injected: Mapping[tuple[str, str], int]
    violations: Sequence[Violation]
    explained: Sequence[str] = ()
    builds: int = 0
    promises: int = field(default=len(PROMISES))

    @property
    def is_good(self) -> bool:
        """Whether every promise was kept."""
        return not self.violations


class ChaosRun:
    """Watches one run, lets the weather clear up, and judges.

    Parameters
    ----------
    providers
        Up, with the plan of ``profile``, and not asked for anything yet.
    links
        What the links are signed with; grows while the run goes on.
    tick_seconds
        How long a minute of the schedules lasts.
    """

    def __init__(
        self,
        profile: FaultProfile,
        providers: SimulatedProviders,
        scenario: Scenario,
        *,
        links: Sequence[str],
        tick_seconds: float,
        monotonic: Callable[[], float],
    ) -> None:
        self.profile = profile
        self._providers = providers
        self._scenario = scenario
        self._links = links
        self._quiet_seconds = _QUIET_MINUTES * tick_seconds
        self._monotonic = monotonic
        self._started = monotonic()
        self._faults_stopped = profile.seed is None
        self._scheduled = {build.build_id for build in providers.builds} | set(scheduled_ids(scenario))
        self._seen: object = None
        self._since = self._started

    def stop_faults_when_due(self) -> None:
        """Let chance end when its time is over; to be called now and then."""
        if not self._faults_stopped and self._monotonic() - self._started >= CHAOS_SECONDS:
            self._providers.faults.clear()
            self._faults_stopped = True

    def is_over(self, session: Session, lines: Sequence[BuildLine]) -> bool:
        """Whether the weather is clear, every source well, and nothing has changed for a while."""
        if not self._faults_stopped or session.failing_sources():
            self._seen = None
            return False
        seen = [(line.build, line.outcome) for line in lines]
        if seen != self._seen:
            self._seen, self._since = seen, self._monotonic()
        return self._monotonic() - self._since >= self._quiet_seconds

    def check_run(self, session: Session, sources: Sequence[SourceSettings], run_report: RunReport) -> ChaosReport:
        """Have the independent checker look at everything that the run has left."""
        injected_faults = self._providers.faults.injected
        evidence = self._evidence(session, sources)
        allowance = Allowance(outcomes_of=_explained_outcomes(evidence, injected_faults))
        violations = check(evidence, allowance)
        unexplained = [Violation("no failure", text) for text in _unexplained_dead_letters(run_report, injected_faults)]
        usual = {violation.detail for violation in violations}
        explained = [v.detail for v in check(evidence) if v.promise == "true record" and v.detail not in usual]
        return ChaosReport(
            injected=self._injected(injected_faults),
            violations=[*violations, *unexplained],
            explained=explained,
            builds=len(evidence.records),
        )

    def _injected(self, injected_faults: Sequence[InjectedFault]) -> dict[tuple[str, str], int]:
        counts = Counter((describe(fault.fault), str(fault.target.kind)) for fault in injected_faults)
        met = {name for name, _ in counts}
        idle = {(describe(rule.fault), str(rule.kind or "any")): 0 for rule in self.profile.rules}
        return dict(counts.most_common()) | {key: 0 for key in idle if key[0] not in met}

    def _evidence(self, session: Session, sources: Sequence[SourceSettings]) -> Evidence:
        scopes = scopes_of(self._scenario, sources)
        projects = {
            name: scope for (provider, scope), name in scopes.items() if provider is ProviderName.DREADNODE_AIRT
        }
        return collect(
            session.aws,
            self._providers,
            notices=session.notices(),
            dead_letters=session.dead_letters(),
            first_line=0,
            sources=scopes,
            submitted=[
                _submitted_request(request_id, request, projects) for request_id, request in session.requests.items()
            ],
            scheduled=frozenset(self._scheduled),
            history=frozenset(),
            secrets=[*api_keys(self._scenario), *self._links],
        )


def _submitted_request(request_id: str, request: BuildRequest, projects: Mapping[str, str]) -> SubmittedRequest:
    scope = request.data_model or request.scope or projects[request.source]
    return SubmittedRequest(
        request_id=request_id, source=request.source, scope=scope, existing_build_id=request.build_id
    )


def _explained_outcomes(evidence: Evidence, injected_faults: Sequence[InjectedFault]) -> dict[str, frozenset[str]]:
    """Say which outcomes a build may have because of what met the requests about it."""
    explained: dict[str, frozenset[str]] = {}
    for build in evidence.provider_builds:
        source = evidence.sources.get((build.provider, build.scope))
        outcomes: frozenset[str] = frozenset()
        for fault in injected_faults:
            if fault.target.scope == build.scope and fault.target.build_id in {"", build.build_id}:
                outcomes |= _possible_outcomes(fault)
        if source is not None and outcomes:
            explained[f"{source}/{build.scope}/{build.build_id}"] = outcomes
    return explained


def _possible_outcomes(fault: InjectedFault) -> frozenset[str]:
    kind = fault.target.kind
    if kind is RequestKind.ARTIFACT:
        return _SPOILT
    if kind not in _STATUS_REQUESTS:
        return frozenset()
    other = _OTHER_STATUSES if isinstance(fault.fault, SetFields | Reply | ReplaceBody) else frozenset()
    return _NOT_SEEN | other | (_SPOILT if kind is RequestKind.GET_JOB else frozenset())


def _unexplained_dead_letters(run_report: RunReport, injected_faults: Sequence[InjectedFault]) -> list[str]:
    """Give the calls that failed for good for another reason than what the providers did."""
    excused = {kind.__name__ for kind in _subclasses(SourceError)} if injected_faults else set()
    return [
        f"{dead_letter.function} failed: {dead_letter.error}: {dead_letter.message}"
        for dead_letter in dict.fromkeys(run_report.dead_letters)
        if dead_letter.error not in excused
    ]


def _subclasses(base: type[Exception]) -> set[type[Exception]]:
    return {base}.union(*(_subclasses(child) for child in base.__subclasses__()))
