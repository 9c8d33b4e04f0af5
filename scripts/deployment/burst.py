"""Many builds that end at once, with the quota of a new account."""

import time
from collections import Counter
from collections.abc import Callable

from courier.models import Outcome
from local.simulator import JobPlan, Project
from scripts.deployment.deployed_courier import DeployedCourier, DeploymentError
from scripts.deployment.scenario import Case, project

# 300 on the embedded AWS (tests/functional/chaos/test_quota.py). Here each state machine transition takes tens of
# milliseconds of one processor.
BURST_BUILDS = 60
_NAME = "burst"
_FAILED = "lambdaFunctionFailedEventDetails"
_LONGEST_SECONDS = 240.0


def burst_case() -> Case:
    """Return the case of one of the builds."""
    return Case(name=_NAME, outcome=Outcome.DELIVERED, states=(), plan=JobPlan())


def burst_project() -> Project:
    """Return the simulated project of the builds."""
    return project(_NAME, JobPlan(queue_seconds=0, run_seconds=1, artifact_bytes=20_000))


def run_burst(courier: DeployedCourier, progress: Callable[[str], None]) -> str:
    """Request the builds, poll once they have all ended, and return what happened.

    Raises
    ------
    DeploymentError
        A build is lost, or an execution failed.
    """
    case = burst_case()
    for number in range(BURST_BUILDS):
        courier.invoke("RequestBuildFunction", {"id": f"burst-{number}", "detail": case.request()})
    courier.wait_until(lambda: courier.waiting_count(case) >= BURST_BUILDS, "all builds wait")
    started = time.monotonic()
    progress("all wait; the poll finds that all have ended")
    courier.wait_until(
        lambda: courier.running() == 0, "all executions end", polls=True, longest_seconds=_LONGEST_SECONDS
    )
    seconds = time.monotonic() - started
    runs = [run for run in courier.executions() if run.scope == case.scope]
    outcomes = Counter(run.output.get("outcome", run.status) for run in runs)
    throttled = sum(
        "TooManyRequestsException" in str(event.get("lambdaFunctionFailedEventDetails"))
        for run in runs
        for event in run.events
    )
    if outcomes != Counter({str(Outcome.DELIVERED): BURST_BUILDS}):
        raise DeploymentError(f"{BURST_BUILDS} builds ended as {dict(outcomes)}")
    if not throttled:
        raise DeploymentError("nothing was throttled, so the quota was not tried")
    return f"quota: {BURST_BUILDS} builds, {BURST_BUILDS} delivered in {seconds:.0f} s, {throttled} attempts throttled"
