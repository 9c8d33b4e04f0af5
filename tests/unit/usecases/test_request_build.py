"""``request_build``: requests by hand, from EventBridge and from the schedule; each is made once."""

import json

import pytest

from courier.errors import (
    EmptyReportError,
    SettingsError,
    SourceUnavailableError,
)
from courier.ledger import Table
from courier.models import BuildRequest, BuildStatus
from courier.usecases.request_build import request_build
from local.simulator import ManualClock
from tests.support.container import FakeContainer
from tests.support.providers import FakeProvider, ref_of, settings_of

DOWN = SourceUnavailableError("down")


def test_a_request_by_hand_is_identified_by_its_invocation(container: FakeContainer) -> None:
    (result,) = request_build(container, {"source": "a", "data_model": "sales"}, invocation_id="i1")
    assert result.build == ref_of("started-1", source="a")
    assert "answered" not in result.model_dump(mode="json")
    request_build(container, {"source": "a", "data_model": "sales"}, invocation_id="i1")
    assert container.fakes["a"].counts["start_build"] == 1


def test_an_event_delivered_twice_starts_one_build(container: FakeContainer) -> None:
    event = {"id": "e1", "source": "com.example", "detail-type": "x", "detail": {"source": "a", "data_model": "sales"}}
    for invocation in ("i1", "i2"):
        request_build(container, event, invocation_id=invocation)
    assert container.fakes["a"].counts["start_build"] == 1


def scheduled(*requests: dict[str, str], name: str = "a") -> FakeProvider:
    made = tuple(BuildRequest.model_validate({"source": name, **fields}) for fields in requests)
    return FakeProvider(settings_of(name, requests=made))


def test_a_schedule_requests_the_builds_of_the_settings_once_each_time_it_fires(
    table: Table, clock: ManualClock
) -> None:
    container = FakeContainer(
        clock, scheduled({"data_model": "sales"}, {"data_model": "people"}), FakeProvider(settings_of("b"))
    )
    for invocation, fired in (("i1", "05:00:00Z"), ("i2", "05:00:00Z"), ("i3", "06:00:00Z")):
        for ref in list(container.fakes["a"].known):
            container.fakes["a"].set_status(ref.build_id, BuildStatus.SUCCEEDED)
        results = request_build(container, {"scheduled_time": f"2026-04-15T{fired}"}, invocation_id=invocation)
        assert [result.build.scope for result in results] == ["sales", "people"]
    assert container.fakes["a"].counts["start_build"] == 4


@pytest.mark.parametrize("error", [DOWN, SettingsError("template: unknown")])
def test_one_failing_request_does_not_stop_the_others(table: Table, clock: ManualClock, error: SettingsError) -> None:
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
        {"source": "unknown", "data_model": "sales"},
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
def test_an_event_that_is_no_request_is_refused_before_any_call(container: FakeContainer, event: object) -> None:
    with pytest.raises(SettingsError):
        request_build(container, event, invocation_id="i1")
    assert not any(provider.calls for provider in container.fakes.values())
