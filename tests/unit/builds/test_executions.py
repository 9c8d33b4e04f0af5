"""Executions: one for each build, started and released through any crash in between."""

import pytest
from botocore.exceptions import ClientError

from courier.ledger import BuildLedger
from courier.ledger.table import Change
from courier.models import BuildStatus, NextStep, Outcome
from tests.support.container import FakeContainer
from tests.support.providers import NOON, build_of, passage_of, ref_of


def started_ids(container: FakeContainer) -> list[str]:
    return [passage.build.ref.build_id for passage in container.stepfunctions.passages()]


def test_a_missing_execution_is_started_by_the_poller(container: FakeContainer) -> None:
    build = build_of("b1")
    container.fake.put(build)
    container.builds.register(passage_of(build), next_poll_at=NOON)
    container.poll()
    assert [passage.build.ref for passage in container.stepfunctions.passages()] == [build.ref]


def test_a_missing_execution_of_an_ended_build_is_started_without_a_poll(container: FakeContainer) -> None:
    build = build_of("request-1", BuildStatus.UNKNOWN)
    passage = passage_of(build, NextStep.RECORD, outcome=Outcome.EMPTY, detected_at=NOON)
    container.builds.register(passage, next_poll_at=NOON)
    container.poll()
    assert container.stepfunctions.passages() == [passage]
    assert container.fake.calls == []
    assert not container.in_flight(build.ref)


def test_a_release_without_a_waiting_task_takes_the_build_out_of_flight(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.stepfunctions.waiting.clear()
    container.fake.set_status("b1", BuildStatus.SUCCEEDED)
    assert container.poll().released == 0
    assert not container.in_flight(ref_of("b1"))


def test_a_poller_killed_after_the_release_is_repaired_by_the_next_tick(
    container: FakeContainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    container.wait_for(build_of("b1"))
    container.fake.set_status("b1", BuildStatus.SUCCEEDED)

    def killed(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(BuildLedger, "mark_released", killed)
        with pytest.raises(KeyboardInterrupt):
            container.poll()
    assert container.in_flight(ref_of("b1"))
    assert container.poll(seconds=900).released == 0
    assert not container.in_flight(ref_of("b1"))
    assert len(container.stepfunctions.released) == 1


def test_a_wait_that_starts_again_during_the_release_is_released_later(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.fake.set_status("b1", BuildStatus.SUCCEEDED)

    def redrive() -> None:
        container.stepfunctions.waiting.clear()
        container.stepfunctions.arrive(ref_of("b1"), "token of the redrive")
        container.stepfunctions.before_release = lambda: None

    container.stepfunctions.before_release = redrive
    assert container.poll().released == 0
    assert container.in_flight(ref_of("b1"))
    assert container.poll(seconds=900).released == 1


def test_a_build_that_is_listed_again_keeps_its_one_execution(container: FakeContainer) -> None:
    container.fake.put(build_of("b1"))
    assert [container.discover() for _ in range(3)] == [1, 0, 0]
    assert started_ids(container) == ["b1"]
    row = container.builds.find(ref_of("b1"))
    assert row is not None
    assert row.execution is not None
    assert row.next_poll_at is not None


def test_a_crash_between_row_and_execution_is_repaired_by_the_next_discovery(container: FakeContainer) -> None:
    container.fake.put(build_of("b1"))
    container.stepfunctions.failures = [ClientError({"Error": {"Code": "ThrottlingException"}}, "StartExecution")]
    with pytest.raises(ClientError):
        container.discover()
    assert started_ids(container) == []
    container.discover()
    assert started_ids(container) == ["b1"]


def test_a_crash_between_row_and_execution_is_repaired_by_the_poller(container: FakeContainer) -> None:
    container.fake.put(build_of("b1"))
    container.stepfunctions.failures = [ClientError({"Error": {"Code": "ThrottlingException"}}, "StartExecution")]
    with pytest.raises(ClientError):
        container.discover()
    container.poll(seconds=120)
    assert started_ids(container) == ["b1"]


def test_an_execution_that_already_runs_is_stored_in_the_row(container: FakeContainer) -> None:
    container.fake.put(build_of("b1"))
    container.discover()
    (passage,) = container.stepfunctions.executions.values()
    # The function was killed before it stored the execution.
    container.table.update(str(ref_of("b1")), Change(set={"passage": passage}, remove=("execution",)))
    container.discover()
    assert started_ids(container) == ["b1"]
    row = container.builds.find(ref_of("b1"))
    assert row is not None
    assert (row.execution or "").startswith("arn:aws:states:eu-central-1:123456789012:execution:build-courier")
