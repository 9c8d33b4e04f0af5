from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import pytest

from local.simulator import BuildPlan, DataModel, ProviderName, RequestKind, ScheduledBuild, TreasureAccount

from .conftest import BUILD, MODEL, Client, scenario

BUILDS = f"/datamodels/{MODEL}/builds"


def test_the_models_are_a_bare_list_with_the_fields_that_the_vendors_scripts_read(client: Client) -> None:
    (model,) = client.treasure("GET", "/datamodels").json()

    assert set(model) == {
        "name", "oid", "created_by", "updated_by", "last_updated", "last_built", "status", "created_at"
    }  # fmt: skip
    assert model["oid"] == MODEL


def test_a_filter_by_type_leaves_out_the_other_models(client: Client) -> None:
    assert client.treasure("GET", "/datamodels?type=live").json() == []
    assert len(client.treasure("GET", "/datamodels?type=elasticube").json()) == 1


@pytest.mark.parametrize(
    ("age_seconds", "status", "started", "completed"),
    [
        (0, "pending", None, None),
        (4.9, "pending", None, None),
        (5, "building", "2026-04-15T12:00:05.000+00:00", None),
        (44.9, "building", "2026-04-15T12:00:05.000+00:00", None),
        (45, "done", "2026-04-15T12:00:05.000+00:00", "2026-04-15T12:00:45.000+00:00"),
        (9000, "done", "2026-04-15T12:00:05.000+00:00", "2026-04-15T12:00:45.000+00:00"),
    ],
)
def test_a_build_goes_its_way_on_the_clock(
    client: Client, age_seconds: float, status: str, started: str | None, completed: str | None
) -> None:
    client.clock.advance(age_seconds)

    assert client.treasure("GET", f"{BUILDS}/{BUILD}").json() == {
        "oid": BUILD,
        "buildType": "full",
        "status": status,
        "created": "2026-04-15T12:00:00.000+00:00",
        "started": started,
        "completed": completed,
    }


def test_the_list_writes_the_same_instants_with_z(client: Client) -> None:
    client.clock.advance(60)

    listed = {build["oid"]: build for build in client.treasure("GET", BUILDS).json()}
    single = client.treasure("GET", f"{BUILDS}/{BUILD}").json()

    assert listed[BUILD]["completed"] == "2026-04-15T12:00:45.000Z"
    assert datetime.fromisoformat(listed[BUILD]["completed"]) == datetime.fromisoformat(single["completed"])


def test_times_that_did_not_happen_may_be_absent(simulate: Callable[..., Client]) -> None:
    account = replace(scenario().treasure, unset_times="absent")
    client = simulate(scenario(treasure=account))

    assert set(client.treasure("GET", f"{BUILDS}/{BUILD}").json()) == {"oid", "buildType", "status", "created"}


def test_the_list_is_not_in_the_order_of_age(simulate: Callable[..., Client]) -> None:
    builds = tuple(ScheduledBuild(created_offset_seconds=-100.0 * age) for age in range(12))
    client = simulate(scenario(treasure=TreasureAccount(models=(DataModel(MODEL, "m", builds),))))

    created = [build["created"] for build in client.treasure("GET", BUILDS).json()]

    assert len(created) == 12
    assert created not in (sorted(created), sorted(created, reverse=True))
    assert created == [build["created"] for build in client.treasure("GET", BUILDS).json()]


def test_a_build_of_the_future_is_not_there_before_its_time(simulate: Callable[..., Client]) -> None:
    later = DataModel(MODEL, "m", (ScheduledBuild(created_offset_seconds=30),))
    client = simulate(scenario(treasure=TreasureAccount(models=(later,))))

    assert client.treasure("GET", BUILDS).json() == []
    client.clock.advance(30)
    assert len(client.treasure("GET", BUILDS).json()) == 1


