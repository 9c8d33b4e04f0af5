"""A run of the courier with injected provider faults, and the check that it kept its promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from courier.config.settings import SourceSettings
from courier.errors import SourceError
from courier.models import BuildRequest
from local.chaos.checker import PROMISES, Allowance, Violation, check, count_unfinished, execution_build
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
"""How long random faults are injected; in the demonstration every build ends within this time unless delayed."""

# Storms have hundreds of builds and a fault in every twentieth request; here there are some dozens of requests.
_PROBABILITY: Final = 0.3
# Enough for one more run of discover_builds, and for a build that it finds to end.
_QUIET_MINUTES: Final = 11
# The outcomes that a wrong response to a status request may lead to, whatever the provider's true status is.
_STATUS_REQUESTS: Final = frozenset({RequestKind.GET_BUILD, RequestKind.GET_JOB, RequestKind.LIST_BUILDS})
_NOT_SEEN: Final = frozenset({"lost", "timed_out"})
_SPOILT: Final = frozenset({"undeliverable"})
_OTHER_STATUSES: Final = frozenset({"delivered", "succeeded", "failed", "canceled"})


@dataclass(frozen=True, kw_only=True)
class FaultProfile:
    """The provider faults of a run: a list of rules, or random faults from a seed."""

    rules: Sequence[FaultRule] = ()
    seed: int | None = None

    def plan(self) -> FaultPlan:
        """Return a new plan, which counts requests from now on."""
        if self.seed is None:
            return FaultPlan(*self.rules)
        return FaultPlan(sample=provider_fault_sample(self.seed, probability=_PROBABILITY))

    def __str__(self) -> str:
        if self.seed is None:
            return f"by {len(self.rules)} rules"
        return f"at random from seed {self.seed}, in the first {CHAOS_SECONDS:g} s"


@dataclass(frozen=True, kw_only=True)
class ChaosReport:
    """The result of a run with faults.

    ``injected``
        How often each fault was injected into each kind of request; 0 for rules without a match.
    ``explained``
        Outcomes that differ from a run without faults, and are allowed because of the injected faults.
    ``unchecked``
        How many builds had no outcome when the run was stopped early: their promises were not checked.
    """

    injected: Mapping[tuple[str, str], int]
    violations: Sequence[Violation]
    explained: Sequence[str] = ()
    builds: int = 0
    unchecked: int = 0
    promises: int = field(default=len(PROMISES))

    @property
    def is_good(self) -> bool:
        """Whether every promise was kept."""
        return not self.violations


class ChaosRun:
    """Observes one run with injected faults, stops the faults after a while, and checks the result.

    Parameters
    ----------
    providers
        Running, with the plan of ``profile``, and without a request so far.
    links
        The secret values of the signed links; grows during the run.
    tick_seconds
        The length of one minute of the schedules.
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
        """Stop random faults after `CHAOS_SECONDS`; to be called regularly."""
        if not self._faults_stopped and self._monotonic() - self._started >= CHAOS_SECONDS:
            self._providers.faults.clear()
            self._faults_stopped = True

    def is_over(self, session: Session, lines: Sequence[BuildLine]) -> bool:
        """Return whether no more faults are injected, every source is healthy, and no build has changed for a while."""
        if not self._faults_stopped or session.failing_sources():
            self._seen = None
            return False
        seen = [(line.build, line.outcome) for line in lines]
        if seen != self._seen:
            self._seen, self._since = seen, self._monotonic()
        return self._monotonic() - self._since >= self._quiet_seconds

    def check_run(
        self, session: Session, sources: Sequence[SourceSettings], run_report: RunReport, *, stopped_early: bool
    ) -> ChaosReport:
        """Check the evidence of the run with the independent checker.

        Of a run that was stopped early, by its timeout or its user, only the builds are checked that have ended.
        """
        injected_faults = self._providers.faults.injected
        # Before the evidence is collected: work may still be in progress.
        ended = _ended_builds(session) if stopped_early else None
        evidence = self._evidence(session, sources)
        allowance = Allowance(outcomes_of=_explained_outcomes(evidence, injected_faults), ended=ended)
        violations = check(evidence, allowance)
        unexplained = [Violation("no failure", text) for text in _unexplained_dead_letters(run_report, injected_faults)]
        usual = {violation.detail for violation in violations}
        explained = [
            v.detail
            for v in check(evidence, Allowance(ended=ended))
            if v.promise == "true record" and v.detail not in usual
        ]
        return ChaosReport(
            injected=self._injected(injected_faults),
            violations=[*violations, *unexplained],
            explained=explained,
            builds=len(evidence.records) if ended is None else len(ended),
            unchecked=0 if ended is None else count_unfinished(evidence, ended),
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


def _ended_builds(session: Session) -> frozenset[str]:
    """Return the builds with an outcome whose execution has ended as well."""
    running = {execution_build(run) for run in session.aws.executions() if run.status == "RUNNING"}
    return frozenset({line.build for line in session.builds() if line.outcome is not None} - running)


def _submitted_request(request_id: str, request: BuildRequest, projects: Mapping[str, str]) -> SubmittedRequest:
    scope = request.data_model or request.scope or projects[request.source]
    return SubmittedRequest(
        request_id=request_id, source=request.source, scope=scope, existing_build_id=request.build_id
    )


def _explained_outcomes(evidence: Evidence, injected_faults: Sequence[InjectedFault]) -> dict[str, frozenset[str]]:
    """Return the outcomes that builds may have because of the faults in requests about them."""
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
    """Return the invocations that failed for good for another reason than an injected fault."""
    excused = {kind.__name__ for kind in _subclasses(SourceError)} if injected_faults else set()
    return [
        f"{dead_letter.function} failed: {dead_letter.error}: {dead_letter.message}"
        for dead_letter in dict.fromkeys(run_report.dead_letters)
        if dead_letter.error not in excused
    ]


def _subclasses(base: type[Exception]) -> set[type[Exception]]:
    return {base}.union(*(_subclasses(child) for child in base.__subclasses__()))
