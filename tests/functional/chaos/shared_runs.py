"""Several provider faults in one run, each at a source of its own, so that they share the cost of the run only.

Health, backing off and rate limits are per source, and rules of the simulator match one scope: a fault meets the
builds of its own source. The checker says for each build what it may be; the names of the sources say which fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from courier.config.settings import SourceSettings
from courier.models import BuildRequest
from local.chaos.checker import Allowance, check
from local.chaos.evidence import Evidence
from local.chaos.experiment_runner import ChaosScenario, ExperimentRunner
from local.chaos.experiments import Experiment
from local.chaos.scenarios import (
    AIRT_SECRET,
    KIBIBYTE,
    LARGE_BYTES,
    REPORT,
    TREASURE_SECRET,
    airt_source,
    build_id,
    treasure_source,
)
from local.simulator import (
    AirtAccount,
    BuildPlan,
    DataModel,
    JobPlan,
    Project,
    RequestKind,
    Scenario,
    ScheduledBuild,
    ScheduledJob,
    TreasureAccount,
)

RUN_SIZE = 12
# The first poll of such a build is a minute after its registration, and the second one is before its end.
_RUN_SECONDS = 100
# The faults after which a source backs off or a copy is retried for long. A run with one of them lasts 11 to 41 minutes
# instead of six, in which all of its sources are polled, so they share runs.
_LASTING = {
    "API has moved for a while",
    "API refuses the key for a while",
    "API responds 202 with Retry-After",
    "API responds 401",
    "API responds 403",
    "API responds 405",
    "API responds 426",
    "API responds 429 with Retry-After",
    "API responds 503 with Retry-After",
    "gateway finds nothing for a while",
    "redirect of the API",
    "status goes backwards",
    "store is permanently down",
    "unknown final status",
}


@dataclass(frozen=True, kw_only=True)
class Share:
    """One experiment of a shared run: its source, and what the provider has for it."""

    experiment: Experiment
    name: str
    scope: str
    provided: DataModel | Project
    requests: Sequence[BuildRequest]

    def source(self, endpoint: str) -> SourceSettings:
        """Return the settings of the source."""
        if isinstance(self.provided, DataModel):
            return treasure_source(endpoint, name=self.name, data_models=[self.scope])
        return airt_source(endpoint, self.name, artifact={"hosts": ["localhost"], "private_addresses": True})


def shared_runs(experiments: Sequence[Experiment]) -> list[list[Experiment]]:
    """Divide experiments into runs of about the same size, apart by how long they last in virtual and in real time."""
    alike: dict[tuple[bool, bool], list[Experiment]] = {}
    for experiment in experiments:
        alike.setdefault((experiment.fault in _LASTING, experiment.quick_timeouts), []).append(experiment)
    runs = []
    for those in alike.values():
        count = -(-len(those) // RUN_SIZE)
        runs += [those[first::count] for first in range(count)]
    return runs


def failures(runner: ExperimentRunner, experiments: Sequence[Experiment]) -> list[str]:
    """Make one run, and return the broken promises, and the faults that were not injected."""
    shares = [_share(number, experiment) for number, experiment in enumerate(experiments)]
    evidence = runner.run(
        _scenario(shares),
        faults=[replace(rule, scope=share.scope) for share in shares for rule in share.experiment.rules],
        quick_timeouts=any(experiment.quick_timeouts for experiment in experiments),
    )
    injected = {entry.target.scope for entry in evidence.requests if entry.faults}
    return [
        *map(str, check(evidence, Allowance(outcomes_of=dict(_allowed_outcomes(shares, evidence))))),
        *(f"not injected: {share.experiment}" for share in shares if share.scope not in injected),
    ]


def _allowed_outcomes(shares: Sequence[Share], evidence: Evidence) -> Iterator[tuple[str, frozenset[str]]]:
    for share in shares:
        for build in evidence.provider_builds:
            if build.scope == share.scope:
                yield f"{share.name}/{build.scope}/{build.build_id}", share.experiment.allowance.outcomes


def _share(number: int, experiment: Experiment) -> Share:
    words = re.sub(r"[^a-z0-9]+", "-", f"{number}-{experiment.fault}".lower())
    name = words[:40].strip("-")
    is_start = experiment.where == "the request"
    if experiment.scenario == "insights":
        # Two due builds of a model are polled with one list call, and one alone with a request for it.
        only_lists = all(rule.kind is RequestKind.LIST_BUILDS for rule in experiment.rules)
        builds = 0 if is_start else 2 if only_lists or number % 2 else 1
        oid = f"5d1d4f1c-2222-4222-8333-{number:012x}"
        model = DataModel(
            oid=oid,
            name=name,
            builds=tuple(
                ScheduledBuild(BuildPlan(run_seconds=_RUN_SECONDS), build_id=build_id(100 + 2 * number + each))
                for each in range(builds)
            ),
            when_started=(BuildPlan(run_seconds=_RUN_SECONDS),),
        )
        request = BuildRequest(source=name, data_model=oid)
        return Share(
            experiment=experiment, name=name, scope=oid, provided=model, requests=[request] if is_start else []
        )
    size = LARGE_BYTES if experiment.scenario == "large" else 20 * KIBIBYTE
    plan = JobPlan(run_seconds=_RUN_SECONDS if experiment.scenario == "reports" else 50, artifact_bytes=size)
    job = ScheduledJob(build_id(100 + number), plan)
    project = Project(
        slug=name,
        uuid=f"2489e9ad-2222-4e00-8ec9-{number:012x}",
        jobs=() if is_start else (job,),
        when_started=(plan,),
    )
    request = BuildRequest(source=name, report=REPORT) if is_start else BuildRequest(source=name, build_id=job.job_id)
    return Share(experiment=experiment, name=name, scope=project.scope, provided=project, requests=[request])


def _scenario(shares: Sequence[Share]) -> ChaosScenario:
    provided = [share.provided for share in shares]
    simulation = Scenario(
        treasure=TreasureAccount(models=tuple(each for each in provided if isinstance(each, DataModel))),
        airt=AirtAccount(projects=tuple(each for each in provided if isinstance(each, Project))),
    )
    return ChaosScenario(
        name="shared",
        simulation=simulation,
        sources=lambda endpoint: [share.source(endpoint) for share in shares],
        secrets={TREASURE_SECRET: simulation.treasure.key, AIRT_SECRET: simulation.airt.key},
        requests=[(share.scope, request) for share in shares for request in share.requests],
    )
