"""A scope fails alone, whatever the order of poller and discovery; the notices say so once."""

import pytest

from courier.config.settings import PollingSettings
from courier.errors import (
    BuildNotFoundError,
    SourceError,
    SourceRejectedError,
    SourceThrottledError,
    SourceUnauthorizedError,
    SourceUnavailableError,
)
from courier.models import BuildStatus, Outcome
from tests.support.container import FakeContainer
from tests.support.providers import NOON, build_of, settings_of

REJECTED = SourceRejectedError("insights: list_builds returned 400")
FORBIDDEN = SourceUnauthorizedError("insights: list_builds returned 403", forbidden=True)
DOWN = SourceUnavailableError("insights: list_builds returned 500")


def healths(container: FakeContainer) -> list[str]:
    return [notice.attributes["health"]["StringValue"] for notice in container.published]


@pytest.mark.parametrize("scopes_left", [1_000, 1])
def test_failing_scopes_are_announced_once_however_a_round_is_cut(container: FakeContainer, scopes_left: int) -> None:
    container.fake.scope_names = ("b1", "b2", "b3", "g1", "g2")
    for scope in ("b1", "b2", "b3"):
        container.fake.failures[f"list_builds {scope}"] = REJECTED
    for _ in range(72):
        container.discover(scopes_left=scopes_left)
        container.manual_clock.advance(300)
    assert healths(container) == ["unhealthy"]
    assert not container.health.is_backing_off(container.settings, container.source_ledger.state("insights"))


def test_a_scope_that_cannot_be_listed_does_not_keep_discovery_from_the_others(container: FakeContainer) -> None:
    container.fake.scope_names = ("bad", "good")
    container.fake.failures["list_builds bad"] = FORBIDDEN
    container.wait_for(*(build_of(f"b{n}", scope="bad") for n in range(2)))
    for minute in range(60):
        container.poll(seconds=60)
        if minute % 5 == 4:
            container.discover()
    assert container.fake.calls.count("list_builds good") > 5
    assert container.source_ledger.state("insights").backoff_until is None


def test_builds_of_a_known_failing_scope_do_not_make_the_source_back_off(container: FakeContainer) -> None:
    container.fake.scope_names = ("bad", "good")
    container.fake.failures |= {"list_builds bad": DOWN, "get_build x1": DOWN}
    container.wait_for(build_of("x1", scope="bad"))
    for minute in range(120):
        if minute % 5 == 0:
            container.discover()
        container.poll(seconds=60)
    assert container.fake.calls.count("list_builds good") == 24
    assert healths(container) == ["unhealthy"]


def test_a_list_and_builds_that_are_all_unknown_are_a_source_that_is_down(container: FakeContainer) -> None:
    container.wait_for(*(build_of(f"x{n}") for n in range(3)))
    container.fake.known.clear()
    container.fake.failures["list_builds"] = BuildNotFoundError("404")
    for _ in range(60):
        container.poll(seconds=60)
    assert container.stepfunctions.released == []
    assert container.source_ledger.state("insights").failures > 0


def test_polls_that_fail_do_not_stall_a_build(container: FakeContainer) -> None:
    container.use(settings_of(polling=PollingSettings(stall_after_hours=1), cancel_on_timeout=True))
    container.wait_for(build_of("x1"))
    container.poll()
    container.fake.failures["get_build"] = DOWN
    for _ in range(90):
        container.poll(seconds=60)
    assert (container.stepfunctions.released, container.fake.canceled) == ([], [])


def test_a_completion_time_starts_the_patience_of_an_unknown_end(container: FakeContainer) -> None:
    container.wait_for(build_of("x1"))
    container.fake.set_status("x1", BuildStatus.UNKNOWN, provider_status="finalizing")
    for _ in range(20):
        container.poll(seconds=60)
    container.fake.set_status(
        "x1", BuildStatus.UNKNOWN, provider_status="publishing", completed_at=container.manual_clock()
    )
    assert container.poll(seconds=60).released == 0
    for _ in range(10):
        container.poll(seconds=60)
    assert [payload.outcome for payload in container.stepfunctions.released] == [Outcome.LOST]


