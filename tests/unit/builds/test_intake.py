import pytest

from courier.models import BuildStatus, NextStep, Outcome
from tests.support.container import FakeContainer
from tests.support.providers import NOON, build_of


def test_a_running_build_is_waited_for(container: FakeContainer) -> None:
    container.fake.put(build_of("b1"))
    container.discover()
    (passage,) = container.stepfunctions.passages()
    assert (passage.verdict, passage.outcome, passage.detected_at) == (NextStep.WAIT, None, None)
    assert passage.wait_seconds == 24 * 3600


@pytest.mark.parametrize("leaves", [True, False])
def test_the_passage_says_whether_the_build_can_leave_a_report(container: FakeContainer, leaves: bool) -> None:
    container.fake.leaves_reports = leaves
    container.fake.put(build_of("b1"))
    container.discover()
    (passage,) = container.stepfunctions.passages()
    assert passage.leaves_report is leaves


def test_an_ended_build_skips_the_wait_and_is_never_polled(container: FakeContainer) -> None:
    container.discover()
    container.fake.put(build_of("b1", BuildStatus.SUCCEEDED, completed=NOON, has_artifact=True))
    container.discover()
    (passage,) = container.stepfunctions.passages()
    assert (passage.verdict, passage.detected_at) == (NextStep.FETCH, NOON)
    assert container.poll(seconds=3600).due == 0


def test_the_passage_of_a_failed_build_has_its_problem(container: FakeContainer) -> None:
    container.discover()
    container.fake.put(build_of("b1", BuildStatus.FAILED, completed=NOON, error_message="no memory"))
    container.discover()
    (passage,) = container.stepfunctions.passages()
    assert passage.outcome is Outcome.FAILED
    assert passage.problem is not None
    assert passage.problem.message == "no memory"
