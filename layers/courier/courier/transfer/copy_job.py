"""The course of one copy: how it begins, when it is resumed, paused or started over, and what happens at its end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from courier.backoff import Backoff
from courier.errors import (
    ArtifactChangedError,
    ArtifactError,
    ArtifactIncompleteError,
    ArtifactUnavailableError,
    CopyUnfinishedError,
)
from courier.models import StoredArtifact
from courier.transfer.checkpoint import Checkpoint, CheckpointStore
from courier.transfer.download import Download, FirstResponse
from courier.transfer.end_marks import TRAILING_BYTES, has_end_mark
from courier.transfer.http_response import DownloadError, Response
from courier.transfer.options import CopyOptions, Deadline, Expected, OutOfTimeError, PartPlan
from courier.transfer.parts import OrderedSha256, ParallelCopy, PartUploader, Progress, copy_sequentially
from courier.transfer.publisher import OriginObject, Publisher, StartOverError
from courier.transfer.ranges import RangesFailedError
from courier.transfer.s3_calls import UploadGoneError
from courier.transfer.s3_object import S3Object, UploadedPart
from courier.transfer.upload_cleanup import UploadCleanup

# Starts of one copy within one invocation: a changed artifact, a broken body, an upload that another process aborted.
MOST_STARTS: Final = 4
# Changes of the artifact after which it is copied anew; after another one, it changes too often.
_MOST_CHANGES: Final = 1

_T = TypeVar("_T")


@dataclass(kw_only=True)
class CopyJob:
    """One call of `copy`, which documents the errors."""

    download: Download
    s3_object: S3Object
    publisher: Publisher
    checkpoints: CheckpointStore
    cleanup: UploadCleanup
    deadline: Deadline
    options: CopyOptions
    backoff: Backoff
    expected: Expected
    progress: Progress | None
    restarts: int = 0
    # ETags under which a part was refused as one of another version; an artifact that has one of them again has not
    # changed: its store denies its own ETag, or its replicas have one each.
    disputed: set[str | None] = field(default_factory=set)
    changes_are_doubtful: bool = False

    def run(self) -> StoredArtifact:
        """Copy, and start over a few times where that helps."""
        if not self.deadline.may_begin:
            raise CopyUnfinishedError("there was no time left to begin the copy")
        start = 0
        with self.deadline.watch(self.download.cut):
            while True:  # ends with MOST_STARTS
                start += 1
                try:
                    return self._start()
                except StartOverError as failed:
                    if start == MOST_STARTS:
                        raise failed.final from failed
                    self.backoff.wait(start)
                finally:
                    self.download.close()

    def _start(self) -> StoredArtifact:
        checkpoint = self.checkpoints.load()
        if checkpoint is None:
            return self._begin(None)
        if self.expected.sha256 is not None:
            self.cleanup.discard(checkpoint)
            return self._begin(None)
        if checkpoint.is_resumable and self.options.ranges:
            return self._resume(checkpoint)
        return self._begin(checkpoint)

    def _begin(self, leftover: Checkpoint | None) -> StoredArtifact:
        """Open the download and choose the way to copy.

        ``leftover`` is the upload of a copier that cannot be resumed, and may still be running: it is
        left alone until this copy has succeeded.
        """
        artifact = self._store(self._open())
        if leftover is not None:
            self.cleanup.discard(leftover)
        return artifact

    def _open(self, failed: RangesFailedError | None = None) -> FirstResponse:
        """Open the download; with a plain GET after ranges ``failed``, or after changes that are none."""
        size = self.options.part_size_bytes
        try:
            client = self.download.open_client()
            if failed is not None:
                return self.download.open_whole(client, size, failed)
            first = self.download.open(client, size)
            self.changes_are_doubtful |= first.etag in self.disputed
            if self.restarts <= _MOST_CHANGES:
                return first
            changed = ArtifactChangedError("the report changed while it was read, and again at the next attempt")
            if not self.changes_are_doubtful:
                raise changed
            if first.response is None or not first.ranged:
                return first
            first.response.close()
            return self.download.open_whole(client, size, RangesFailedError(changed))
        except OutOfTimeError:
            reason = "the store did not respond in time"
            raise self.deadline.no_progress(reason) from None

    def _store(self, first: FirstResponse) -> StoredArtifact:
        """Choose the way to copy, by what the first response shows."""
        if first.response is not None:
            return self._accept_earlier_copy(first) or self._copy_parts(first, first.response)
        artifact = self.publisher.put(first.buffer, _origin(first, first.filled, first.buffer))
        if self.progress is not None:
            self.progress(first.filled, first.filled)
        return artifact

    def _accept_earlier_copy(self, first: FirstResponse) -> StoredArtifact | None:
        """Return an earlier complete copy of this version, before gigabytes are moved to find out."""
        if first.total_bytes is None:
            return None
        origin = _origin(first, first.total_bytes, b"")
        artifact = self._read_back(lambda: self.publisher.accept_earlier(origin))
        if artifact is not None:
            self.cleanup.sweep()
        return artifact

    def _copy_parts(self, first: FirstResponse, response: Response) -> StoredArtifact:
        size = self.options.part_size_for(first.total_bytes or 0)
        is_resumable = first.ranged and first.etag is not None and first.total_bytes is not None
        ours = Checkpoint(
            upload_id=self.s3_object.create_upload(
                content_type=first.content.media, content_encoding=first.content.encoding, origin_etag=first.etag
            ),
            part_size_bytes=size,
            size_bytes=first.total_bytes,
            etag=first.etag if is_resumable else None,
            content_type=first.content.media,
            content_encoding=first.content.encoding,
            started_at=self.deadline.started_at,
            restarts=self.restarts,
        )
        with self.cleanup.guard(ours):
            kept = self.checkpoints.save(ours)
            if kept.upload_id == ours.upload_id or not is_resumable or not kept.is_resumable:
                if is_resumable:
                    opened = first if size == self.options.part_size_bytes else None
                    return self._copy_in_parallel(ours, {}, opened)
                return self._copy_sequentially(ours, first, response)
        # Another copier was faster; both add to its upload from here on.
        self.cleanup.discard(ours)
        return self._resume(kept)

    def _resume(self, checkpoint: Checkpoint) -> StoredArtifact:
        """Continue the upload that a checkpoint points to."""
        self.restarts = checkpoint.restarts
        self.deadline.started_at = checkpoint.started_at
        with self.cleanup.guard(checkpoint):
            if checkpoint.continuations >= self.options.most_continuations or self.deadline.is_overdue:
                raise ArtifactIncompleteError(
                    f"the copy began at {checkpoint.started_at:%Y-%m-%d %H:%M} UTC and was resumed"
                    f" {checkpoint.continuations} times; it is not resumed again"
                )
            if self.download.links.current().promised_bytes not in {None, checkpoint.size_bytes}:
                raise self._changed(checkpoint, ArtifactChangedError("the provider promises another size than it did"))
            try:
                stored = self.s3_object.list_parts(checkpoint.upload_id)
            except UploadGoneError:
                return self._after_upload(checkpoint)
            checkpoint = checkpoint.model_copy(update={"continuations": checkpoint.continuations + 1})
            self.checkpoints.advance(checkpoint)
            return self._copy_in_parallel(checkpoint, stored, None)

    def _copy_in_parallel(
        self, checkpoint: Checkpoint, stored: Mapping[int, UploadedPart], opened: FirstResponse | None
    ) -> StoredArtifact:
        total, etag = checkpoint.size_bytes, checkpoint.etag
        if total is None or etag is None:
            raise AssertionError("parts are downloaded in parallel only under a validator")
        plan = PartPlan(total, checkpoint.part_size_bytes)
        done = {n: part for n, part in stored.items() if n <= plan.parts and part.length == plan.part(n).length}
        uploader = self._uploader(checkpoint, done)
        if done:
            self.download.trust_ranges()
        parallel = ParallelCopy(
            self.download, uploader, plan=plan, etag=etag, encoding=checkpoint.content_encoding, deadline=self.deadline
        )
        with self.cleanup.guard(checkpoint):
            try:
                parallel.run(self.options, opened)
            except RangesFailedError as failed:
                return self._copy_without_ranges(checkpoint, failed)
            except OutOfTimeError:
                raise self._pause(checkpoint, uploader.done_bytes) from None
            except UploadGoneError:
                return self._after_upload(checkpoint)
            except ArtifactChangedError as changed:
                raise self._changed(checkpoint, changed) from changed
            origin = _origin_of(checkpoint, total)
            try:
                artifact = self.publisher.complete(checkpoint.upload_id, uploader.done, origin, uploader.sha256)
            except OutOfTimeError:
                raise CopyUnfinishedError("the report is stored; its SHA-256 is still to be read back") from None
        self.cleanup.sweep()
        self.checkpoints.clear(checkpoint.upload_id)
        return artifact

    def _copy_without_ranges(self, checkpoint: Checkpoint, failed: RangesFailedError) -> StoredArtifact:
        """Copy it all out of one plain GET into another upload; the first is kept until that GET has a response."""
        if not self.deadline.may_begin:
            raise failed.final from failed
        first = self._open(failed)
        self.cleanup.discard(checkpoint)
        return self._store(first)

    def _copy_sequentially(self, ours: Checkpoint, first: FirstResponse, response: Response) -> StoredArtifact:
        uploader = self._uploader(ours, {})
        try:
            received, trailing = copy_sequentially(
                first,
                response,
                uploader=uploader,
                deadline=self.deadline,
                options=self.options,
                limits=self.download.limits,
            )
            origin = _origin(first, received, trailing)
            artifact = self.publisher.complete(ours.upload_id, uploader.done, origin, uploader.sha256)
        except OutOfTimeError:
            reason = "a store without ranges must be read in one go, and the time was up"
            raise self.deadline.no_progress(reason) from None
        except DownloadError as error:
            raise StartOverError(error.as_permanent(MOST_STARTS)) from error
        except UploadGoneError as gone:
            raise StartOverError(ArtifactUnavailableError("the upload was aborted by another process")) from gone
        if first.etag is not None and first.total_bytes is not None:
            # Else a concurrent copier that lost its upload would have to read all of it again, in the time it has left.
            self.cleanup.sweep()
        self.checkpoints.clear(ours.upload_id)
        return artifact

    def _after_upload(self, checkpoint: Checkpoint) -> StoredArtifact:
        """Find out what became of an upload that is gone: completed by us or a concurrent copier, or aborted."""
        stored = self.s3_object.head()
        if stored is None or not stored.is_copy_of(checkpoint.etag, checkpoint.size_bytes):
            gone = ArtifactUnavailableError("the upload was aborted by another process")
            raise StartOverError(gone)
        origin = _origin_of(checkpoint, stored.size_bytes)
        artifact = self._read_back(lambda: self.publisher.accept(stored, origin, None))
        self.cleanup.sweep()
        self.checkpoints.clear(checkpoint.upload_id)
        return artifact

    def _read_back(self, accept: Callable[[], _T]) -> _T:
        try:
            return accept()
        except OutOfTimeError:
            reason = "the report is stored, but too large to be read back in one invocation"
            raise self.deadline.no_progress(reason) from None

    def _changed(self, checkpoint: Checkpoint, changed: ArtifactChangedError) -> StartOverError:
        """Return what to raise when the artifact is said to be another one now: the copy starts over."""
        self.restarts += 1
        self.disputed.add(checkpoint.etag)
        return StartOverError(changed)

    def _pause(self, checkpoint: Checkpoint, done_bytes: int) -> ArtifactError:
        """Save how far the copy got, and return the error that ends this invocation."""
        so_far = f"{done_bytes} of {checkpoint.size_bytes} bytes are stored"
        if self.deadline.is_overdue:
            return ArtifactIncompleteError(f"the copy takes too long: {so_far}")
        if done_bytes <= checkpoint.done_bytes:
            return self.deadline.no_progress(f"no part was finished in this invocation: {so_far}")
        self.checkpoints.advance(checkpoint.model_copy(update={"done_bytes": done_bytes}))
        return CopyUnfinishedError(f"{so_far}; call again")

    def _uploader(self, checkpoint: Checkpoint, done: Mapping[int, UploadedPart]) -> PartUploader:
        return PartUploader(
            self.s3_object,
            checkpoint.upload_id,
            digest=None if done else OrderedSha256(),
            done=done,
            total_bytes=checkpoint.size_bytes,
            progress=self.progress,
        )


def _origin(first: FirstResponse, received: int, trailing: bytes | bytearray) -> OriginObject:
    is_known_length = first.total_bytes is not None or first.promised_bytes is not None
    return OriginObject(
        size_bytes=received,
        etag=first.etag,
        content_type=first.content.media,
        content_encoding=first.content.encoding,
        verified=is_known_length
        or has_end_mark(first.content.kind, bytes(trailing[-TRAILING_BYTES:]), received) is True,
    )


def _origin_of(checkpoint: Checkpoint, size_bytes: int) -> OriginObject:
    return OriginObject(
        size_bytes=size_bytes,
        etag=checkpoint.etag,
        content_type=checkpoint.content_type,
        content_encoding=checkpoint.content_encoding,
    )
