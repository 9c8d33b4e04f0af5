"""What the scheduled functions do over all sources."""

import json
from typing import Any

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
from courier.usecases.ticks import PollTick, Tick, discover, poll, request
from local.simulator import ManualClock
from tests.fakes import FakeProvider, begin_waiting, build_of, ref_of, settings_of
from tests.world import FakeParts

DOWN = SourceUnavailableError("down")


def never() -> bool:
    return False


def source(name: str) -> FakeProvider:
    return FakeProvider(settings_of(name))


def look(parts: FakeParts, tick: PollTick | None = None) -> dict[str, int]:
    def dispatch(event: str) -> None:
        look(parts, PollTick.model_validate_json(event))

    return poll(parts, tick or PollTick(), time_is_up=never, dispatch=dispatch)


def find(parts: FakeParts, tick: Tick | None = None) -> dict[str, int]:
    return discover(parts, tick or Tick(), time_is_up=never)


@pytest.fixture
def parts(table: Table, clock: ManualClock) -> FakeParts:
    return FakeParts(clock, source("a"), source("b"), broken={"c": "endpoint: field required"})


def waiting(parts: FakeParts, name: str, status: BuildStatus) -> None:
    build = build_of("b1", source=name)
    begin_waiting(parts.builds, parts.stepfunctions, [build], due=parts.clock())
    parts.providers[name].put(build.model_copy(update={"status": status}))


def test_every_source_is_looked_through(parts: FakeParts) -> None:
    parts.providers["a"].put(build_of("b1", source="a"))
    assert find(parts) == {"a": 1, "b": 0}


def test_one_source_alone_when_named(parts: FakeParts) -> None:
    assert find(parts, Tick(source="b")) == {"b": 0}


