"""Multipart uploads and the checkpoints that point to them: none is left behind."""

from collections.abc import Generator
from contextlib import contextmanager, suppress

from courier.errors import ArtifactUnavailableError, CopyUnfinishedError, CourierError, SourceUnavailableError
from courier.transfer.checkpoint import Checkpoint, CheckpointStore
from courier.transfer.s3_object import Storage


class Uploads:
    """Looks after the upload that a copier works on."""

    def __init__(self, storage: Storage, checkpoints: CheckpointStore) -> None:
        self._storage = storage
        self._checkpoints = checkpoints

    @contextmanager
    def guard(self, checkpoint: Checkpoint) -> Generator[None, None, None]:
        """Abort the upload on every way out that nobody comes back from.

        A copy that can be taken up again keeps its upload, and the checkpoint that points to it.
        """
        try:
            yield
        except BaseException as error:
            called_again = isinstance(error, CopyUnfinishedError) or (
                isinstance(error, ArtifactUnavailableError | SourceUnavailableError)
                and self._checkpoints.outlives_process
            )
            if not (called_again and checkpoint.can_be_taken_up):
                self.discard(checkpoint, error)
            raise

    def discard(self, checkpoint: Checkpoint, error: BaseException | None = None) -> None:
        """Abort an upload, then forget it: killed in between, the next copier finds it gone and begins anew."""
        try:
            self._storage.abort(checkpoint.upload_id)
        except CourierError as failed:
            if error is None:
                raise
            error.add_note(f"and its multipart upload {checkpoint.upload_id} could not be aborted: {failed}")
            return
        self._checkpoints.clear(checkpoint.upload_id)

    def sweep(self) -> None:
        """Abort whatever lies open under the key, once the report is stored there.

        It is of a copier that was killed, or never got its answer, before it could note the upload's id; or of a twin,
        which finds the report instead. It must not cost the report: what cannot be swept is left to the lifecycle rule.
        """
        if not self._checkpoints.outlives_process:
            # A copy by hand, whose key is not the courier's alone: what lies open there may be anybody's.
            return
        with suppress(CourierError):
            for upload_id in self._storage.open_uploads():
                self._storage.abort(upload_id)
