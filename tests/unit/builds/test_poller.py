"""What a tick of the poller does when all is well: claims, calls, and releases."""

from courier.builds.poller import PollSummary
from courier.ledger.table import Change
from courier.models import BuildStatus
from tests.support.container import FakeContainer
from tests.support.providers import NOON, build_of, passage_of, ref_of, settings_of


def test_an_idle_tick_asks_nobody(container: FakeContainer) -> None:
    assert container.poll() == PollSummary()
    assert container.fake.calls == []


def test_the_only_due_build_of_a_scope_is_asked_for_alone(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.poll()
    assert container.fake.calls == ["get_build b1"]


def test_several_due_builds_of_a_scope_are_asked_for_in_one_call(container: FakeContainer) -> None:
    container.wait_for(*(build_of(f"b{number}") for number in range(5)), build_of("other", scope="people"))
    container.poll()
    assert sorted(container.fake.calls) == ["get_build other", "list_builds sales"]


def test_builds_are_asked_for_singly_where_nothing_can_be_listed(container: FakeContainer) -> None:
    container.fake.forget_how_to_list()
    container.wait_for(build_of("b1"), build_of("b2"))
    container.poll()
    assert container.fake.calls == ["get_build b1", "get_build b2"]


def test_a_build_that_the_list_leaves_out_is_asked_for_alone(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"), build_of("b2"))
    container.fake.unlisted.add("b2")
    container.poll()
    assert container.fake.calls == ["list_builds sales", "get_build b2"]


def test_a_running_build_waits_on_until_its_next_look(container: FakeContainer) -> None:
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
    assert [news.build.ref.build_id for news in container.stepfunctions.released] == ["b1"]


def test_the_next_look_is_written_before_the_provider_is_asked(container: FakeContainer) -> None:
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


def test_new_builds_in_the_list_are_begun_by_the_poller(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"), build_of("b2"))
    container.fake.put(build_of("new"))
    assert container.poll().registered == 1
    assert len(container.stepfunctions.executions) == 1


def test_an_end_that_goes_backwards_changes_nothing(container: FakeContainer) -> None:
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


def test_what_time_does_not_suffice_for_stays_due(container: FakeContainer) -> None:
    container.fake.forget_how_to_list()
    container.wait_for(*(build_of(f"b{number}") for number in range(5)))
    asked = [0]

    def time_is_up() -> bool:
        return container.fake.counts["get_build"] >= 2

    asked[0] = container.poll(time_is_up=time_is_up).polled
    assert asked == [2]
    # The others are still due, now, and come first.
    assert [due.ref.build_id for due in container.builds.due("insights", limit=10)] == ["b2", "b3", "b4"]


def test_what_time_does_not_suffice_for_after_a_list_is_due_again(container: FakeContainer) -> None:
    container.wait_for(*(build_of(f"b{number}") for number in range(4)))
    container.fake.unlisted |= {"b1", "b2", "b3"}
    container.poll(time_is_up=lambda: container.fake.counts["get_build"] >= 1)
    assert container.fake.calls == ["list_builds sales", "get_build b1"]
    assert {due.ref.build_id for due in container.builds.due("insights", limit=10)} == {"b2", "b3"}


def test_a_poisoned_row_does_not_stop_the_tick(container: FakeContainer) -> None:
    container.wait_for(build_of("poisoned"), build_of("worse"), build_of("sound"))
    container.table.update(str(ref_of("poisoned")), Change(set={"outcome": "an outcome of tomorrow"}))
    container.table.update(str(ref_of("worse")), Change(set={"deadline_at": "never"}))
    container.fake.set_status("sound", BuildStatus.SUCCEEDED)
    assert container.poll().released == 1


def test_a_row_with_a_passage_that_nobody_can_read_does_not_stop_the_tick(container: FakeContainer) -> None:
    build = build_of("poisoned")
    container.builds.register(passage_of(build), next_poll_at=NOON)
    container.table.update(str(build.ref), Change(set={"passage": "{"}))
    container.wait_for(build_of("sound"))
    container.fake.set_status("sound", BuildStatus.SUCCEEDED)
    assert container.poll().released == 1


def test_settings_of_another_source_do_not_matter(container: FakeContainer) -> None:
    container.wait_for(build_of("b1"))
    container.use(settings_of("red-team"))
    assert container.poll().due == 0
