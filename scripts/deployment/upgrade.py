"""A stack of the first version, with builds in flight, and its update in place."""

from collections.abc import Mapping

from courier.config.environment import DEFAULT_SECRET_PREFIX
from courier.models import Outcome
from local.simulator import AirtAccount, JobPlan, Scenario, SimulatedProviders
from scripts.deployment import frozen_build
from scripts.deployment.burst import burst_case, burst_project
from scripts.deployment.deployed_courier import DeployedCourier, DeploymentError
from scripts.deployment.scenario import SEED, Case, project, report_source, secrets
from scripts.deployment.user import User

FIRST = "courier-first"

# Runs while the stack is updated.
IN_FLIGHT = Case(
    name="in-flight",
    outcome=Outcome.DELIVERED,
    states=("RouteBuild", "WaitForReport", "CopyArtifact", "RecordOutcome", "Notify"),
    plan=JobPlan(queue_seconds=1, run_seconds=5),
)
AFTERWARDS = Case(name="afterwards", outcome=Outcome.DELIVERED, states=IN_FLIGHT.states, plan=JobPlan(run_seconds=0.5))

# An update must keep these: they hold the state, or others know their names.
_KEPT = ("ReportsBucket", "LedgerTable", "OutcomesTopic", "BuildLifecycle", "DeadLetters")


def upgrade_providers() -> SimulatedProviders:
    """Return the simulated providers of this stack, which are apart: the ids of builds depend on earlier requests."""
    projects = [project(case.name, case.plan) for case in (IN_FLIGHT, AFTERWARDS) if isinstance(case.plan, JobPlan)]
    return SimulatedProviders(Scenario(airt=AirtAccount(projects=(*projects, burst_project()))), seed=SEED)


class Upgrade:
    """The update of one stack.

    Parameters
    ----------
    endpoint
        Of `upgrade_providers`.
    """

    def __init__(self, user: User, endpoint: str) -> None:
        self._user = user
        self._endpoint = endpoint
        self._before: Mapping[str, str] = {}

    def begin(self) -> None:
        """Deploy the first version, configure it, and request a build."""
        self._user.deploy_folder(FIRST, frozen_build.FOLDER)
        names = [case.name for case in (IN_FLIGHT, AFTERWARDS, burst_case())]
        prefix = DEFAULT_SECRET_PREFIX
        documents = [report_source(name, self._endpoint, secret_prefix=prefix) for name in names]
        self._user.configure(FIRST, documents, secrets(prefix))
        courier = self._user.stack(FIRST)
        self._before = courier.resources
        courier.request([IN_FLIGHT])
        courier.wait_until(lambda: courier.waiting([IN_FLIGHT]), "the build waits")

    def finish(self) -> list[str]:
        """Update the stack, end the build in flight, run another one, and return what changed.

        Raises
        ------
        DeploymentError
            The update replaces what it must keep, or a build does not end as it must.
        """
        self._user.deploy(FIRST)
        courier = self._user.stack(FIRST)
        replaced = sorted(
            name for name, before in self._before.items() if courier.resources.get(name, before) != before
        )
        removed = sorted(self._before.keys() - courier.resources.keys())
        if lost := [name for name in (*replaced, *removed) if name in _KEPT]:
            raise DeploymentError(f"the update replaces {', '.join(lost)}")
        courier.finish([IN_FLIGHT])
        courier.request([AFTERWARDS])
        courier.finish([AFTERWARDS])
        _check_ended(courier, (IN_FLIGHT, AFTERWARDS))
        added = sorted(courier.resources.keys() - self._before.keys())
        lists = {"replaced": replaced, "removed": removed, "added": added}
        changes = "; ".join(f"{what} {', '.join(names) or 'none'}" for what, names in lists.items())
        return [f"update in place: {len(self._before)} resources; {changes}; a build in flight was delivered"]


def _check_ended(courier: DeployedCourier, cases: tuple[Case, ...]) -> None:
    for case in cases:
        (run,) = [execution for execution in courier.executions() if execution.scope == case.scope]
        if run.output.get("outcome") != case.outcome or run.states != case.states:
            raise DeploymentError(f"{case.name}: {run.status} ({run.error[:1000]}), {run.output}, {run.states}")
