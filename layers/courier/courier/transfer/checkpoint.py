"""What a copy leaves for the next invocation, and where it is kept."""

import threading
from typing import Annotated, Protocol

from pydantic import AwareDatetime, Field

from courier.models import FrozenModel


class Checkpoint(FrozenModel):
    """One multipart upload that is under way; what it already holds is asked of S3 (ListParts).

    It carries no link: the next invocation asks the provider for a fresh one.

    Attributes
    ----------
    upload_id
        The upload that everybody who copies this artifact adds to.
    part_size_bytes, size_bytes
        How the artifact is cut; the size is None when its source does not tell.
    etag
        Strong validator of the source object, sent as ``If-Match``. None when the source has none or
        serves no ranges: such a copy cannot be taken up, its upload is only remembered to be aborted.
    content_type
        What the source object was found to be.
    started_at
        When the copy began, for its limit over all invocations.
    continuations
        How often it was taken up.
    done_bytes
        What was uploaded when an invocation last ran out of time; the next must get further.
    restarts
        How often it began anew because the source object changed.
    """

    upload_id: Annotated[str, Field(min_length=1)]
    part_size_bytes: Annotated[int, Field(gt=0)]
    size_bytes: Annotated[int, Field(gt=0)] | None
    etag: str | None
    content_type: str
    started_at: AwareDatetime
    continuations: Annotated[int, Field(ge=0)] = 0
    done_bytes: Annotated[int, Field(ge=0)] = 0
    restarts: Annotated[int, Field(ge=0)] = 0

    @property
    def can_be_taken_up(self) -> bool:
        """Whether the missing parts can be fetched on their own."""
        return self.etag is not None and self.size_bytes is not None


class CheckpointStore(Protocol):
    """Keeps at most one checkpoint for one artifact.

    Every change is conditional on the upload id, so that copiers that run at the same time, or one
    that was thought dead, agree on one upload and cannot wipe out each other's.
    """

    @property
    def outlives_process(self) -> bool:
        """Whether a later process finds the checkpoint; else a copy that fails cannot be taken up and is aborted."""
        ...

    def load(self) -> Checkpoint | None:
        """Give the checkpoint, read consistently; None when there is none."""
        ...

    def save(self, checkpoint: Checkpoint) -> Checkpoint:
        """Keep the checkpoint if there is none, and give the one that is kept then: ours or another copier's."""
        ...

    def advance(self, checkpoint: Checkpoint) -> None:
        """Put a newer state of the same upload in place; does nothing when another upload is kept, or none."""
        ...

    def clear(self, upload_id: str) -> None:
        """Forget the checkpoint if it is about this upload."""
        ...


class MemoryCheckpointStore:
    """A checkpoint that lives as long as this object: for copies by hand, and for tests.

    Parameters
    ----------
    outlives_process
        Play a store that later processes find.
    """

    def __init__(self, *, outlives_process: bool = False) -> None:
        self._kept: Checkpoint | None = None
        self._lock = threading.Lock()
        self._outlives_process = outlives_process

    @property
    def outlives_process(self) -> bool:
        """Whether a copy that fails for a passing reason keeps its upload for the next try."""
        return self._outlives_process

    def load(self) -> Checkpoint | None:
        """Give the checkpoint."""
        with self._lock:
            return self._kept

    def save(self, checkpoint: Checkpoint) -> Checkpoint:
        """Keep the checkpoint if there is none, and give the one that is kept then."""
        with self._lock:
            self._kept = self._kept or checkpoint
            return self._kept

    def advance(self, checkpoint: Checkpoint) -> None:
        """Put a newer state of the same upload in place."""
        with self._lock:
            if self._kept is not None and self._kept.upload_id == checkpoint.upload_id:
                self._kept = checkpoint

    def clear(self, upload_id: str) -> None:
        """Forget the checkpoint if it is about this upload."""
        with self._lock:
            if self._kept is not None and self._kept.upload_id == upload_id:
                self._kept = None
