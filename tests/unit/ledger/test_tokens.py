"""A poll that waits on moves the task token out of the row; the token releases the execution all the same."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from courier.ledger import BuildRow, Table
from courier.ledger.builds import KEEP_TOKENS, TokenLedger, mark_of
from courier.ledger.table import Change, decode
from courier.models import BuildStatus
from tests.support.aws import rows
from tests.support.container import FakeContainer
from tests.support.providers import NOON, build_of, ref_of

# As long as AWS makes them, so that the row is as large as it is there.
TOKEN = "AQCcAAAAKgAAAAMAAAAAAAAAAa" * 38
LATER = timedelta(minutes=15).total_seconds()
ONE_UNIT_BYTES = 1024


def row_of(container: FakeContainer) -> BuildRow:
    row = container.builds.find(ref_of())
    assert row is not None
    return row


@pytest.fixture
def polled_once(container: FakeContainer) -> FakeContainer:
    """Return a container with one build that runs, was polled once, and is due again."""
    container.wait_for(build_of())
    container.stepfunctions.waiting.clear()
    container.stepfunctions.arrive(ref_of(), TOKEN)
    assert container.poll().polled == 1
    return container


def end(container: FakeContainer) -> None:
    container.fake.set_status("b1", BuildStatus.SUCCEEDED)


def test_a_row_that_is_polled_repeatedly_costs_one_write_unit(polled_once: FakeContainer, table: Table) -> None:
    row = row_of(polled_once)
    assert (row.task_token, row.kept_token, row.has_token) == (None, mark_of(TOKEN), True)
    (item,) = [item for key, item in rows(table).items() if key == str(ref_of())]
    assert sum(len(name) + len(str(value)) for name, value in decode(item).items()) < ONE_UNIT_BYTES / 2


def test_an_execution_is_released_with_its_stored_token(polled_once: FakeContainer) -> None:
    end(polled_once)
    assert polled_once.poll(seconds=LATER).released == 1
    assert polled_once.stepfunctions.waiting == {}
    row = row_of(polled_once)
    assert (row.kept_token, row.next_poll_at) == (None, None)


def test_a_discovery_releases_with_a_stored_token(polled_once: FakeContainer) -> None:
    end(polled_once)
    polled_once.discover()
    assert len(polled_once.stepfunctions.released) == 1
    assert not polled_once.in_flight(ref_of())


def test_a_wait_that_starts_again_is_released_with_its_own_token(polled_once: FakeContainer) -> None:
    polled_once.stepfunctions.waiting.clear()
    polled_once.stepfunctions.arrive(ref_of(), "token of the redrive")
    end(polled_once)
    assert polled_once.poll(seconds=LATER).released == 1
    assert polled_once.stepfunctions.waiting == {}
    assert not polled_once.in_flight(ref_of())


def test_a_wait_that_starts_again_during_the_release_is_released_later(polled_once: FakeContainer) -> None:
    end(polled_once)

    def redrive() -> None:
        polled_once.stepfunctions.waiting.clear()
        polled_once.stepfunctions.arrive(ref_of(), "token of the redrive")
        polled_once.stepfunctions.before_release = lambda: None

    polled_once.stepfunctions.before_release = redrive
    assert polled_once.poll(seconds=LATER).released == 0
    assert row_of(polled_once).task_token == "token of the redrive"
    assert polled_once.poll(seconds=LATER).released == 1


def test_a_late_poll_does_not_replace_a_newer_token(container: FakeContainer, table: Table) -> None:
    container.wait_for(build_of())
    late = row_of(container)
    container.stepfunctions.waiting.clear()
    container.stepfunctions.arrive(ref_of(), "token of the redrive")
    container.poll()
    container.builds.set_status(late, BuildStatus.RUNNING)
    assert row_of(container).kept_token == mark_of("token of the redrive")
    assert TokenLedger(table).find(mark_of("token of the redrive")) == "token of the redrive"
    end(container)
    assert container.poll(seconds=LATER).released == 1


def test_a_poll_killed_between_its_two_writes_is_repaired_by_the_next(
    container: FakeContainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    container.wait_for(build_of())
    keep = TokenLedger.keep

    def killed(self: TokenLedger, token: str, *, until: datetime) -> str:
        keep(self, token, until=until)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TokenLedger, "keep", killed)
        with pytest.raises(KeyboardInterrupt):
            container.poll()
    assert row_of(container).task_token is not None
    container.poll(seconds=LATER)
    assert row_of(container).kept_token is not None
    end(container)
    assert container.poll(seconds=LATER).released == 1


def test_a_release_with_an_earlier_read_of_the_row_takes_the_build_out_of_flight(container: FakeContainer) -> None:
    container.wait_for(build_of())
    before = row_of(container)
    container.poll()
    assert row_of(container).kept_token is not None
    assert container.builds.task_token(before) == before.task_token
    assert container.builds.mark_released(before)
    assert not container.in_flight(ref_of())


def test_a_build_whose_token_is_gone_is_taken_out_of_flight(polled_once: FakeContainer, table: Table) -> None:
    table.delete(f"#token/{mark_of(TOKEN)}")
    end(polled_once)
    assert polled_once.poll(seconds=LATER).released == 0
    assert not polled_once.in_flight(ref_of())


def test_a_token_is_kept_for_longer_than_the_wait_can_take(polled_once: FakeContainer, table: Table) -> None:
    row = row_of(polled_once)
    expires_at = rows(table)[f"#token/{mark_of(TOKEN)}"]["expires_at"]["N"]
    assert int(expires_at) == int((NOON + (row.deadline_at - row.first_seen_at) + KEEP_TOKENS).timestamp())
    assert timedelta(hours=1) < KEEP_TOKENS


def test_a_build_with_a_token_stays_in_flight(polled_once: FakeContainer, table: Table) -> None:
    polled_once.builds.take_out_of_flight(ref_of())
    assert polled_once.in_flight(ref_of())
    table.update(str(ref_of()), Change(remove=("kept_token",)))
    polled_once.builds.take_out_of_flight(ref_of())
    assert not polled_once.in_flight(ref_of())


def test_a_poll_after_the_release_moves_no_token(container: FakeContainer) -> None:
    container.wait_for(build_of())
    before = row_of(container)
    assert container.builds.mark_released(before)
    container.builds.set_status(before, BuildStatus.FAILED)
    row = row_of(container)
    assert (row.kept_token, row.next_poll_at, row.status) == (None, None, BuildStatus.RUNNING)