def test_started_builds_take_the_plans_in_turn_and_the_last_one_again(client: Client) -> None:
    oids = []
    for _ in range(3):
        started = client.treasure("POST", BUILDS, json={"buildType": "full"})
        assert started.status_code == 200
        oids.append(started.json()["oid"])
    client.clock.advance(60)

    final_statuses = [client.treasure("GET", f"{BUILDS}/{oid}").json()["status"] for oid in oids]

    assert final_statuses == ["failed", "done", "done"]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"build_type": "full"}', b'{"buildType": "half"}'])
def test_a_build_is_not_started_without_a_known_type(client: Client, body: bytes) -> None:
    before = client.providers.builds

    response = client.treasure("POST", BUILDS, data=body)

    assert response.status_code in {400, 422}
    assert client.providers.builds == before


def test_the_status_of_the_post_can_be_chosen(simulate: Callable[..., Client]) -> None:
    client = simulate(scenario(treasure=replace(scenario().treasure, start_status=201)))

    assert client.treasure("POST", BUILDS, json={"buildType": "full"}).status_code == 201


def test_a_running_build_can_be_canceled_and_an_ended_one_stays(client: Client) -> None:
    client.clock.advance(10)
    assert client.treasure("DELETE", f"{BUILDS}/{BUILD}").json()["status"] == "canceled"
    client.clock.advance(100)

    build = client.treasure("DELETE", f"{BUILDS}/{BUILD}").json()

    assert (build["status"], build["completed"]) == ("canceled", "2026-04-15T12:00:10.000+00:00")
    ended = next(build for build in client.providers.builds if build.status == "done")
    assert client.treasure("DELETE", f"{BUILDS}/{ended.build_id}").json()["status"] == "done"


def test_a_build_canceled_before_its_turn_never_started(simulate: Callable[..., Client]) -> None:
    plan = BuildPlan(queue_seconds=5, run_seconds=0, final_status="canceled")
    model = DataModel(MODEL, "m", (ScheduledBuild(plan, build_id=BUILD),))
    client = simulate(scenario(treasure=TreasureAccount(models=(model,))))
    client.clock.advance(6)

    build = client.treasure("GET", f"{BUILDS}/{BUILD}").json()

    assert (build["status"], build["started"]) == ("canceled", None)


def test_the_limits_belong_to_the_account(client: Client) -> None:
    assert client.treasure("GET", "/1234").json() == {"build_size": 8, "query_size": 4}
    assert client.treasure("GET", "/4321").status_code == 404


@pytest.mark.parametrize(
    ("authorization", "status"),
    [("", 401), ("TD1 1/wrong", 401), ("Bearer " + TreasureAccount().key, 401), ("TD1 1/weak", 403)],
)
def test_a_wrong_key_gets_the_v3_envelope(client: Client, authorization: str, status: int) -> None:
    response = client.treasure("GET", "/datamodels", headers={"Authorization": authorization})

    assert response.status_code == response.json()["status_code"] == status
    assert set(response.json()) == {"error", "message", "text", "severity", "status_code"}


@pytest.mark.parametrize("path", ["/datamodels/nope/builds", f"{BUILDS}/nope", f"/datamodels/nope/builds/{BUILD}"])
def test_what_does_not_exist_is_404(client: Client, path: str) -> None:
    assert client.treasure("GET", path).status_code == 404


def test_a_rotated_key_is_the_only_one_that_works(client: Client) -> None:
    client.providers.rotate_key(ProviderName.TREASURE_INSIGHTS, "1/new")

    assert client.treasure("GET", "/datamodels").status_code == 401
    assert client.treasure("GET", "/datamodels", headers={"Authorization": "TD1 1/new"}).status_code == 200


def test_the_state_and_the_log_show_what_happened(client: Client) -> None:
    oid = client.treasure("POST", BUILDS, json={"buildType": "full"}).json()["oid"]
    client.clock.advance(60)

    state = client.providers.build(oid)

    assert (state.scope, state.status, state.artifact_bytes) == (MODEL, "failed", None)
    (entry,) = client.providers.requests.of(RequestKind.START_BUILD, scope=MODEL)
    assert (entry.method, entry.status, entry.provider) == ("POST", 200, ProviderName.TREASURE_INSIGHTS)
    assert client.providers.requests.counts() == {RequestKind.START_BUILD: 1}
