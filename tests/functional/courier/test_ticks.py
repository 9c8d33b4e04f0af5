"""What the scheduled functions do over all sources."""

import json
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError

from courier.errors import (
    EmptyReportError,
    LedgerError,
    SettingsError,
    SourceUnauthorizedError,
    SourceUnavailableError,
)
from courier.ledger import Table
from courier.ledger.table import Change
from courier.models import BuildRequest, BuildStatus
from courier.usecases.discover_builds import discover_builds
from courier.usecases.events import Tick
from courier.usecases.poll_builds import PollTick, poll_builds
from courier.usecases.request_build import request_build
from local.simulator import ManualClock
from tests.support.container import FakeContainer
from tests.support.providers import FakeProvider, build_of, ref_of, settings_of
from tests.support.step_functions import start_waiting

DOWN = SourceUnavailableError("down")


def never() -> bool:
    return False


def source(name: str) -> FakeProvider:
    return FakeProvider(settings_of(name))


def poll(container: FakeContainer, tick: PollTick | None = None) -> dict[str, int]:
    def dispatch(event: str) -> None:
        poll(container, PollTick.model_validate_json(event))

    return poll_builds(container, tick or PollTick(), time_is_up=never, dispatch=dispatch)


def discover(container: FakeContainer, tick: Tick | None = None) -> dict[str, int]:
    return discover_builds(container, tick or Tick(), time_is_up=never)


@pytest.fixture
def container(table: Table, clock: ManualClock) -> FakeContainer:
    return FakeContainer(clock, source("a"), source("b"), broken={"c": "endpoint: field required"})


def waiting(container: FakeContainer, name: str, status: BuildStatus) -> None:
    build = build_of("b1", source=name)
    start_waiting(container.builds, container.stepfunctions, [build], due=container.clock())
    container.fakes[name].put(build.model_copy(update={"status": status}))


def test_every_source_is_looked_through(container: FakeContainer) -> None:
    container.fakes["a"].put(build_of("b1", source="a"))
    assert discover(container) == {"a": 1, "b": 0}


def test_one_source_alone_when_named(container: FakeContainer) -> None:
    assert discover(container, Tick(source="b")) == {"b": 0}