def test_a_new_secret_ends_one_backoff_and_not_all_that_follow(container: FakeContainer) -> None:
    container.wait_for(build_of("x1"))
    container.fake.failures["get_build"] = [SourceUnauthorizedError("401")] * 2
    for _ in range(2):
        container.poll(seconds=60)
    container.version = "2"
    container.fake.failures["get_build"] = SourceUnavailableError("503", retry_after_seconds=3_600)
    calls = len(container.fake.calls)
    for _ in range(59):
        container.poll(seconds=60)
    assert len(container.fake.calls) == calls + 1


def test_a_source_that_dies_after_some_of_its_scopes_is_announced_itself(container: FakeContainer) -> None:
    container.fake.scope_names = ("good", "bad")
    container.fake.failures["list_builds bad"] = REJECTED
    for _ in range(4):
        container.discover()
        container.manual_clock.advance(300)
    container.fake.failures["scopes"] = SourceUnauthorizedError("insights: list_models returned 401")
    container.discover()
    assert healths(container) == ["unhealthy"]
    for _ in range(20):
        container.manual_clock.advance(300)
        container.discover()
    assert healths(container) == ["unhealthy", "unhealthy"]
    assert "list_models returned 401" in container.published[1].message["email"]


def test_a_scope_that_is_always_throttled_does_not_block_those_after_it(container: FakeContainer) -> None:
    container.fake.scope_names = ("a", "stuck", "z")
    container.fake.failures["list_builds stuck"] = SourceThrottledError("423", retry_after_seconds=30)
    for _ in range(12):
        container.discover()
        container.manual_clock.advance(300)
    assert container.fake.calls.count("list_builds z") >= 3
    assert container.clock() > NOON


def test_an_outage_of_all_scopes_backs_the_source_off(container: FakeContainer) -> None:
    container.fake.scope_names = tuple("abcdefgh")
    container.fake.failures["list_builds"] = DOWN
    for _ in range(6):
        container.discover()
        container.manual_clock.advance(60)
    assert container.source_ledger.state("insights").failures >= 3
    container.fake.failures.clear()
    for _ in range(24):
        container.discover()
        container.manual_clock.advance(300)
    state = container.source_ledger.state("insights")
    assert (state.failures, state.backoff_until, state.failing_scopes) == (0, None, 0)


@pytest.mark.parametrize(
    "error", [SourceRejectedError("308", wrong_endpoint=True), REJECTED, DOWN, SourceUnauthorizedError("401")]
)
def test_lists_that_fail_while_polls_work_are_announced_once(container: FakeContainer, error: SourceError) -> None:
    container.fake.failures["list_builds"] = error
    container.wait_for(build_of("x1"))
    polls = 0
    for minute in range(6 * 60):
        polls += container.poll(seconds=60).polled
        if minute % 5 == 4:
            container.discover()
    assert healths(container) == ["unhealthy"]
    assert polls > 20
    del container.fake.failures["list_builds"]
    for _ in range(6):
        container.manual_clock.advance(300)
        container.discover()
    assert healths(container) == ["unhealthy", "recovered"]


def test_a_source_without_lists_that_rejects_every_poll_is_unhealthy(container: FakeContainer) -> None:
    container.fake.forget_how_to_list()
    container.wait_for(*(build_of(f"x{n}") for n in range(4)))
    container.fake.failures["get_build"] = SourceRejectedError("red-team: get_build returned 400")
    for _ in range(30):
        container.poll(seconds=60)
    assert healths(container) == ["unhealthy"]
    del container.fake.failures["get_build"]
    for _ in range(30):
        container.poll(seconds=60)
    assert healths(container) == ["unhealthy", "recovered"]


def test_more_failing_scopes_than_the_ledger_keeps_are_not_passed_for_all_of_them(container: FakeContainer) -> None:
    container.fake.scope_names = ("good", *(f"b{n}" for n in range(60)))
    for scope in container.fake.scope_names[1:]:
        container.fake.failures[f"list_builds {scope}"] = REJECTED
    for _ in range(4):
        container.discover()
        container.manual_clock.advance(300)
    (notice,) = container.published
    assert "at least 50 of 61 scopes cannot be listed" in str(notice)
