"""Rows that an earlier version wrote into the ledger: the current version continues with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from courier.ledger import BuildLedger, BuildRow, DueBuild, SourceState, Table
from courier.models import Build, BuildRef, BuildRequest, BuildStatus, Outcome, Passage
from courier.usecases.copy_artifact import LedgerCheckpointStore
from tests.functional.upgrades.conftest import LATER
from tests.functional.upgrades.samples import names, restore, sample
from tests.support.container import FakeContainer
from tests.support.providers import settings_of

SALES = "5d1d4f1c-1111-4222-8333-444444444444"
BUILDS = [name for name in names("ledger") if name.startswith("build_")]
SOURCES = [name for name in names("ledger") if name.startswith("source_")]
# For the index, the time to live and an operator; nothing reads them back into a build's row.
WRITTEN_ONLY = {"due_source", "ended_at", "expires_at", "completed_at", "released_at"}
# Read by conditions and counters of their own, not as the state of a source.
OF_THE_SOURCE_ROW = {"build", "schema_version", "budget_minute", "spent", "announcing_at"}


@pytest.mark.parametrize("name", BUILDS)
def test_every_attribute_of_a_builds_row_is_still_understood(name: str) -> None:
    kept = sample("ledger", name)
    row = BuildRow.model_validate(kept)
    assert set(kept) - WRITTEN_ONLY <= set(BuildRow.model_fields)
    for attribute in set(kept) - WRITTEN_ONLY:
        assert same(getattr(row, attribute), kept[attribute]), attribute


def same(value: object, kept: object) -> bool:
    return value == (datetime.fromisoformat(str(kept)) if isinstance(value, datetime) else kept)


@pytest.mark.parametrize("name", SOURCES)
def test_every_attribute_of_a_sources_row_is_still_understood(name: str) -> None:
    kept = sample("ledger", name)
    state = SourceState.model_validate(kept)
    field_of = {field.validation_alias or name: name for name, field in SourceState.model_fields.items()}
    assert set(kept) - OF_THE_SOURCE_ROW <= set(field_of)
    for attribute in set(kept) - OF_THE_SOURCE_ROW:
        assert same(getattr(state, field_of[attribute]), kept[attribute]), attribute


@pytest.mark.parametrize("name", [name for name in BUILDS if "next_poll_at" in sample("ledger", name)])
def test_the_index_shows_a_build_in_flight(name: str, container: FakeContainer, table: Table) -> None:
    kept = restore(table, name)
    [due] = container.builds.due("insights", limit=10)
    assert isinstance(due, DueBuild)
    assert (due.build, due.next_poll_at, due.status) == (kept["build"], kept["next_poll_at"], kept["status"])


def test_a_build_in_flight_is_released_with_the_token_that_it_waits_for(container: FakeContainer, table: Table) -> None:
    kept = restore(table, "build_waiting")
    ref = BuildRef.parse(kept["build"])
    container.stepfunctions.waiting[kept["task_token"]] = kept["build"]
    container.fake.put(Build(ref=ref, status=BuildStatus.FAILED, completed_at=LATER))
    assert container.poll().released == 1
    [payload] = container.stepfunctions.released
    assert (payload.build.ref, payload.outcome, payload.polls) == (ref, Outcome.FAILED, kept["polls"] + 1)
    assert not container.in_flight(ref)


def test_a_polled_build_is_released_with_its_stored_token(container: FakeContainer, table: Table) -> None:
    kept, token = restore(table, "build_watched"), restore(table, "token")["task_token"]
    ref = BuildRef.parse(kept["build"])
    container.stepfunctions.waiting[token] = kept["build"]
    container.fake.put(Build(ref=ref, status=BuildStatus.FAILED, completed_at=LATER))
    assert container.poll().released == 1
    assert not container.in_flight(ref)


def test_a_build_in_flight_keeps_its_deadline_and_its_failure_counts(container: FakeContainer, table: Table) -> None:
    kept = restore(table, "build_waiting")
    ref = BuildRef.parse(kept["build"])
    row = container.builds.find(ref)
    assert row is not None
    assert row.deadline_at == datetime(2026, 4, 16, 12, 0, tzinfo=UTC)
    counted = container.builds.count_failure(row, "500", not_found=True)
    assert counted is not None
    assert (counted.not_found, counted.failures) == (kept["not_found"] + 1, kept["failures"])


def test_a_registered_build_without_an_execution_gets_the_very_same_one(container: FakeContainer, table: Table) -> None:
    kept = restore(table, "build_registered")
    container.fake.put(Build(ref=BuildRef.parse(kept["build"]), status=BuildStatus.RUNNING))
    container.poll()
    assert list(container.stepfunctions.executions.values()) == [kept["passage"]]
    [passage] = container.stepfunctions.passages()
    assert passage == Passage.model_validate_json(kept["passage"])


def test_a_copy_continues_from_its_checkpoint(container: FakeContainer, table: Table) -> None:
    kept = restore(table, "build_copying")
    store = LedgerCheckpointStore(container.builds, BuildRef.parse(kept["build"]), kept["checkpoint_key"])
    checkpoint = store.load()
    assert checkpoint is not None
    assert (checkpoint.upload_id, checkpoint.done_bytes, checkpoint.continuations) == (
        kept["checkpoint_upload"],
        83_886_080,
        1,
    )
    assert checkpoint.etag == '"9b2cf535f27731c974343645a3985328-22"'
    store.clear(checkpoint.upload_id)
    assert store.load() is None


@pytest.mark.parametrize("name", ["build_ended", "build_ended_unregistered", "build_released"])
def test_a_known_build_is_not_registered_again(name: str, container: FakeContainer, table: Table) -> None:
    ref = BuildRef.parse(restore(table, name)["build"])
    container.use(settings_of(ref.source))
    build = Build(ref=ref, status=BuildStatus.RUNNING, created_at=LATER)
    container.fake.put(build)
    assert container.discovery.register_new(container.fake, [build]) == 0
    assert container.stepfunctions.executions == {}


def test_an_ended_build_keeps_the_key_of_its_record(container: FakeContainer, table: Table) -> None:
    kept = restore(table, "build_ended")
    row = container.builds.close(BuildRef.parse(kept["build"]), Outcome.DELIVERED, record_key="another", build={})
    assert row is not None
    assert row.record_key == kept["record_key"]


def test_a_served_request_is_not_repeated(container: FakeContainer, table: Table) -> None:
    kept = restore(table, "request_started")
    restore(table, "build_waiting")
    request_id = kept["build"].rpartition("/")[2]
    result = container.requester.request(
        container.fake, BuildRequest(source="insights", data_model=SALES), request_id=request_id
    )
    assert (str(result.build), result.begun) == (kept["started"], False)
    assert container.fake.counts["start_build"] == 0


def test_a_request_that_was_cut_off_is_searched_for_and_not_repeated(container: FakeContainer, table: Table) -> None:
    kept = restore(table, "request_asked")
    asked_at = container.requests.claimed_at("red-team", "cut-off-request")
    assert asked_at == datetime.fromisoformat(kept["asked_at"])
    container.use(settings_of("red-team"))
    result = container.requester.request(
        container.fake, BuildRequest(source="red-team", data_model="sales"), request_id="cut-off-request"
    )
    assert result.build.build_id == "request-cut-off-request"
    assert container.fake.counts["start_build"] == 0


def test_a_source_keeps_its_state(container: FakeContainer, table: Table) -> None:
    kept = restore(table, "source_backing_off")
    state = container.source_ledger.state("insights")
    assert (state.failures, state.next_scope) == (3, SALES)
    assert container.source_ledger.first_discovery_at("insights") == datetime.fromisoformat(kept["first_sight_at"])
    assert state.backoff_until == datetime.fromisoformat(kept["rest_until"])


def test_an_announced_unhealthy_source_is_only_reported_as_recovered(container: FakeContainer, table: Table) -> None:
    restore(table, "source_unhealthy")
    settings = settings_of("red-team")
    state = container.health.state("red-team")
    assert state.unhealthy_since is not None
    assert not container.source_ledger.claim_announcement(
        "red-team", since=state.unhealthy_since, timeout=timedelta(minutes=1)
    )
    container.health.record_success(settings, state)
    assert [publication.attributes["health"]["StringValue"] for publication in container.published] == ["recovered"]


def test_the_durations_of_a_scope_are_still_read(container: FakeContainer, table: Table) -> None:
    restore(table, "scope")
    assert sorted(container.source_ledger.durations("insights", SALES)) == [61.0, 1190.0, 1245.5]


def test_attributes_of_a_later_version_are_ignored(container: FakeContainer, table: Table) -> None:
    kept = restore(table, "build_waiting", schema_version=2, priority="high")
    row = container.builds.find(BuildRef.parse(kept["build"]))
    assert row is not None
    assert (row.schema_version, row.task_token) == (2, kept["task_token"])


def test_an_unreadable_row_is_postponed_and_does_not_block_others(container: FakeContainer, table: Table) -> None:
    restore(table, "build_waiting", status="a status of a later version")
    other = restore(table, "build_registered")
    assert [due.build for due in container.builds.due("insights", limit=10)] == [other["build"]]
    put_off = BuildLedger(table, lambda: LATER + timedelta(minutes=61))
    container.manual_clock.advance(3_660)
    assert [due.build for due in put_off.due("insights", limit=10)] == [other["build"]]