@pytest.mark.parametrize("name", ["c", "nobodys"])
def test_a_named_source_that_is_not_usable_is_said(parts: FakeParts, name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        look(parts, PollTick(source=name))


@pytest.mark.parametrize("error", [DOWN, SourceUnauthorizedError("401"), SettingsError("secret x does not exist")])
@pytest.mark.parametrize("function", [find, look])
def test_one_source_in_trouble_does_not_stop_the_others(parts: FakeParts, error: SettingsError, function: Any) -> None:  # noqa: ANN401 - either function
    for name in ("a", "b"):
        waiting(parts, name, BuildStatus.SUCCEEDED)
        parts.providers[name].put(build_of("new", source=name))
    parts.providers["a"].failures |= {"scopes": error, "get_build": error, "list_builds": error}
    function(parts)
    if function is look:
        assert [news.build.ref.source for news in parts.stepfunctions.released] == ["b"]
    else:
        assert [passage.build.ref.source for passage in parts.stepfunctions.passages()] == ["b"]


def test_a_source_whose_row_cannot_be_read_fails_the_tick_after_the_others(parts: FakeParts) -> None:
    waiting(parts, "a", BuildStatus.SUCCEEDED)
    waiting(parts, "b", BuildStatus.SUCCEEDED)
    parts.table.update("#source/a", Change(set={"rest_until": "soon"}))
    with pytest.raises(LedgerError):
        look(parts)
    assert [news.build.ref.source for news in parts.stepfunctions.released] == ["b"]


def test_trouble_with_aws_fails_the_tick_after_the_others(parts: FakeParts) -> None:
    waiting(parts, "a", BuildStatus.SUCCEEDED)
    waiting(parts, "b", BuildStatus.SUCCEEDED)
    parts.stepfunctions.failures = [ClientError({"Error": {"Code": "ThrottlingException"}}, "SendTaskSuccess")]
    with pytest.raises(ClientError):
        look(parts)
    assert len(parts.stepfunctions.released) == 1


def test_more_due_builds_than_one_invocation_takes_are_handed_over(
    parts: FakeParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("courier.usecases.ticks.SEGMENT_BUILDS", 2)
    builds = [build_of(f"b{number}", scope=f"scope-{number % 2}", source="a") for number in range(5)]
    begin_waiting(parts.builds, parts.stepfunctions, builds, due=parts.clock())
    parts.providers["a"].put(*(build.model_copy(update={"status": BuildStatus.SUCCEEDED}) for build in builds))
    assert look(parts)["segments"] == 3
    assert len(parts.stepfunctions.released) == 5


def test_a_segment_delivered_twice_looks_once(parts: FakeParts) -> None:
    waiting(parts, "a", BuildStatus.RUNNING)
    segment = PollTick(source="a", due=tuple(parts.builds.due("a", limit=10)))
    assert [look(parts, segment)["looked"] for _ in range(2)] == [1, 0]


def test_a_build_whose_key_is_none_does_not_stop_the_tick(parts: FakeParts) -> None:
    waiting(parts, "a", BuildStatus.SUCCEEDED)
    times = {"first_seen_at": "2026-04-15T11:00:00Z", "deadline_at": "2026-04-16T11:00:00Z"}
    parts.table.update("junk", Change(set={**times, "due_source": "a", "next_poll_at": "2026-04-15T11:00:00Z"}))
    assert look(parts)["released"] == 1


def test_a_source_that_cannot_be_opened_is_announced_and_fails_no_tick(
    parts: FakeParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting(parts, "a", BuildStatus.RUNNING)

    def refuse(settings: object, **_: object) -> FakeProvider:
        raise SettingsError("ca_bundle is no certificate")

    monkeypatch.setattr(parts, "provider", refuse)
    for _ in range(2):
        look(parts)
        find(parts)
    assert sorted(notice.attributes["source"]["StringValue"] for notice in parts.published) == ["a", "b"]


def test_a_source_that_nobody_asked_is_not_called_well(parts: FakeParts, clock: ManualClock) -> None:
    parts.providers["a"].forget_how_to_list()
    waiting(parts, "a", BuildStatus.RUNNING)
    parts.providers["a"].failures["get_build"] = SourceUnauthorizedError("401")
    for _ in range(5):
        look(parts)
        clock.advance(901)
        find(parts)
    assert [notice.attributes["health"]["StringValue"] for notice in parts.published] == ["ill"]


def test_a_source_that_rests_is_not_looked_through(parts: FakeParts, clock: ManualClock) -> None:
    parts.providers["a"].failures["list_builds"] = DOWN
    for _ in range(3):
        find(parts)
    calls = len(parts.providers["a"].calls)
    assert find(parts) == {"b": 0}
    assert len(parts.providers["a"].calls) == calls


def test_a_dead_key_is_announced_once_by_all_functions_together(parts: FakeParts, clock: ManualClock) -> None:
    provider = parts.providers["a"]
    provider.failures |= {name: SourceUnauthorizedError("401") for name in ("scopes", "get_build", "start_build")}
    provider.forget_how_to_list()
    waiting(parts, "a", BuildStatus.RUNNING)
    for _ in range(3):
        look(parts)
        find(parts)
        with pytest.raises(SourceUnauthorizedError):
            request(parts, {"source": "a", "data_model": "sales"}, invocation_id=f"i{clock():%M%S}")
        clock.advance(901)
    assert len(parts.published) == 1


def test_a_request_by_hand_is_known_by_its_invocation(parts: FakeParts) -> None:
    (result,) = request(parts, {"source": "a", "data_model": "sales"}, invocation_id="i1")
    assert result.build == ref_of("started-1", source="a")
    assert "answered" not in result.model_dump(mode="json")
    request(parts, {"source": "a", "data_model": "sales"}, invocation_id="i1")
    assert parts.providers["a"].counts["start_build"] == 1


def test_an_event_delivered_twice_asks_once(parts: FakeParts) -> None:
    event = {"id": "e1", "source": "com.example", "detail-type": "x", "detail": {"source": "a", "data_model": "sales"}}
    for invocation in ("i1", "i2"):
        request(parts, event, invocation_id=invocation)
    assert parts.providers["a"].counts["start_build"] == 1


def scheduled(*wishes: dict[str, str], name: str = "a") -> FakeProvider:
    requests = tuple(BuildRequest.model_validate({"source": name, **wish}) for wish in wishes)
    return FakeProvider(settings_of(name, requests=requests))


def test_a_schedule_asks_for_what_the_sources_list_once_each_time_it_fires(table: Table, clock: ManualClock) -> None:
    parts = FakeParts(clock, scheduled({"data_model": "sales"}, {"data_model": "people"}), source("b"))
    for invocation, fired in (("i1", "05:00:00Z"), ("i2", "05:00:00Z"), ("i3", "06:00:00Z")):
        for ref in list(parts.providers["a"].known):
            parts.providers["a"].set_status(ref.build_id, BuildStatus.SUCCEEDED)
        results = request(parts, {"scheduled_time": f"2026-04-15T{fired}"}, invocation_id=invocation)
        assert [result.build.scope for result in results] == ["sales", "people"]
    assert parts.providers["a"].counts["start_build"] == 4


@pytest.mark.parametrize("error", [DOWN, SettingsError("template: unknown")])
def test_one_failing_wish_does_not_stop_the_others(table: Table, clock: ManualClock, error: SettingsError) -> None:
    parts = FakeParts(
        clock, scheduled({"data_model": "bad"}, {"data_model": "sales"}), scheduled({"data_model": "people"}, name="b")
    )
    parts.providers["a"].failures["start_build bad"] = error
    event = {"scheduled_time": "2026-04-15T05:00:00Z"}
    with pytest.raises(type(error)):
        request(parts, event, invocation_id="i1")
    assert {passage.build.ref.scope for passage in parts.stepfunctions.passages()} == {"sales", "people"}
    del parts.providers["a"].failures["start_build bad"]
    request(parts, event, invocation_id="i1")
    assert {passage.build.ref.scope for passage in parts.stepfunctions.passages()} == {"bad", "sales", "people"}
    assert parts.providers["b"].counts["start_build"] == 1


def test_an_empty_report_is_a_result_and_no_error(parts: FakeParts) -> None:
    parts.providers["a"].failures["start_build"] = EmptyReportError("nothing")
    (result,) = request(parts, {"source": "a", "report": {"preset": {}}}, invocation_id="i1")
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
def test_an_event_that_is_no_request_is_refused_before_anything_is_asked(parts: FakeParts, event: object) -> None:
    with pytest.raises(SettingsError):
        request(parts, event, invocation_id="i1")
    assert not any(provider.calls for provider in parts.providers.values())
