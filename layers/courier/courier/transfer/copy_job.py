"""The course of one copy: which way it goes, when it pauses, and that it leaves nothing behind."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from courier.backoff import Backoff
from courier.errors import (
    ArtifactChangedError,
    ArtifactError,
    ArtifactIncompleteError,
    ArtifactRefusedError,
    ArtifactUnavailableError,
    CopyUnfinishedError,
)
from courier.models import StoredArtifact
from courier.transfer.checkpoint import Checkpoint, CheckpointStore
from courier.transfer.deadline import Deadline
from courier.transfer.download import Look, SourceReader, given_up
from courier.transfer.http_client import Answer, Fetcher, Resolver
from courier.transfer.internal_errors import OutOfTimeError, SourceTroubleError, StartOverError, UploadGoneError
from courier.transfer.multipart_cleanup import UploadCleanup
from courier.transfer.options import CopyOptions, Expected
from courier.transfer.parallel import PartCrew
from courier.transfer.part_plan import Plan, part_size_for, workers_for
from courier.transfer.part_uploader import PartSink, Progress
from courier.transfer.proof import TRAILING_BYTES, Sha256InOrder, has_end_mark
from courier.transfer.publisher import Original, Publisher
from courier.transfer.s3_object import Receipt, Storage
from courier.transfer.sequential import copy_stream
from courier.transfer.url_policy import LinkRules

# Beginnings of one copy within one invocation: a changed source, a broken stream, an upload that somebody aborted.
MOST_STARTS: Final = 4


@dataclass(frozen=True, kw_only=True)
class Connecting:
    """How connections to the source are made."""

    rules: LinkRules
    tls: Callable[[], ssl.SSLContext]
    resolver: Resolver


@dataclass(kw_only=True)
class Copier:
    """One call of `engine.copy`; its errors are documented there."""

    reader: SourceReader
    storage: Storage
    publisher: Publisher
    checkpoints: CheckpointStore
    uploads: UploadCleanup
    deadline: Deadline
    options: CopyOptions
    backoff: Backoff
    expected: Expected
    connecting: Connecting
    progress: Progress | None
    restarts: int = 0
    fetchers: list[Fetcher] = field(default_factory=list)
    is_cut: bool = False

    def run(self) -> StoredArtifact:
        """Copy, beginning anew a few times where that helps."""
        if not self.deadline.may_begin:
            raise CopyUnfinishedError("there was no time left to begin the copy")
        start = 0
        with self.deadline.watch(self._cut):
            while True:  # ends with MOST_STARTS
                start += 1
                try:
                    return self._start()
                except StartOverError as spoilt:
                    if start == MOST_STARTS:
                        raise spoilt.final from spoilt
                    self.backoff.wait(start)
                finally:
                    for fetcher in self.fetchers:
                        fetcher.close()

    def _start(self) -> StoredArtifact:
        checkpoint = self.checkpoints.load()
        if checkpoint is None:
            return self._begin(None)
        if self.expected.sha256 is not None:
            self.uploads.discard(checkpoint)
            return self._begin(None)
        if checkpoint.can_be_taken_up:
            return self._take_up(checkpoint)
        return self._begin(checkpoint)

    def _begin(self, leftover: Checkpoint | None) -> StoredArtifact:
        """Look at the source and choose the way.

        ``leftover`` is the upload of a copier that cannot be taken up, and may be alive: it is
        left alone until this copy has succeeded.
        """
        try:
            look = self.reader.look(self._fetcher(), self.options.part_size_bytes)
        except OutOfTimeError:
            raise self._no_progress("the source did not answer in time") from None
        if look.ended:
            artifact = self.publisher.put(look.buffer, _original(look, look.filled, look.buffer))
            self._report(look.filled)
        else:
            artifact = self._already_there(look) or self._copy_parts(look)
        if leftover is not None:
            self.uploads.discard(leftover)
        return artifact

    def _already_there(self, look: Look) -> StoredArtifact | None:
        """See whether an earlier copy of this version is complete, before gigabytes are moved to find out."""
        if look.total_bytes is None:
            return None
        existing = self.storage.head()
        if existing is None:
            return None
        original = Original(size_bytes=look.total_bytes, etag=look.etag, content_type=look.content_type, verified=True)
        if existing.size_bytes == look.total_bytes and not existing.is_copy_of(look.etag, look.total_bytes):
            return None  # only the whole copy tells
        artifact = self._read_back(lambda: self.publisher.accept(existing, original, None))
        self.uploads.sweep()
        return artifact

    def _copy_parts(self, look: Look) -> StoredArtifact:
        if look.answer is None:
            raise AssertionError("a look that has not ended has an open answer")
        try:
            size = part_size_for(look.total_bytes or 0, self.options.part_size_bytes)
        except ValueError as exc:
            raise ArtifactRefusedError(str(exc)) from exc
        takes_up = look.ranged and look.etag is not None and look.total_bytes is not None
        ours = Checkpoint(
            upload_id=self.storage.create(content_type=look.content_type, source_etag=look.etag),
            part_size_bytes=size,
            size_bytes=look.total_bytes,
            etag=look.etag if takes_up else None,
            content_type=look.content_type,
            started_at=self.deadline.started_at,
            restarts=self.restarts,
        )
        with self.uploads.guard(ours):
            kept = self.checkpoints.save(ours)
            if kept.upload_id == ours.upload_id or not takes_up or not kept.can_be_taken_up:
                if takes_up:
                    opened = look if size == self.options.part_size_bytes else None
                    return self._parallel(ours, {}, opened)
                return self._stream(ours, look, look.answer)
        # Another copier was faster; both add to its upload from here on.
        self.uploads.discard(ours)
        return self._take_up(kept)

    def _take_up(self, checkpoint: Checkpoint) -> StoredArtifact:
        """Go on with the upload that a checkpoint points to."""
        self.restarts = checkpoint.restarts
        self.deadline.started_at = checkpoint.started_at
        with self.uploads.guard(checkpoint):
            if checkpoint.continuations >= self.options.most_continuations or self.deadline.is_too_long:
                raise ArtifactIncompleteError(
                    f"the copy has begun at {checkpoint.started_at:%Y-%m-%d %H:%M} UTC and was taken up"
                    f" {checkpoint.continuations} times, that is enough"
                )
            if self.reader.promised_bytes not in {None, checkpoint.size_bytes}:
                raise self._changed(ArtifactChangedError("the provider promises another size than it did"))
            try:
                stored = self.storage.parts(checkpoint.upload_id)
            except UploadGoneError:
                return self._after_upload(checkpoint)
            checkpoint = checkpoint.model_copy(update={"continuations": checkpoint.continuations + 1})
            self.checkpoints.advance(checkpoint)
            return self._parallel(checkpoint, stored, None)

    def _parallel(self, checkpoint: Checkpoint, stored: Mapping[int, Receipt], opened: Look | None) -> StoredArtifact:
        total, etag = checkpoint.size_bytes, checkpoint.etag
        if total is None or etag is None:
            raise AssertionError("parts are fetched in parallel only under a validator")
        plan = Plan(total, checkpoint.part_size_bytes)
        done = {n: part for n, part in stored.items() if n <= plan.parts and part.length == plan.part(n).length}
        sink = self._sink(checkpoint, done, plan.size_bytes)
        crew = PartCrew(self.reader, sink, plan=plan, etag=etag, deadline=self.deadline, open_fetcher=self._fetcher)
        missing = [part for part in plan if part.number not in done]
        with self.uploads.guard(checkpoint):
            try:
                crew.run(missing, workers_for(plan.part_size_bytes, self.options), opened=opened)
            except OutOfTimeError:
                raise self._pause(checkpoint, sink.done_bytes) from None
            except UploadGoneError:
                return self._after_upload(checkpoint)
            except ArtifactChangedError as changed:
                raise self._changed(changed) from changed
            original = Original(size_bytes=total, etag=etag, content_type=checkpoint.content_type, verified=True)
            try:
                artifact = self.publisher.complete(checkpoint.upload_id, sink.done, original, sink.sha256)
            except OutOfTimeError:
                raise CopyUnfinishedError("the report is stored; its SHA-256 is still to be read back") from None
        self.uploads.sweep()
        self.checkpoints.clear(checkpoint.upload_id)
        return artifact

    def _stream(self, ours: Checkpoint, look: Look, answer: Answer) -> StoredArtifact:
        sink = self._sink(ours, {}, look.total_bytes)
        try:
            received, trailing = copy_stream(
                look,
                answer,
                sink=sink,
                deadline=self.deadline,
                options=self.options,
                bounds=self.reader.bounds,
            )
            original = _original(look, received, trailing)
            artifact = self.publisher.complete(ours.upload_id, sink.done, original, sink.sha256)
        except OutOfTimeError:
            raise self._no_progress("a source without ranges must be read in one go, and the time was up") from None
        except SourceTroubleError as trouble:
            raise StartOverError(given_up(trouble, MOST_STARTS)) from trouble
        except UploadGoneError as gone:
            raise StartOverError(ArtifactUnavailableError("the upload was aborted by somebody else")) from gone
        if look.etag is not None and look.total_bytes is not None:
            # Else a twin that lost its upload would have to read all of it again, in what time it has left.
            self.uploads.sweep()
        self.checkpoints.clear(ours.upload_id)
        return artifact

    def _after_upload(self, checkpoint: Checkpoint) -> StoredArtifact:
        """Find out what became of an upload that is gone: completed by us or a twin, or aborted."""
        existing = self.storage.head()
        if existing is None or not existing.is_copy_of(checkpoint.etag, checkpoint.size_bytes):
            gone = ArtifactUnavailableError("the upload was aborted by somebody else")
            raise StartOverError(gone)
        original = Original(
            size_bytes=existing.size_bytes, etag=checkpoint.etag, content_type=checkpoint.content_type, verified=True
        )
        artifact = self._read_back(lambda: self.publisher.accept(existing, original, None))
        self.uploads.sweep()
        self.checkpoints.clear(checkpoint.upload_id)
        return artifact

    def _read_back(self, accept: Callable[[], StoredArtifact]) -> StoredArtifact:
        try:
            return accept()
        except OutOfTimeError:
            raise self._no_progress("the report is stored, but too large to be read back in one invocation") from None

    def _changed(self, changed: ArtifactChangedError) -> Exception:
        """Give what to raise when the source object is another one now: it is allowed once in a copy."""
        if self.restarts:
            return changed
        self.restarts += 1
        return StartOverError(changed)

    def _pause(self, checkpoint: Checkpoint, done_bytes: int) -> ArtifactError:
        """Note how far the copy got, and give the error that ends this invocation."""
        so_far = f"{done_bytes} of {checkpoint.size_bytes} bytes are stored"
        if self.deadline.is_too_long:
            return ArtifactIncompleteError(f"the copy takes too long: {so_far}")
        if done_bytes <= checkpoint.done_bytes:
            return self._no_progress(f"no part was finished in this invocation: {so_far}")
        self.checkpoints.advance(checkpoint.model_copy(update={"done_bytes": done_bytes}))
        return CopyUnfinishedError(f"{so_far}; call again")

    def _no_progress(self, reason: str) -> ArtifactError:
        """Give the error for an invocation that achieved nothing: its own fault when it was called too late."""
        if self.deadline.had_time:
            return ArtifactIncompleteError(reason)
        return CopyUnfinishedError(f"{reason}, but the invocation had little time; call again")

    def _sink(self, checkpoint: Checkpoint, done: Mapping[int, Receipt], total_bytes: int | None) -> PartSink:
        return PartSink(
            self.storage,
            checkpoint.upload_id,
            digest=None if done else Sha256InOrder(),
            done=done,
            total_bytes=total_bytes,
            progress=self.progress,
        )

    def _fetcher(self) -> Fetcher:
        fetcher = Fetcher(
            self.connecting.rules,
            tls=self.connecting.tls,
            resolve=self.connecting.resolver,
            connect_seconds=self.options.connect_seconds,
            read_seconds=self.options.read_seconds,
        )
        self.fetchers.append(fetcher)
        if self.is_cut:  # looked at once `_cut` can see the fetcher
            fetcher.cut()
        return fetcher

    def _cut(self) -> None:
        self.is_cut = True
        for fetcher in tuple(self.fetchers):
            fetcher.cut()

    def _report(self, stored_bytes: int) -> None:
        if self.progress is not None:
            self.progress(stored_bytes, stored_bytes)


def _original(look: Look, received: int, trailing: bytes | bytearray) -> Original:
    told = look.total_bytes is not None or look.promised_bytes is not None
    return Original(
        size_bytes=received,
        etag=look.etag,
        content_type=look.content_type,
        verified=told or bool(has_end_mark(look.content_type, bytes(trailing[-TRAILING_BYTES:]))),
    )
