"""What a tick of the poller does when the provider responds: claims, calls and releases."""

from courier.builds.poll_run import PollSummary
from courier.ledger.table import Change
from courier.models import BuildStatus
from tests.support.container import FakeContainer
from tests.support.providers import NOON, build_of, passage_of, ref_of, settings_of


def test_an_idle_tick_calls_no_provider(container: FakeContainer) -> None:
    assert container.poll() == PollSummary()
    assert container.fake.calls == []


def test_the_only_due_build_of_a_scope_is_requested_alone(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.poll()
    assert container.fake.calls == ["get_build b1"]


def test_several_due_builds_of_a_scope_take_one_list_call(container: FakeContainer) -> None:
    container.wait_for(*(build_of(f"b{number}") for number in range(5)), build_of("other", scope="people"))
    container.poll()
    assert sorted(container.fake.calls) == ["get_build other", "list_builds sales"]


def test_builds_of_a_provider_without_lists_are_requested_one_by_one(container: FakeContainer) -> None:
    container.fake.forget_how_to_list()
    container.wait_for(build_of("b1"), build_of("b2"))
    container.poll()
    assert container.fake.calls == ["get_build b1", "get_build b2"]


def test_a_build_missing_from_the_list_is_requested_alone(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"), build_of("b2"))
    container.fake.unlisted.add("b2")
    container.poll()
    assert container.fake.calls == ["list_builds sales", "get_build b2"]


def test_builds_that_were_stored_in_another_spelling_are_found_in_the_list(container: FakeContainer) -> None:
    container.wait_for(build_of("AB-1"), build_of("AB-2"))
    container.fake.known.clear()
    for number in (1, 2):
        container.fake.put(build_of(f"ab-{number}", BuildStatus.SUCCEEDED, spelled_ref=ref_of(f"AB-{number}")))
    container.poll()
    assert container.fake.calls == ["list_builds sales"]
    assert {payload.build.ref.build_id for payload in container.stepfunctions.released} == {"AB-1", "AB-2"}


def test_a_running_build_waits_until_its_next_poll(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.poll()
    assert container.stepfunctions.released == []
    assert container.poll(seconds=1).due == 0
    assert container.poll(seconds=120).polled == 1


def test_a_build_is_released_once(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"), build_of("b2"))
    container.fake.set_status("b1", BuildStatus.SUCCEEDED)
    for _ in range(5):
        container.poll(seconds=120)
    assert [payload.build.ref.build_id for payload in container.stepfunctions.released] == ["b1"]


def test_the_next_poll_is_stored_before_the_provider_is_called(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    seen: list[bool] = []
    container.fake.on_call = lambda _: seen.append(bool(container.builds.due("insights", limit=10)))
    container.poll()
    assert seen == [False]


def test_two_pollers_at_once_release_once(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.fake.set_status("b1", BuildStatus.SUCCEEDED)
    nested: list[PollSummary] = []
    container.fake.on_call = lambda _: nested.append(container.poll()) if not nested else None
    first = container.poll()
    assert (first.released, [tick.released for tick in nested]) == (1, [0])
    assert len(container.stepfunctions.released) == 1
    assert container.fake.calls == ["get_build b1"]


def test_the_poller_registers_new_builds_in_the_list(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"), build_of("b2"))
    container.fake.put(build_of("new"))
    assert container.poll().registered == 1
    assert len(container.stepfunctions.executions) == 1


def test_a_status_that_goes_back_after_the_release_changes_nothing(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"), build_of("b2"))
    container.fake.set_status("b1", BuildStatus.SUCCEEDED)
    container.poll()
    container.fake.set_status("b1", BuildStatus.RUNNING)
    for _ in range(3):
        container.poll(seconds=900)
        container.discover()
    assert len(container.stepfunctions.released) == 1
    assert not container.in_flight(ref_of("b1"))
    assert container.stepfunctions.executions == {}


def test_builds_left_out_when_time_was_up_stay_due(container: FakeContainer) -> None:
    container.fake.forget_how_to_list()
    container.wait_for(*(build_of(f"b{number}") for number in range(5)))
    assert container.poll(time_is_up=lambda: container.fake.counts["get_build"] >= 2).polled == 2
    # The others are still due.
    assert [due.ref.build_id for due in container.builds.due("insights", limit=10)] == ["b2", "b3", "b4"]


def test_builds_left_out_after_a_list_when_time_was_up_are_due_again(container: FakeContainer) -> None:
    container.wait_for(*(build_of(f"b{number}") for number in range(4)))
    container.fake.unlisted |= {"b1", "b2", "b3"}
    container.poll(time_is_up=lambda: container.fake.counts["get_build"] >= 1)
    assert container.fake.calls == ["list_builds sales", "get_build b1"]
    assert {due.ref.build_id for due in container.builds.due("insights", limit=10)} == {"b2", "b3"}


def test_an_unreadable_row_does_not_stop_the_tick(container: FakeContainer) -> None:
    container.wait_for(build_of("unreadable"), build_of("without-deadline"), build_of("sound"))
    container.table.update(str(ref_of("unreadable")), Change(set={"outcome": "an outcome of tomorrow"}))
    container.table.update(str(ref_of("without-deadline")), Change(set={"deadline_at": "never"}))
    container.fake.set_status("sound", BuildStatus.SUCCEEDED)
    assert container.poll().released == 1


def test_an_unreadable_passage_does_not_stop_the_tick(container: FakeContainer) -> None:
    build = build_of("unreadable")
    container.builds.register(passage_of(build), next_poll_at=NOON)
    container.table.update(str(build.ref), Change(set={"passage": "{"}))
    container.wait_for(build_of("sound"))
    container.fake.set_status("sound", BuildStatus.SUCCEEDED)
    assert container.poll().released == 1


def test_settings_of_another_source_do_not_matter(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.use(settings_of("red-team"))
    assert container.poll().due == 0
