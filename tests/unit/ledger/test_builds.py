from datetime import datetime, timedelta

import pytest

from courier.errors import LedgerError
from courier.ledger import BuildLedger, BuildRow, Table
from courier.ledger.builds import KEEP_ENDED, UNREADABLE_RETRY
from courier.ledger.table import Change
from courier.models import BuildRef, BuildStatus, Outcome
from local.simulator import ManualClock
from tests.support.aws import rows
from tests.support.providers import HOUR, NOON, build_of, passage_of, ref_of

MINUTE = timedelta(minutes=1)


@pytest.fixture
def builds(table: Table, clock: ManualClock) -> BuildLedger:
    return BuildLedger(table, clock)


def register(builds: BuildLedger, *ids: str, due: datetime = NOON, **fields: object) -> None:
    for build_id in ids:
        assert builds.register(passage_of(build_of(build_id, **fields)), next_poll_at=due)  # type: ignore[arg-type]  # status and times


def found(builds: BuildLedger) -> BuildRow:
    row = builds.find(ref_of())
    assert row is not None
    return row


def test_a_build_is_registered_once(builds: BuildLedger) -> None:
    assert builds.register(passage_of(), next_poll_at=NOON)
    assert not builds.register(passage_of(polls=7), next_poll_at=NOON + HOUR)
    row = builds.find(ref_of())
    assert row is not None
    assert row.passage == passage_of().model_dump_json(exclude_none=True)
    assert row.deadline_at == NOON + timedelta(hours=24)


def test_a_build_that_was_never_registered_is_not_found(builds: BuildLedger) -> None:
    assert builds.find(ref_of()) is None


def test_the_passage_is_stored_until_the_execution_has_started(builds: BuildLedger) -> None:
    register(builds, "b1")
    assert found(builds).passage is not None
    builds.set_execution(ref_of(), "arn", waits=True)
    assert (found(builds).passage, found(builds).execution) == (None, "arn")


@pytest.mark.long
def test_more_builds_than_one_batch_are_found(builds: BuildLedger) -> None:
    ids = [f"b{number}" for number in range(130)]
    register(builds, *ids)
    found = builds.find_many([*(ref_of(i) for i in ids), ref_of("unknown"), ref_of("b1")])
    assert {ref.build_id for ref in found} == set(ids)


def test_the_builds_that_have_waited_longest_are_due_first(builds: BuildLedger) -> None:
    register(builds, "second", due=NOON - MINUTE)
    register(builds, "first", due=NOON - 2 * MINUTE)
    register(builds, "now", due=NOON)
    register(builds, "later", due=NOON + MINUTE)
    register(builds, "others", source="elsewhere")
    assert [due.ref.build_id for due in builds.due("insights", limit=10)] == ["first", "second", "now"]
    assert [due.ref.build_id for due in builds.due("insights", limit=1)] == ["first"]


def test_exactly_one_of_two_pollers_claims_a_build(builds: BuildLedger) -> None:
    register(builds, "b1")
    one, other = builds.due("insights", limit=10)[0], builds.due("insights", limit=10)[0]
    assert builds.claim(one, next_poll_at=NOON + MINUTE) is not None
    assert builds.claim(other, next_poll_at=NOON + MINUTE) is None
    row = builds.find(ref_of())
    assert row is not None
    assert row.polls == 1


def test_a_claimed_build_is_not_due_before_its_next_poll(builds: BuildLedger, clock: ManualClock) -> None:
    register(builds, "b1")
    builds.claim(builds.due("insights", limit=10)[0], next_poll_at=NOON + MINUTE)
    clock.advance(59)
    assert builds.due("insights", limit=10) == []
    clock.advance(1)
    assert len(builds.due("insights", limit=10)) == 1


def test_a_released_build_cannot_be_claimed_from_an_earlier_due_list(builds: BuildLedger, table: Table) -> None:
    register(builds, "b1")
    due = builds.due("insights", limit=10)[0]
    table.update(str(ref_of()), Change(set={"task_token": "t"}))
    assert builds.mark_released(found(builds))
    assert builds.claim(due, next_poll_at=NOON) is None
    assert builds.due("insights", limit=10) == []


def test_a_release_keeps_the_token_of_a_later_wait(builds: BuildLedger, table: Table) -> None:
    register(builds, "b1")
    table.update(str(ref_of()), Change(set={"task_token": "of the first wait"}))
    seen = found(builds)
    table.update(str(ref_of()), Change(set={"task_token": "of the redrive"}))
    assert not builds.mark_released(seen)
    row = found(builds)
    assert (row.task_token, row.next_poll_at is None) == ("of the redrive", False)


def test_make_due_affects_builds_in_flight_only(builds: BuildLedger) -> None:
    register(builds, "b1", due=NOON + HOUR)
    builds.make_due(ref_of())
    assert len(builds.due("insights", limit=10)) == 1
    builds.close(ref_of(), Outcome.SUCCEEDED, record_key="k", build={})
    builds.make_due(ref_of())
    builds.make_due(ref_of("never-seen"))
    assert builds.due("insights", limit=10) == []
    assert builds.find(ref_of("never-seen")) is None


def test_failures_and_not_found_are_counted_separately_and_reset_by_a_status(builds: BuildLedger) -> None:
    register(builds, "b1", status=BuildStatus.RUNNING)
    row = builds.find(ref_of())
    assert row is not None
    builds.count_failure(row, "500", not_found=True)
    counted = builds.count_failure(row, "500", not_found=False)
    assert counted is not None
    assert (counted.not_found, counted.failures) == (1, 1)
    builds.set_status(counted, BuildStatus.RUNNING)
    row = builds.find(ref_of())
    assert row is not None
    assert (row.not_found, row.failures) == (0, 0)


