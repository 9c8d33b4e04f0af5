"""Copiers that run at the same time, and copiers that are killed: one object in the end, and no open upload."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from courier.errors import CopyUnfinishedError
from courier.models import StoredArtifact
from courier.transfer.checkpoint import Checkpoint, MemoryCheckpointStore
from courier.transfer.options import CopyOptions
from local.simulator import IgnoreRange
from tests.functional.transfer.conftest import OpenDesk
from tests.functional.transfer.desk import MIB, Desk, Invocation, Seam

ONE_WORKER = CopyOptions(workers=1, part_size_bytes=5 * MIB)

# The calls of one copy of 12 MiB by one worker, before each of which something may happen.
MOMENTS = [
    ("HeadObject", 1),
    ("CreateMultipartUpload", 1),
    ("UploadPart", 1),
    ("UploadPart", 2),
    ("UploadPart", 3),
    ("CompleteMultipartUpload", 1),
]


@pytest.mark.parametrize(("operation", "nth"), MOMENTS)
@pytest.mark.parametrize("ranges", [True, False])
def test_twin_that_does_it_all_meanwhile(open_desk: OpenDesk, operation: str, nth: int, ranges: bool) -> None:
    desk = open_desk(12 * MIB)
    if not ranges:
        desk.strike(IgnoreRange(), times=None)
    others: list[StoredArtifact] = []
    seam = Seam(desk.s3)
    seam.call(operation, lambda: others.append(desk.copy(s3=desk.fresh_client())), nth=nth)
    ours = desk.copy(options=ONE_WORKER)
    assert desk.stored() == desk.report
    assert ours.sha256 == others[0].sha256 == hashlib.sha256(desk.report).hexdigest()


def test_twin_of_a_small_report(open_desk: OpenDesk) -> None:
    desk = open_desk(300_000)
    others: list[StoredArtifact] = []
    Seam(desk.s3).call("PutObject", lambda: others.append(desk.copy(s3=desk.fresh_client())))
    assert desk.copy() == others[0]


@pytest.mark.parametrize(("operation", "nth"), MOMENTS)
def test_twin_that_does_some_of_it_meanwhile(open_desk: OpenDesk, operation: str, nth: int) -> None:
    desk = open_desk(12 * MIB)

    def do_some() -> None:
        client = desk.fresh_client()
        invocation = Invocation()
        Seam(client).call("UploadPart", invocation.nearly_end)
        try:
            desk.copy(s3=client, seconds_left=invocation, options=ONE_WORKER)
        except CopyUnfinishedError:
            return  # there was nothing left to do when it did not raise

    Seam(desk.s3).call(operation, do_some, nth=nth)
    desk.copy(options=ONE_WORKER)
    assert desk.stored() == desk.report


@pytest.mark.parametrize(("operation", "nth"), MOMENTS)
def test_twin_that_fails_meanwhile(open_desk: OpenDesk, operation: str, nth: int) -> None:
    desk = open_desk(12 * MIB)

    def fail() -> None:
        client = desk.fresh_client()
        Seam(client).answer("UploadPart", 403, "AccessDenied", nth=2, times=None)
        try:
            desk.copy(s3=client, options=ONE_WORKER)
        except Exception:  # noqa: BLE001 - how it fails is not what is tested
            return

    Seam(desk.s3).call(operation, fail, nth=nth)
    desk.copy(options=ONE_WORKER)
    assert desk.stored() == desk.report


@pytest.mark.parametrize("ranges", [True, False])
def test_copiers_that_race_all_succeed(open_desk: OpenDesk, ranges: bool) -> None:
    desk = open_desk(27 * MIB)
    if not ranges:
        desk.strike(IgnoreRange(), times=None)
    with ThreadPoolExecutor(3) as pool:
        clients = [desk.fresh_client() for _ in range(3)]
        copies = [pool.submit(desk.copy, s3=client, options=ONE_WORKER) for client in clients]
        digests = {copy.result().sha256 for copy in copies}
    assert digests == {hashlib.sha256(desk.report).hexdigest()}
    assert desk.stored() == desk.report


class KilledError(BaseException):
    """The process is gone: nothing that it would have done any more happens."""


class DyingStore(MemoryCheckpointStore):
    """A store that can no longer be reached once the process is killed."""

    def __init__(self) -> None:
        super().__init__(outlives_process=True)
        self.dead = False

    def clear(self, upload_id: str) -> None:
        if self.dead:
            raise KilledError
        super().clear(upload_id)

    def advance(self, checkpoint: Checkpoint) -> None:
        if self.dead:
            raise KilledError
        super().advance(checkpoint)


def kill_at(desk: Desk, operation: str, nth: int) -> None:
    """Copy with a process that dies just before a call, or after everything with operation ''."""
    store = DyingStore()
    desk.checkpoints = store
    client = desk.fresh_client()
    seam = Seam(client)

    def die() -> None:
        store.dead = True
        raise KilledError

    for later in ("UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload", "HeadObject", "ListParts"):
        if operation:
            seam.call_when(later, lambda: store.dead, die)
    if operation:
        seam.call(operation, die, nth=nth)
    else:
        store.dead = True
    with pytest.raises(KilledError):
        desk.copy(s3=client, options=ONE_WORKER)
    store.dead = False


@pytest.mark.parametrize(
    ("operation", "nth"), [("UploadPart", 1), ("UploadPart", 3), ("CompleteMultipartUpload", 1), ("", 0)]
)
@pytest.mark.parametrize("ranges", [True, False])
def test_copier_that_is_killed_is_followed_by_another(
    open_desk: OpenDesk, operation: str, nth: int, ranges: bool
) -> None:
    desk = open_desk(12 * MIB)
    if not ranges:
        desk.strike(IgnoreRange(), times=None)
    kill_at(desk, operation, nth)
    assert desk.checkpoints.load() is not None
    artifact = desk.copy()
    assert desk.stored() == desk.report
    assert artifact.sha256 == hashlib.sha256(desk.report).hexdigest()


def test_kill_between_complete_and_return_moves_no_byte_again(open_desk: OpenDesk) -> None:
    desk = open_desk(12 * MIB)
    kill_at(desk, "", 0)
    assert desk.stored() == desk.report
    asked = len(desk.ranges())
    seam = Seam(desk.s3)
    desk.copy()
    assert len(desk.ranges()) == asked
    assert seam.calls == ["ListParts", "HeadObject", "GetObject", "ListMultipartUploads"]
