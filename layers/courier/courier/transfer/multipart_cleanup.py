"""Clean-up of multipart uploads: none is left behind, by a copy or by a build whose copy was given up."""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from courier.backoff import Backoff
from courier.errors import ArtifactUnavailableError, CopyUnfinishedError, CourierError, SourceUnavailableError
from courier.transfer.checkpoint import Checkpoint, CheckpointStore
from courier.transfer.options import Destination
from courier.transfer.s3_object import Storage

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

# For an S3 client that retries by itself.
_ONE_ATTEMPT = Backoff(attempts=1)


class UploadCleanup:
    """Aborts the uploads of one copy, and clears the checkpoint that points to them."""

    def __init__(self, storage: Storage, checkpoints: CheckpointStore) -> None:
        self._storage = storage
        self._checkpoints = checkpoints

    @contextmanager
    def guard(self, checkpoint: Checkpoint) -> Generator[None, None, None]:
        """Abort the upload when the block fails for good.

        A copy that can be resumed keeps its upload, and the checkpoint that points to it.
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
        """Abort an upload, then clear its checkpoint: killed in between, the next copier finds it gone and begins anew.

        When S3 fails, that is noted on ``error``, if there is one.
        """
        try:
            self._storage.abort(checkpoint.upload_id)
        except CourierError as failed:
            if error is None:
                raise
            error.add_note(f"and its multipart upload {checkpoint.upload_id} could not be aborted: {failed}")
            return
        self._checkpoints.clear(checkpoint.upload_id)

    def sweep(self) -> None:
        """Abort every upload that is open under the key, once the report is stored there.

        Such an upload is of a copier that was killed, or never got its answer, before it could save the upload's id; or
        of a concurrent copier, which finds the report instead. It must not cost the report: the bucket's lifecycle rule
        aborts what S3 does not let us abort.
        """
        if not self._checkpoints.outlives_process:
            # A copy by hand: the key is not the courier's alone, and neither are its uploads.
            return
        with suppress(CourierError):
            _abort_all(self._storage)


def abort_upload(s3: "S3Client", destination: Destination, upload_id: str) -> None:
    """Abort the upload of a copy that was given up; one that is already gone is fine.

    Raises
    ------
    ArtifactUnavailableError
        S3 does not respond; call again later.
    SettingsError
        S3 refuses.
    """
    Storage(s3, destination, _ONE_ATTEMPT).abort(upload_id)


def abort_uploads_below(s3: "S3Client", folder: Destination) -> None:
    """Abort every upload that is open under a key that begins with the folder's.

    Raises
    ------
    ArtifactUnavailableError
        S3 does not respond; call again later.
    SettingsError
        S3 refuses.
    """
    _abort_all(Storage(s3, folder, _ONE_ATTEMPT), below=True)


def _abort_all(storage: Storage, *, below: bool = False) -> None:
    for key, upload_id in storage.open_uploads(below=below):
        storage.abort(upload_id, key=key)
