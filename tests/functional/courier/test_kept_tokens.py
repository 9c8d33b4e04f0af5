"""A task token is put aside by the first look that goes on waiting, and releases its execution all the same."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from courier.ledger import BuildRow, Table
from courier.ledger.builds import KEEP_TOKENS
from courier.ledger.table import Change, decode
from courier.ledger.tokens import TokenLedger, mark_of
from courier.models import BuildStatus
from tests.aws import rows
from tests.fakes import NOON, build_of, ref_of
from tests.world import World

# As long as AWS makes them, so that the row is as large as it is there.
TOKEN = "AQCcAAAAKgAAAAMAAAAAAAAAAa" * 38
LATER = timedelta(minutes=15).total_seconds()
ONE_UNIT_BYTES = 1024


def row_of(world: World) -> BuildRow:
    row = world.builds.find(ref_of())
    assert row is not None
    return row


@pytest.fixture
def looked_at(world: World) -> World:
    """A world with one build that runs, was looked at once, and is due again."""
    world.wait_for(build_of())
    world.stepfunctions.waiting.clear()
    world.stepfunctions.arrive(ref_of(), TOKEN)
    assert world.tick().looked == 1
    return world


def end(world: World) -> None:
    world.provider.set_status("b1", BuildStatus.SUCCEEDED)


def test_a_row_that_is_looked_at_again_and_again_is_one_unit_to_write(looked_at: World, table: Table) -> None:
    row = row_of(looked_at)
    assert (row.task_token, row.kept_token, row.has_token) == (None, mark_of(TOKEN), True)
    (item,) = [item for key, item in rows(table).items() if key == str(ref_of())]
    assert sum(len(name) + len(str(value)) for name, value in decode(item).items()) < ONE_UNIT_BYTES / 2


def test_an_execution_is_released_with_the_token_that_was_put_aside(looked_at: World) -> None:
    end(looked_at)
    assert looked_at.tick(seconds=LATER).released == 1
    assert looked_at.stepfunctions.waiting == {}
    row = row_of(looked_at)
    assert (row.kept_token, row.next_poll_at) == (None, None)


def test_a_discovery_releases_with_it_as_well(looked_at: World) -> None:
    end(looked_at)
    looked_at.discover()
    assert len(looked_at.stepfunctions.released) == 1
    assert not looked_at.in_flight(ref_of())


def test_a_wait_that_is_entered_again_is_released_with_its_own_token(looked_at: World) -> None:
    looked_at.stepfunctions.waiting.clear()
    looked_at.stepfunctions.arrive(ref_of(), "token of the redrive")
    end(looked_at)
    assert looked_at.tick(seconds=LATER).released == 1
    assert looked_at.stepfunctions.waiting == {}
    assert not looked_at.in_flight(ref_of())


def test_a_wait_entered_again_during_the_release_is_not_forgotten(looked_at: World) -> None:
    end(looked_at)

    def redrive() -> None:
        looked_at.stepfunctions.waiting.clear()
        looked_at.stepfunctions.arrive(ref_of(), "token of the redrive")
        looked_at.stepfunctions.before_release = lambda: None

    looked_at.stepfunctions.before_release = redrive
    assert looked_at.tick(seconds=LATER).released == 0
    assert row_of(looked_at).task_token == "token of the redrive"
    assert looked_at.tick(seconds=LATER).released == 1


def test_a_late_look_puts_no_old_token_in_the_place_of_a_new_one(world: World, table: Table) -> None:
    world.wait_for(build_of())
    late = row_of(world)
    world.stepfunctions.waiting.clear()
    world.stepfunctions.arrive(ref_of(), "token of the redrive")
    world.tick()
    world.builds.note_status(late, BuildStatus.RUNNING)
    assert row_of(world).kept_token == mark_of("token of the redrive")
    assert TokenLedger(table).find(mark_of("token of the redrive")) == "token of the redrive"
    end(world)
    assert world.tick(seconds=LATER).released == 1


def test_a_look_that_was_killed_between_the_two_writes_is_repaired_by_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.wait_for(build_of())
    keep = TokenLedger.keep

    def killed(self: TokenLedger, token: str, *, until: datetime) -> str:
        keep(self, token, until=until)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TokenLedger, "keep", killed)
        with pytest.raises(KeyboardInterrupt):
            world.tick()
    assert row_of(world).task_token is not None
    world.tick(seconds=LATER)
    assert row_of(world).kept_token is not None
    end(world)
    assert world.tick(seconds=LATER).released == 1


def test_a_release_by_a_row_that_was_read_before_ends_the_flight(world: World) -> None:
    world.wait_for(build_of())
    before = row_of(world)
    world.tick()
    assert row_of(world).kept_token is not None
    assert world.builds.token_of(before) == before.task_token
    assert world.builds.note_released(before)
    assert not world.in_flight(ref_of())


def test_a_build_whose_token_is_gone_is_taken_out_of_flight(looked_at: World, table: Table) -> None:
    table.delete(f"#token/{mark_of(TOKEN)}")
    end(looked_at)
    assert looked_at.tick(seconds=LATER).released == 0
    assert not looked_at.in_flight(ref_of())


def test_a_token_is_kept_for_longer_than_the_wait_can_take(looked_at: World, table: Table) -> None:
    row = row_of(looked_at)
    expires_at = rows(table)[f"#token/{mark_of(TOKEN)}"]["expires_at"]["N"]
    assert int(expires_at) == int((NOON + (row.deadline_at - row.first_seen_at) + KEEP_TOKENS).timestamp())
    assert timedelta(hours=1) < KEEP_TOKENS


def test_a_build_that_is_waited_for_is_not_abandoned(looked_at: World, table: Table) -> None:
    looked_at.builds.abandon(ref_of())
    assert looked_at.in_flight(ref_of())
    table.update(str(ref_of()), Change(remove=("kept_token",)))
    looked_at.builds.abandon(ref_of())
    assert not looked_at.in_flight(ref_of())


def test_a_look_after_the_release_puts_nothing_aside(world: World) -> None:
    world.wait_for(build_of())
    before = row_of(world)
    assert world.builds.note_released(before)
    world.builds.note_status(before, BuildStatus.FAILED)
    row = row_of(world)
    assert (row.kept_token, row.next_poll_at, row.status) == (None, None, BuildStatus.RUNNING)
