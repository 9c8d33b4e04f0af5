"""``poll_builds`` over all sources: failures stay with their source, and many due builds become segments."""

import pytest
from botocore.exceptions import ClientError

from courier.errors import CourierError, LedgerError, SettingsError, SourceUnauthorizedError, SourceUnavailableError
from courier.ledger.table import Change
from courier.models import BuildStatus
from courier.usecases.poll_builds import PollTick
from tests.support.container import FakeContainer
from tests.support.providers import build_of
from tests.support.usecases import poll


def put_waiting(container: FakeContainer, status: BuildStatus, *names: str) -> None:
    """Let one execution a source wait for a build, which has this status by now."""
    for name in names:
        container.wait_for(build_of("b1", source=name))
        container.fakes[name].set_status("b1", status)


def released_sources(container: FakeContainer) -> list[str]:
    return [payload.build.ref.source for payload in container.stepfunctions.released]


@pytest.mark.parametrize("name", ["c", "unknown"])
def test_a_tick_for_an_unusable_source_names_it(container: FakeContainer, name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        poll(container, PollTick(source=name))


@pytest.mark.parametrize(
    "error", [SourceUnavailableError("down"), SourceUnauthorizedError("401"), SettingsError("secret x does not exist")]
)
def test_one_failing_source_does_not_stop_the_others(container: FakeContainer, error: CourierError) -> None:
    put_waiting(container, BuildStatus.SUCCEEDED, "a", "b")
    container.fakes["a"].failures |= {"scopes": error, "get_build": error, "list_builds": error}
    poll(container)
    assert released_sources(container) == ["b"]


def test_an_unreadable_source_row_fails_the_tick_after_the_other_sources(container: FakeContainer) -> None:
    put_waiting(container, BuildStatus.SUCCEEDED, "a", "b")
    container.table.update("#source/a", Change(set={"rest_until": "soon"}))
    with pytest.raises(LedgerError):
        poll(container)
    assert released_sources(container) == ["b"]


def test_an_aws_error_fails_the_tick_after_the_other_sources(container: FakeContainer) -> None:
    put_waiting(container, BuildStatus.SUCCEEDED, "a", "b")
    container.stepfunctions.failures = [ClientError({"Error": {"Code": "ThrottlingException"}}, "SendTaskSuccess")]
    with pytest.raises(ClientError):
        poll(container)
    assert len(container.stepfunctions.released) == 1


def test_more_due_builds_than_one_invocation_takes_become_segments(
    container: FakeContainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("courier.usecases.poll_builds.SEGMENT_BUILDS", 2)
    builds = [build_of(f"b{number}", scope=f"scope-{number % 2}", source="a") for number in range(5)]
    container.wait_for(*builds)
    for build in builds:
        container.fakes["a"].set_status(build.ref.build_id, BuildStatus.SUCCEEDED)
    assert poll(container)["segments"] == 3
    assert len(container.stepfunctions.released) == 5


def test_a_segment_delivered_twice_is_polled_once(container: FakeContainer) -> None:
    put_waiting(container, BuildStatus.RUNNING, "a")
    segment = PollTick(source="a", due=tuple(container.builds.due("a", limit=10)))
    assert [poll(container, segment)["polled"] for _ in range(2)] == [1, 0]


def test_a_row_whose_key_names_no_build_does_not_stop_the_tick(container: FakeContainer) -> None:
    put_waiting(container, BuildStatus.SUCCEEDED, "a")
    times = {"first_seen_at": "2026-04-15T11:00:00Z", "deadline_at": "2026-04-16T11:00:00Z"}
    container.table.update("junk", Change(set={**times, "due_source": "a", "next_poll_at": "2026-04-15T11:00:00Z"}))
    assert poll(container)["released"] == 1