@pytest.mark.parametrize("name", ["c", "nobodys"])
def test_a_named_source_that_is_not_usable_is_said(container: FakeContainer, name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        poll(container, PollTick(source=name))


@pytest.mark.parametrize("error", [DOWN, SourceUnauthorizedError("401"), SettingsError("secret x does not exist")])
@pytest.mark.parametrize("function", [discover, poll])
def test_one_source_in_trouble_does_not_stop_the_others(
    container: FakeContainer, error: SettingsError, function: Callable[[FakeContainer], object]
) -> None:
    for name in ("a", "b"):
        waiting(container, name, BuildStatus.SUCCEEDED)
        container.fakes[name].put(build_of("new", source=name))
    container.fakes["a"].failures |= {"scopes": error, "get_build": error, "list_builds": error}
    function(container)
    if function is poll:
        assert [news.build.ref.source for news in container.stepfunctions.released] == ["b"]
    else:
        assert [passage.build.ref.source for passage in container.stepfunctions.passages()] == ["b"]


def test_a_source_whose_row_cannot_be_read_fails_the_tick_after_the_others(container: FakeContainer) -> None:
    waiting(container, "a", BuildStatus.SUCCEEDED)
    waiting(container, "b", BuildStatus.SUCCEEDED)
    container.table.update("#source/a", Change(set={"rest_until": "soon"}))
    with pytest.raises(LedgerError):
        poll(container)
    assert [news.build.ref.source for news in container.stepfunctions.released] == ["b"]


def test_trouble_with_aws_fails_the_tick_after_the_others(container: FakeContainer) -> None:
    waiting(container, "a", BuildStatus.SUCCEEDED)
    waiting(container, "b", BuildStatus.SUCCEEDED)
    container.stepfunctions.failures = [ClientError({"Error": {"Code": "ThrottlingException"}}, "SendTaskSuccess")]
    with pytest.raises(ClientError):
        poll(container)
    assert len(container.stepfunctions.released) == 1


def test_more_due_builds_than_one_invocation_takes_are_handed_over(
    container: FakeContainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("courier.usecases.poll_builds.SEGMENT_BUILDS", 2)
    builds = [build_of(f"b{number}", scope=f"scope-{number % 2}", source="a") for number in range(5)]
    start_waiting(container.builds, container.stepfunctions, builds, due=container.clock())
    container.fakes["a"].put(*(build.model_copy(update={"status": BuildStatus.SUCCEEDED}) for build in builds))
    assert poll(container)["segments"] == 3
    assert len(container.stepfunctions.released) == 5


def test_a_segment_delivered_twice_looks_once(container: FakeContainer) -> None:
    waiting(container, "a", BuildStatus.RUNNING)
    segment = PollTick(source="a", due=tuple(container.builds.due("a", limit=10)))
    assert [poll(container, segment)["polled"] for _ in range(2)] == [1, 0]


def test_a_build_whose_key_is_none_does_not_stop_the_tick(container: FakeContainer) -> None:
    waiting(container, "a", BuildStatus.SUCCEEDED)
    times = {"first_seen_at": "2026-04-15T11:00:00Z", "deadline_at": "2026-04-16T11:00:00Z"}
    container.table.update("junk", Change(set={**times, "due_source": "a", "next_poll_at": "2026-04-15T11:00:00Z"}))
    assert poll(container)["released"] == 1


def test_a_source_that_cannot_be_opened_is_announced_and_fails_no_tick(
    container: FakeContainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting(container, "a", BuildStatus.RUNNING)

    def refuse(settings: object, **_: object) -> FakeProvider:
        raise SettingsError("ca_bundle is no certificate")

    monkeypatch.setattr(container, "provider", refuse)
    for _ in range(2):
        poll(container)
        discover(container)
    assert sorted(notice.attributes["source"]["StringValue"] for notice in container.published) == ["a", "b"]


def test_a_source_that_nobody_asked_is_not_called_well(container: FakeContainer, clock: ManualClock) -> None:
    container.fakes["a"].forget_how_to_list()
    waiting(container, "a", BuildStatus.RUNNING)
    container.fakes["a"].failures["get_build"] = SourceUnauthorizedError("401")
    for _ in range(5):
        poll(container)
        clock.advance(901)
        discover(container)
    assert [notice.attributes["health"]["StringValue"] for notice in container.published] == ["unhealthy"]


def test_a_source_that_rests_is_not_looked_through(container: FakeContainer, clock: ManualClock) -> None:
    container.fakes["a"].failures["list_builds"] = DOWN
    for _ in range(3):
        discover(container)
    calls = len(container.fakes["a"].calls)
    assert discover(container) == {"b": 0}
    assert len(container.fakes["a"].calls) == calls


def test_a_dead_key_is_announced_once_by_all_functions_together(container: FakeContainer, clock: ManualClock) -> None:
    provider = container.fakes["a"]
    provider.failures |= {name: SourceUnauthorizedError("401") for name in ("scopes", "get_build", "start_build")}
    provider.forget_how_to_list()
    waiting(container, "a", BuildStatus.RUNNING)
    for _ in range(3):
        poll(container)
        discover(container)
        with pytest.raises(SourceUnauthorizedError):
            request_build(container, {"source": "a", "data_model": "sales"}, invocation_id=f"i{clock():%M%S}")
        clock.advance(901)
    assert len(container.published) == 1


def test_a_request_by_hand_is_known_by_its_invocation(container: FakeContainer) -> None:
    (result,) = request_build(container, {"source": "a", "data_model": "sales"}, invocation_id="i1")
    assert result.build == ref_of("started-1", source="a")
    assert "answered" not in result.model_dump(mode="json")
    request_build(container, {"source": "a", "data_model": "sales"}, invocation_id="i1")
    assert container.fakes["a"].counts["start_build"] == 1


def test_an_event_delivered_twice_asks_once(container: FakeContainer) -> None:
    event = {"id": "e1", "source": "com.example", "detail-type": "x", "detail": {"source": "a", "data_model": "sales"}}
    for invocation in ("i1", "i2"):
        request_build(container, event, invocation_id=invocation)
    assert container.fakes["a"].counts["start_build"] == 1


def scheduled(*wishes: dict[str, str], name: str = "a") -> FakeProvider:
    requests = tuple(BuildRequest.model_validate({"source": name, **wish}) for wish in wishes)
    return FakeProvider(settings_of(name, requests=requests))


def test_a_schedule_asks_for_what_the_sources_list_once_each_time_it_fires(table: Table, clock: ManualClock) -> None:
    container = FakeContainer(clock, scheduled({"data_model": "sales"}, {"data_model": "people"}), source("b"))
    for invocation, fired in (("i1", "05:00:00Z"), ("i2", "05:00:00Z"), ("i3", "06:00:00Z")):
        for ref in list(container.fakes["a"].known):
            container.fakes["a"].set_status(ref.build_id, BuildStatus.SUCCEEDED)
        results = request_build(container, {"scheduled_time": f"2026-04-15T{fired}"}, invocation_id=invocation)
        assert [result.build.scope for result in results] == ["sales", "people"]
    assert container.fakes["a"].counts["start_build"] == 4


@pytest.mark.parametrize("error", [DOWN, SettingsError("template: unknown")])
def test_one_failing_wish_does_not_stop_the_others(table: Table, clock: ManualClock, error: SettingsError) -> None:
    container = FakeContainer(
        clock, scheduled({"data_model": "bad"}, {"data_model": "sales"}), scheduled({"data_model": "people"}, name="b")
    )
    container.fakes["a"].failures["start_build bad"] = error
    event = {"scheduled_time": "2026-04-15T05:00:00Z"}
    with pytest.raises(type(error)):
        request_build(container, event, invocation_id="i1")
    assert {passage.build.ref.scope for passage in container.stepfunctions.passages()} == {"sales", "people"}
    del container.fakes["a"].failures["start_build bad"]
    request_build(container, event, invocation_id="i1")
    assert {passage.build.ref.scope for passage in container.stepfunctions.passages()} == {"bad", "sales", "people"}
    assert container.fakes["b"].counts["start_build"] == 1


def test_an_empty_report_is_a_result_and_no_error(container: FakeContainer) -> None:
    container.fakes["a"].failures["start_build"] = EmptyReportError("nothing")
    (result,) = request_build(container, {"source": "a", "report": {"preset": {}}}, invocation_id="i1")
    assert result.build.build_id == "request-i1"


@pytest.mark.parametrize(
    "event",
    [
        [],
        "x",
        None,
        7,
        {"data_model": "sales"},
        {"source": "a", "data_model": "sales", "build_id": "x"},
        {"source": "a", "data_model": "sales", "colour": "red"},
        {"source": "A B", "data_model": "sales"},
        {"source": "a", "data_model": "x/../y"},
        {"source": "nobodys", "data_model": "sales"},
        {"source": "c", "data_model": "sales"},
        {"id": "e1", "detail": {}},
        {"id": "a/b", "detail": {"source": "a", "data_model": "sales"}},
        {"id": "x" * 200, "detail": {"source": "a", "data_model": "sales"}},
        {"id": "", "detail": {"source": "a", "data_model": "sales"}},
        {"detail": {"source": "a", "data_model": "sales"}},
        {"scheduled_time": "at five"},
        {"scheduled_time": "2026-04-15T05:00:00"},
    ],
    ids=json.dumps,
)
def test_an_event_that_is_no_request_is_refused_before_anything_is_asked(
    container: FakeContainer, event: object
) -> None:
    with pytest.raises(SettingsError):
        request_build(container, event, invocation_id="i1")
    assert not any(provider.calls for provider in container.fakes.values())
