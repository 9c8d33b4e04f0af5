"""What every checkpoint store must do, so that concurrent copiers agree on one upload."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from courier.transfer.checkpoint import Checkpoint, CheckpointStore, MemoryCheckpointStore

FIRST = Checkpoint(
    upload_id="first",
    part_size_bytes=8,
    size_bytes=80,
    etag='"a"',
    content_type="application/pdf",
    started_at=datetime(2026, 4, 15, tzinfo=UTC),
)
SECOND = FIRST.model_copy(update={"upload_id": "second"})


@pytest.fixture
def store() -> CheckpointStore:
    return MemoryCheckpointStore()


def test_nothing_is_kept_at_first(store: CheckpointStore) -> None:
    assert store.load() is None


def test_first_checkpoint_is_kept_and_the_second_copier_gets_it(store: CheckpointStore) -> None:
    assert store.save(FIRST) == FIRST
    assert store.save(SECOND) == FIRST
    assert store.load() == FIRST


def test_newer_state_of_the_same_upload_replaces_the_older(store: CheckpointStore) -> None:
    store.save(FIRST)
    newer = FIRST.model_copy(update={"done_bytes": 16})
    store.advance(newer)
    assert store.load() == newer


def test_another_upload_is_neither_advanced_nor_cleared(store: CheckpointStore) -> None:
    store.save(FIRST)
    store.advance(SECOND)
    store.clear("second")
    assert store.load() == FIRST


def test_nothing_is_advanced_where_nothing_is_kept(store: CheckpointStore) -> None:
    store.advance(FIRST)
    assert store.load() is None


def test_checkpoint_is_forgotten(store: CheckpointStore) -> None:
    store.save(FIRST)
    store.clear("first")
    assert store.load() is None
    assert store.save(SECOND) == SECOND


def test_store_knows_whether_a_later_process_finds_it() -> None:
    assert not MemoryCheckpointStore().outlives_process
    assert MemoryCheckpointStore(outlives_process=True).outlives_process


def test_checkpoint_survives_the_way_through_text() -> None:
    assert Checkpoint.model_validate_json(FIRST.model_dump_json()) == FIRST


def test_checkpoint_holds_no_link() -> None:
    assert not [name for name in Checkpoint.model_fields if "url" in name or "link" in name]
