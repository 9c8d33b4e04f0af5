"""Copiers that run at the same time, and copiers that are killed: one object in the end, and no open upload."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from courier.errors import CopyUnfinishedError
from courier.models import StoredArtifact
from courier.transfer.checkpoint import Checkpoint, MemoryCheckpointStore
from courier.transfer.options import MIB, CopyOptions
from local.simulator import IgnoreRange
from tests.functional.transfer.conftest import NewHarness
from tests.functional.transfer.harness import CopyHarness, Invocation, S3Interceptor

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
def test_concurrent_copy_that_does_everything_meanwhile(
    new_harness: NewHarness, operation: str, nth: int, ranges: bool
) -> None:
    harness = new_harness(12 * MIB)
    if not ranges:
        harness.inject(IgnoreRange(), times=None)
    others: list[StoredArtifact] = []
    interceptor = S3Interceptor(harness.s3)
    interceptor.call(operation, lambda: others.append(harness.copy(s3=harness.fresh_client())), nth=nth)
    ours = harness.copy(options=ONE_WORKER)
    assert harness.stored() == harness.report
    assert ours.sha256 == others[0].sha256 == hashlib.sha256(harness.report).hexdigest()


def test_concurrent_copy_of_a_small_report(new_harness: NewHarness) -> None:
    harness = new_harness(300_000)
    others: list[StoredArtifact] = []
    S3Interceptor(harness.s3).call("PutObject", lambda: others.append(harness.copy(s3=harness.fresh_client())))
    assert harness.copy() == others[0]


@pytest.mark.parametrize(("operation", "nth"), MOMENTS)
def test_concurrent_copy_that_does_a_part_meanwhile(new_harness: NewHarness, operation: str, nth: int) -> None:
    harness = new_harness(12 * MIB)

    def do_some() -> None:
        client = harness.fresh_client()
        invocation = Invocation()
        S3Interceptor(client).call("UploadPart", invocation.nearly_end)
        try:
            harness.copy(s3=client, seconds_left=invocation, options=ONE_WORKER)
        except CopyUnfinishedError:
            return  # there was nothing left to do if it did not raise

    S3Interceptor(harness.s3).call(operation, do_some, nth=nth)
    harness.copy(options=ONE_WORKER)
    assert harness.stored() == harness.report


@pytest.mark.parametrize(("operation", "nth"), MOMENTS)
def test_concurrent_copy_that_fails_meanwhile(new_harness: NewHarness, operation: str, nth: int) -> None:
    harness = new_harness(12 * MIB)

    def fail() -> None:
        client = harness.fresh_client()
        S3Interceptor(client).respond("UploadPart", 403, "AccessDenied", nth=2, times=None)
        try:
            harness.copy(s3=client, options=ONE_WORKER)
        except Exception:  # noqa: BLE001 - how it fails is not what is tested
            return

    S3Interceptor(harness.s3).call(operation, fail, nth=nth)
    harness.copy(options=ONE_WORKER)
    assert harness.stored() == harness.report


@pytest.mark.parametrize("ranges", [True, False])
def test_copiers_that_race_all_succeed(new_harness: NewHarness, ranges: bool) -> None:
    harness = new_harness(27 * MIB)
    if not ranges:
        harness.inject(IgnoreRange(), times=None)
    with ThreadPoolExecutor(3) as pool:
        clients = [harness.fresh_client() for _ in range(3)]
        copies = [pool.submit(harness.copy, s3=client, options=ONE_WORKER) for client in clients]
        digests = {copy.result().sha256 for copy in copies}
    assert digests == {hashlib.sha256(harness.report).hexdigest()}
    assert harness.stored() == harness.report


class KilledError(BaseException):
    """The process is gone: nothing that it had still to do happens."""


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


def kill_at(harness: CopyHarness, operation: str, nth: int) -> None:
    """Copy with a process that dies just before a call, or after everything with operation ''."""
    store = DyingStore()
    harness.checkpoints = store
    client = harness.fresh_client()
    interceptor = S3Interceptor(client)

    def die() -> None:
        store.dead = True
        raise KilledError

    for later in ("UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload", "HeadObject", "ListParts"):
        if operation:
            interceptor.call_when(later, lambda: store.dead, die)
    if operation:
        interceptor.call(operation, die, nth=nth)
    else:
        store.dead = True
    with pytest.raises(KilledError):
        harness.copy(s3=client, options=ONE_WORKER)
    store.dead = False


@pytest.mark.parametrize(
    ("operation", "nth"), [("UploadPart", 1), ("UploadPart", 3), ("CompleteMultipartUpload", 1), ("", 0)]
)
@pytest.mark.parametrize("ranges", [True, False])
def test_copier_that_is_killed_is_followed_by_another(
    new_harness: NewHarness, operation: str, nth: int, ranges: bool
) -> None:
    harness = new_harness(12 * MIB)
    if not ranges:
        harness.inject(IgnoreRange(), times=None)
    kill_at(harness, operation, nth)
    assert harness.checkpoints.load() is not None
    artifact = harness.copy()
    assert harness.stored() == harness.report
    assert artifact.sha256 == hashlib.sha256(harness.report).hexdigest()


def test_kill_between_complete_and_return_moves_no_byte_again(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    kill_at(harness, "", 0)
    assert harness.stored() == harness.report
    requested = len(harness.ranges())
    interceptor = S3Interceptor(harness.s3)
    harness.copy()
    assert len(harness.ranges()) == requested
    assert interceptor.calls == ["ListParts", "HeadObject", "GetObject", "ListMultipartUploads"]
