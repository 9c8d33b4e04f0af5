"""What a tick of the poller does when calls fail."""

from courier.errors import (
    BuildNotFoundError,
    SourceProtocolError,
    SourceRejectedError,
    SourceUnauthorizedError,
    SourceUnavailableError,
)
from courier.models import BuildStatus
from tests.support.container import FakeContainer
from tests.support.providers import build_of, ref_of

DOWN = SourceUnavailableError("insights: get_build timed out waiting for the response")
FORBIDDEN = SourceUnauthorizedError("insights: get_build returned 401")


def test_builds_of_a_removed_scope_are_requested_one_by_one(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"), build_of("b2"))
    container.fake.failures["list_builds"] = BuildNotFoundError("404")
    container.fake.set_status("b2", BuildStatus.SUCCEEDED)
    assert container.poll().released == 1


def test_a_dead_provider_costs_one_failing_call_a_tick(container: FakeContainer) -> None:
    container.wait_for(*(build_of(f"b{n}", scope=f"scope-{n % 3}") for n in range(9)), build_of("alone", scope="x"))
    container.fake.failures |= {"list_builds": DOWN, "get_build": DOWN}
    container.poll()
    assert len(container.fake.calls) == 1


def test_builds_without_a_call_count_no_failure(container: FakeContainer) -> None:
    container.fake.forget_how_to_list()
    container.wait_for(build_of("b1"), build_of("b2"))
    container.fake.failures["get_build"] = DOWN
    container.poll()
    rows = container.builds.find_many([ref_of("b1"), ref_of("b2")])
    assert sorted(row.failures for row in rows.values() if row) == [0, 1]


def test_one_unparsable_response_does_not_stop_the_other_builds(container: FakeContainer) -> None:
    container.fake.forget_how_to_list()
    container.wait_for(build_of("a-bad"), build_of("b1"), build_of("b2"))
    container.fake.failures["get_build a-bad"] = SourceProtocolError("no usable job")
    container.fake.set_status("b2", BuildStatus.SUCCEEDED)
    assert container.poll().released == 1
    assert container.source_ledger.state("insights").failures == 0
    row = container.builds.find(ref_of("a-bad"))
    assert row is not None
    assert row.failures == 1


def test_one_rejected_request_does_not_stop_the_other_builds(container: FakeContainer) -> None:
    container.fake.forget_how_to_list()
    container.wait_for(build_of("a-bad"), build_of("b1"))
    container.fake.failures["get_build a-bad"] = SourceRejectedError("400")
    container.fake.set_status("b1", BuildStatus.SUCCEEDED)
    assert container.poll().released == 1


def test_one_build_that_always_fails_does_not_starve_the_others(container: FakeContainer) -> None:
    container.fake.forget_how_to_list()
    container.wait_for(build_of("a-bad"), *(build_of(f"b{n}") for n in range(3)))
    container.fake.failures["get_build a-bad"] = DOWN
    for n in range(3):
        container.fake.set_status(f"b{n}", BuildStatus.SUCCEEDED)
    for _ in range(4):
        container.poll(seconds=60)
    assert len(container.stepfunctions.released) == 3


def test_a_broken_scope_does_not_stop_the_others(container: FakeContainer) -> None:
    container.wait_for(*(build_of(f"{scope}{n}", scope=scope) for scope in ("bad", "good") for n in range(2)))
    container.fake.failures["list_builds bad"] = SourceRejectedError("400")
    container.fake.set_status("good1", BuildStatus.SUCCEEDED)
    assert container.poll().released == 1


def test_a_scope_whose_list_fails_is_polled_build_by_build(container: FakeContainer) -> None:
    container.wait_for(*(build_of(f"{scope}{n}", scope=scope) for scope in ("bad", "good") for n in range(2)))
    container.fake.failures["list_builds bad"] = SourceRejectedError("400")
    container.poll()
    container.fake.set_status("bad1", BuildStatus.SUCCEEDED)
    assert container.poll(seconds=900).released == 1


def test_a_dead_key_is_not_tried_on_every_scope(container: FakeContainer) -> None:
    container.wait_for(*(build_of(f"b{n}", scope=f"scope-{n}") for n in range(9)))
    container.fake.failures["get_build"] = FORBIDDEN
    container.poll()
    assert len(container.fake.calls) == 3
    container.poll(seconds=60)
    assert len(container.published) == 1
