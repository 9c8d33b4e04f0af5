"""What a client sees when an API answers in JSON that it should not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
import requests

from local.simulator import (
    AddText,
    CapitalIds,
    CutBody,
    DropFields,
    DropItems,
    Fault,
    FaultPlan,
    FaultRule,
    FloodList,
    LinkExpired,
    Paginate,
    ReorderItems,
    RepeatItems,
    Reply,
    RequestKind,
    SetFields,
    ShiftTimes,
    WrapBody,
    WriteTimes,
)

from .conftest import BUILD, JOB, MODEL, Client

BUILDS = f"/datamodels/{MODEL}/builds"
Simulate = Callable[..., Client]


def build_after(simulate: Simulate, fault: Fault) -> dict[str, Any]:
    client = simulate(faults=FaultPlan(FaultRule(fault, RequestKind.GET_BUILD)))
    client.clock.advance(60)
    body: dict[str, Any] = client.treasure("GET", f"{BUILDS}/{BUILD}").json()
    return body


def builds_after(simulate: Simulate, fault: Fault) -> list[dict[str, Any]]:
    client = simulate(faults=FaultPlan(FaultRule(fault, RequestKind.LIST_BUILDS)))
    client.clock.advance(60)
    body: list[dict[str, Any]] = client.treasure("GET", BUILDS).json()
    return body


@pytest.mark.parametrize(
    ("name", "value"),
    [("status", "archived"), ("status", 7), ("completed", None), ("created", 1767602181749), ("progress", 0.5)],
)
def test_a_field_may_have_any_value(simulate: Simulate, name: str, value: Any) -> None:  # noqa: ANN401 - any JSON
    assert build_after(simulate, SetFields({name: value}))[name] == value


def test_a_field_may_be_missing(simulate: Simulate) -> None:
    assert set(build_after(simulate, DropFields(("status", "oid")))) == {"buildType", "created", "started", "completed"}


def test_times_may_lie_in_the_future(simulate: Simulate) -> None:
    shifted = build_after(simulate, ShiftTimes(86400))

    assert datetime.fromisoformat(shifted["completed"]) == datetime.fromisoformat("2026-04-16T12:00:45+00:00")


@pytest.mark.parametrize(
    ("fault", "written"),
    [
        (WriteTimes("text"), "2026-04-15 12:00:45 UTC"),
        (WriteTimes("epoch"), 1776254445),
        (WriteTimes("epoch_ms"), 1776254445000),
        (WriteTimes("local", offset_hours=-8), "2026-04-15T04:00:45"),
        (WriteTimes("words"), "a while ago"),
    ],
)
def test_times_may_have_another_form(simulate: Simulate, fault: Fault, written: object) -> None:
    assert build_after(simulate, fault)["completed"] == written


def test_ids_may_be_in_capitals(simulate: Simulate) -> None:
    assert build_after(simulate, CapitalIds())["oid"] == BUILD.upper()


def test_text_is_added_to_every_object_in_a_charset(simulate: Simulate) -> None:
    client = simulate(faults=FaultPlan(FaultRule(AddText(), RequestKind.LIST_BUILDS)))
    response = client.treasure("GET", BUILDS)
    assert response.headers["Content-Type"] == "application/json; charset=iso-8859-1"
    assert response.content.count('"owner": "José"'.encode("latin-1")) == len(response.json()) == 2


def test_a_list_may_come_in_pages(simulate: Simulate) -> None:
    client = simulate(faults=FaultPlan(FaultRule(Paginate(1), RequestKind.LIST_BUILDS, times=None)))
    first = client.treasure("GET", BUILDS)
    second = client.session.get(f"{client.providers.url}{first.links['next']['url']}", headers=first.request.headers)
    assert [len(first.json()), len(second.json())] == [1, 1]
    assert first.json() != second.json()
    assert (first.headers["X-Total-Count"], "Link" in second.headers) == ("2", False)


def test_a_status_may_go_backwards(simulate: Simulate) -> None:
    fault = SetFields({"status": "building", "completed": None})
    client = simulate(faults=FaultPlan(FaultRule(fault, RequestKind.GET_BUILD, build_id=BUILD, nth=2)))
    client.clock.advance(60)

    seen = [client.treasure("GET", f"{BUILDS}/{BUILD}").json()["status"] for _ in range(3)]

    assert seen == ["done", "building", "done"]


def test_one_build_of_a_list_may_be_wrong(simulate: Simulate) -> None:
    builds = builds_after(simulate, SetFields({"status": "archived"}, build_id=BUILD))

    assert {build["oid"]: build["status"] for build in builds}[BUILD] == "archived"
    assert [build["status"] for build in builds].count("done") == 1


def test_a_list_may_repeat_itself(simulate: Simulate) -> None:
    builds = builds_after(simulate, RepeatItems(3))

    assert (len(builds), len({build["oid"] for build in builds})) == (6, 2)


def test_a_list_may_change_its_order(simulate: Simulate) -> None:
    orders = {tuple(build["oid"] for build in builds_after(simulate, ReorderItems(seed))) for seed in range(8)}

    assert len(orders) == 2


def test_a_list_may_lose_items(simulate: Simulate) -> None:
    assert builds_after(simulate, DropItems()) == []


def test_a_list_may_be_huge(simulate: Simulate) -> None:
    builds = builds_after(simulate, FloodList(20_000))

    assert len({build["oid"] for build in builds}) == 20_002


def test_a_list_may_be_wrapped(simulate: Simulate) -> None:
    client = simulate(faults=FaultPlan(FaultRule(WrapBody("builds"), RequestKind.LIST_BUILDS)))

    assert list(client.treasure("GET", BUILDS).json()) == ["builds"]


def test_the_size_of_a_report_may_be_wrong(simulate: Simulate) -> None:
    client = simulate(faults=FaultPlan(FaultRule(SetFields({"file_size_bytes": 1}), RequestKind.GET_JOB)))

    assert client.airt("GET", f"/build/{JOB}").json()["file_size_bytes"] == 1
    assert len(client.fetch().content) > 1


@pytest.mark.parametrize(
    "fault",
    [Reply(200, b"<html>", "text/html"), Reply(200, b"{oops", "application/json"), CutBody(9, with_length=False)],
)
def test_a_response_may_not_be_json(simulate: Simulate, fault: Fault) -> None:
    client = simulate(faults=FaultPlan(FaultRule(fault, RequestKind.GET_JOB)))

    response = client.airt("GET", f"/build/{JOB}")

    assert response.status_code == 200
    with pytest.raises(requests.exceptions.JSONDecodeError):
        response.json()


def test_a_response_that_is_not_json_stays_unchanged(simulate: Simulate) -> None:
    client = simulate(faults=FaultPlan(FaultRule(SetFields({"status": "x"}), RequestKind.ARTIFACT)))

    assert client.fetch().content == client.providers.artifact_bytes(JOB)


def test_faults_add_up(simulate: Simulate) -> None:
    plan = FaultPlan(
        FaultRule(LinkExpired(), RequestKind.ARTIFACT),
        FaultRule(CutBody(20, with_length=False), RequestKind.ARTIFACT),
    )
    client = simulate(faults=plan)

    response = client.fetch()

    assert (response.status_code, len(response.content)) == (403, 20)
    (entry,) = client.providers.requests.of(RequestKind.ARTIFACT)
    assert entry.faults == ("LinkExpired", "CutBody")
