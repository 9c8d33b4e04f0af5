"""A new account runs ten functions at once: builds that end together, many more than that, are only late."""

from __future__ import annotations

from collections import Counter

from typing_extensions import override

from courier.models import BuildRequest
from local.chaos.checker import check
from local.chaos.experiment_runner import ChaosScenario, ExperimentRunner, FaultInjector
from local.chaos.scenarios import AIRT_SECRET, KIBIBYTE, TREASURE_SECRET, airt_source, build_id, treasure_source
from local.embedded.interception import DropResponse, Invocation
from local.simulator import (
    AirtAccount,
    BuildPlan,
    DataModel,
    JobPlan,
    Project,
    Scenario,
    ScheduledBuild,
    ScheduledJob,
    TreasureAccount,
)

# As many builds for each place of the quota as 250 builds under the ten of a new account.
QUOTA = 4
BUILDS, REPORTS = 90, 10
END_SECONDS = 120
# First polled when they have ended: the end is what this test is about.
POLLING = {"first_seconds": 180, "longest_seconds": 300, "give_up_after_hours": 2}


class SlowFunctions(FaultInjector):
    """Lets functions take time, during which they occupy the quota: a minute for a copy."""

    def __init__(self, runner: ExperimentRunner) -> None:
        self._runner = runner

    @override
    def after_invocation(self, invocation: Invocation, *, error_type: str | None) -> DropResponse | None:
        self._runner.pause({"copy_artifact": 15.0, "record_outcome": 0.3}.get(invocation.function, 1.0))
        return None


def rush() -> ChaosScenario:
    """Return a scenario with builds that all end in the same second."""
    model = DataModel(
        oid="5d1d4f1c-1111-4222-8333-000000000009",
        name="model",
        builds=tuple(
            ScheduledBuild(BuildPlan(run_seconds=END_SECONDS), build_id=build_id(number)) for number in range(BUILDS)
        ),
    )
    project = Project(
        slug="chatbot",
        uuid="2489e9ad-2ee2-4e00-8ec9-000000000009",
        jobs=tuple(
            ScheduledJob(
                f"5d1d4f1c-2222-4222-8333-{number:012x}",
                JobPlan(run_seconds=END_SECONDS, artifact_bytes=16 * KIBIBYTE),
            )
            for number in range(REPORTS)
        ),
    )
    simulation = Scenario(treasure=TreasureAccount(models=(model,)), airt=AirtAccount(projects=(project,)))
    artifact = {"hosts": ["localhost"], "private_addresses": True}
    return ChaosScenario(
        name="rush",
        simulation=simulation,
        sources=lambda endpoint: [
            treasure_source(endpoint, polling=POLLING),
            airt_source(endpoint, project.slug, artifact=artifact, polling=POLLING),
        ],
        secrets={TREASURE_SECRET: simulation.treasure.key, AIRT_SECRET: simulation.airt.key},
        requests=[(project.scope, BuildRequest(source=project.slug, build_id=job.job_id)) for job in project.jobs],
        least_minutes=5,
    )


def test_a_hundred_builds_that_end_at_once_under_a_quota_of_four() -> None:
    with ExperimentRunner(concurrency_quota=QUOTA) as runner:
        evidence = runner.run(rush(), SlowFunctions(runner))
        usage = runner.aws.usage()
    assert check(evidence) == []
    assert Counter(run.status for run in evidence.executions) == {"SUCCEEDED": BUILDS + REPORTS}
    assert len(evidence.records) == BUILDS + REPORTS
    assert evidence.dead_letters == []
    # The quota mattered: otherwise nothing would be throttled.
    assert usage["record_outcome"].throttles > BUILDS
    assert usage["copy_artifact"].throttles > 0