def test_status_since_changes_with_the_status_only(builds: BuildLedger, clock: ManualClock) -> None:
    register(builds, "b1", status=BuildStatus.QUEUED)
    for status, since in ((BuildStatus.QUEUED, NOON), (BuildStatus.RUNNING, NOON + 2 * MINUTE)):
        clock.advance(60)
        row = builds.find(ref_of())
        assert row is not None
        builds.set_status(row, status)
        row = builds.find(ref_of())
        assert row is not None
        assert (row.status, row.status_since) == (status, since)


@pytest.mark.parametrize("write", ["status", "failure", "make_due", "released"])
def test_a_late_write_does_not_recreate_a_deleted_row(builds: BuildLedger, table: Table, write: str) -> None:
    register(builds, "b1")
    row = builds.find(ref_of())
    assert row is not None
    table.delete(str(ref_of()))
    if write == "status":
        builds.set_status(row, BuildStatus.FAILED)
    elif write == "failure":
        assert builds.count_failure(row, "500", not_found=True) is None
    elif write == "make_due":
        builds.make_due(ref_of())
    else:
        assert not builds.mark_released(row)
    assert rows(table) == {}


def test_closing_keeps_the_first_record_key_and_takes_the_build_out_of_flight(
    builds: BuildLedger, table: Table, clock: ManualClock
) -> None:
    register(builds, "b1")
    first = builds.close(ref_of(), Outcome.FAILED, record_key="first", build={"status": "failed"})
    clock.advance(3600)
    second = builds.close(ref_of(), Outcome.DELIVERED, record_key="second", build={"status": "succeeded"})
    assert first is not None
    assert second is not None
    assert (first.record_key, second.record_key) == ("first", "first")
    assert second.outcome is Outcome.DELIVERED
    assert second.next_poll_at is None
    expires = int(rows(table)[str(ref_of())]["expires_at"]["N"])
    assert expires == int((NOON + HOUR + KEEP_ENDED).timestamp())


def test_a_build_in_flight_does_not_expire(builds: BuildLedger, table: Table) -> None:
    register(builds, "b1")
    assert "expires_at" not in rows(table)[str(ref_of())]


def test_closing_a_build_whose_row_is_gone_makes_a_readable_row(builds: BuildLedger) -> None:
    row = builds.close(ref_of(), Outcome.LOST, record_key="k", build={})
    assert row is not None
    assert row.record_key == "k"
    assert builds.find(ref_of()) is not None


def test_a_row_of_a_newer_version_is_read(builds: BuildLedger, table: Table) -> None:
    register(builds, "b1")
    table.update(str(ref_of()), Change(set={"schema_version": 2, "mood": "good", "weight": 1.5, "heavy": True}))
    assert builds.find(ref_of()) is not None
    assert len(builds.due("insights", limit=10)) == 1


@pytest.mark.parametrize(
    "damage", [{"first_seen_at": "yesterday"}, {"deadline_at": "never"}, {"status": "paused"}, {"schema_version": "x"}]
)
def test_an_unreadable_row_is_an_error_that_names_the_build(
    builds: BuildLedger, table: Table, damage: dict[str, str | int]
) -> None:
    register(builds, "b1", "b2")
    table.update(str(ref_of("b1")), Change(set=damage))
    with pytest.raises(LedgerError, match="insights/sales/b1"):
        builds.find(ref_of("b1"))
    assert builds.find_many([ref_of("b1"), ref_of("b2")])[ref_of("b1")] is None


def test_an_unreadable_row_is_postponed_and_does_not_block_others(
    builds: BuildLedger, table: Table, clock: ManualClock
) -> None:
    register(builds, "broken", due=NOON - HOUR)
    register(builds, "sound")
    table.update(str(ref_of("broken")), Change(set={"deadline_at": "never"}))
    assert [due.ref.build_id for due in builds.due("insights", limit=10)] == ["sound"]
    assert [due.ref.build_id for due in builds.due("insights", limit=1)] == ["sound"]
    clock.advance(UNREADABLE_RETRY.total_seconds())
    table.update(str(ref_of("broken")), Change(set={"deadline_at": "2026-04-16T12:00:00Z"}))
    assert {due.ref.build_id for due in builds.due("insights", limit=10)} == {"sound", "broken"}


def test_a_row_written_only_by_a_redriven_wait_is_postponed(builds: BuildLedger, table: Table) -> None:
    table.update(
        str(ref_of()), Change(set={"task_token": "t", "due_source": "insights", "next_poll_at": "2026-04-15T11:00:00Z"})
    )
    assert builds.due("insights", limit=10) == []


def test_a_checkpoint_belongs_to_one_copy(builds: BuildLedger) -> None:
    register(builds, "b1")
    assert builds.save_checkpoint(ref_of(), upload_id="one", key="k", text="1")
    assert not builds.save_checkpoint(ref_of(), upload_id="other", key="k", text="2")
    builds.advance_checkpoint(ref_of(), "other", "2")
    assert builds.checkpoint(ref_of()) == "1"
    builds.advance_checkpoint(ref_of(), "one", "3")
    assert builds.checkpoint(ref_of()) == "3"
    builds.clear_checkpoint(ref_of(), "other")
    assert builds.checkpoint(ref_of()) == "3"
    builds.clear_checkpoint(ref_of(), "one")
    assert builds.checkpoint(ref_of()) is None


def test_a_reference_of_any_language_is_a_key(builds: BuildLedger) -> None:
    ref = BuildRef(source="s", scope="漢" * 200, build_id="Ü %/".replace("/", "#"))
    builds.register(passage_of(build_of().model_copy(update={"ref": ref})), next_poll_at=NOON)
    row = builds.find(ref)
    assert row is not None
    assert row.ref == ref
