"""What an unfinished copy leaves for the next invocation, and the store that keeps it."""

import threading
from typing import Annotated, Protocol

from pydantic import AwareDatetime, Field

from courier.models import FrozenModel


class Checkpoint(FrozenModel):
    """One multipart upload in progress; the parts that it holds are read from S3 (ListParts).

    It contains no link: the next invocation gets a fresh one from the provider.

    Attributes
    ----------
    upload_id
        The upload that every copier of this artifact adds to.
    part_size_bytes, size_bytes
        How the artifact is cut into parts; the size is None when its store does not announce it.
    etag
        Strong validator of the artifact, sent as ``If-Match``. None when the store sends none or
        serves no ranges: such a copy cannot be resumed, its upload is only remembered to be aborted.
    content_type, content_encoding
        The media type and the coding that the artifact was found to have.
    started_at
        When the copy began, for its limit over all invocations.
    continuations
        How often it was resumed.
    done_bytes
        What was uploaded when an invocation last ran out of time; the next one must get further.
    restarts
        How often it began anew because the artifact changed.
    """

    upload_id: Annotated[str, Field(min_length=1)]
    part_size_bytes: Annotated[int, Field(gt=0)]
    size_bytes: Annotated[int, Field(gt=0)] | None
    etag: str | None
    content_type: str
    content_encoding: str | None = None
    started_at: AwareDatetime
    continuations: Annotated[int, Field(ge=0)] = 0
    done_bytes: Annotated[int, Field(ge=0)] = 0
    restarts: Annotated[int, Field(ge=0)] = 0

    @property
    def is_resumable(self) -> bool:
        """Whether the missing parts can be downloaded on their own."""
        return self.etag is not None and self.size_bytes is not None


class CheckpointStore(Protocol):
    """Keeps at most one checkpoint for one artifact.

    Every change is conditional on the upload id, so that concurrent copiers, or one that was
    thought dead, agree on one upload and cannot delete each other's checkpoint.
    """

    @property
    def outlives_process(self) -> bool:
        """Whether a later process finds the checkpoint; else a copy that fails cannot be resumed and is aborted."""
        ...

    def load(self) -> Checkpoint | None:
        """Return the checkpoint, read consistently; None when there is none."""
        ...

    def save(self, checkpoint: Checkpoint) -> Checkpoint:
        """Save the checkpoint if there is none, and return the one that is kept then: ours or another copier's."""
        ...

    def advance(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint by a newer state of the same upload; do nothing when it is of another, or absent."""
        ...

    def clear(self, upload_id: str) -> None:
        """Delete the checkpoint if it is about this upload."""
        ...


class MemoryCheckpointStore:
    """A checkpoint that lives as long as this object: for copies by hand, and for tests.

    Parameters
    ----------
    outlives_process
        Behave like a store that later processes find.
    """

    def __init__(self, *, outlives_process: bool = False) -> None:
        self._kept: Checkpoint | None = None
        self._lock = threading.Lock()
        self._outlives_process = outlives_process

    @property
    def outlives_process(self) -> bool:
        """Whether a copy that fails for a transient reason keeps its upload for the next attempt."""
        return self._outlives_process

    def load(self) -> Checkpoint | None:
        """Return the checkpoint."""
        with self._lock:
            return self._kept

    def save(self, checkpoint: Checkpoint) -> Checkpoint:
        """Save the checkpoint if there is none, and return the one that is kept then."""
        with self._lock:
            self._kept = self._kept or checkpoint
            return self._kept

    def advance(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint by a newer state of the same upload."""
        with self._lock:
            if self._kept is not None and self._kept.upload_id == checkpoint.upload_id:
                self._kept = checkpoint

    def clear(self, upload_id: str) -> None:
        """Delete the checkpoint if it is about this upload."""
        with self._lock:
            if self._kept is not None and self._kept.upload_id == upload_id:
                self._kept = None
