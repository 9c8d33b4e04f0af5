"""The other end of an upload: it is aborted. No copy leaves an open upload behind.

`record_outcome` aborts what a copy that was given up left, and loads neither the download nor the copy for that.
"""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from courier.backoff import Backoff
from courier.errors import ArtifactUnavailableError, CopyUnfinishedError, CourierError, SourceUnavailableError
from courier.transfer.checkpoint import Checkpoint, CheckpointStore
from courier.transfer.options import Destination
from courier.transfer.s3_object import S3Object

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

# For an S3 client that retries by itself.
_ONE_ATTEMPT: Final = Backoff(attempts=1)


class UploadCleanup:
    """Aborts the uploads of one copy, and clears the checkpoint that points to them."""

    def __init__(self, s3_object: S3Object, checkpoints: CheckpointStore) -> None:
        self._s3_object = s3_object
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
            if not (called_again and checkpoint.is_resumable):
                self.discard(checkpoint, error)
            raise

    def discard(self, checkpoint: Checkpoint, error: BaseException | None = None) -> None:
        """Abort an upload, then clear its checkpoint: killed in between, the next copier finds it gone and begins anew.

        When S3 fails, that is noted on ``error``, if there is one.
        """
        try:
            self._s3_object.abort_upload(checkpoint.upload_id)
        except CourierError as failed:
            if error is None:
                raise
            error.add_note(f"and its multipart upload {checkpoint.upload_id} could not be aborted: {failed}")
            return
        self._checkpoints.clear(checkpoint.upload_id)

    def sweep(self) -> None:
        """Abort every upload that is open under the key, once the report is stored there.

        Such an upload is of a copier that was killed, or never got S3's response, before it could save the upload's id;
        or of a concurrent copier, which finds the report instead. A failure must not cost the report: the bucket's
        lifecycle rule aborts what S3 does not let us abort.
        """
        if not self._checkpoints.outlives_process:
            # A copy by hand: the key is not the courier's alone, and neither are its uploads.
            return
        with suppress(CourierError):
            _abort_all(self._s3_object)


def abort_upload(s3: "S3Client", destination: Destination, upload_id: str) -> None:
    """Abort the upload of a copy that was given up; one that is already gone is fine.

    Raises
    ------
    ArtifactUnavailableError
        S3 does not respond; call again later.
    SettingsError
        S3 refuses.
    """
    S3Object(s3, destination, _ONE_ATTEMPT).abort_upload(upload_id)


def abort_uploads_below(s3: "S3Client", folder: Destination) -> None:
    """Abort every upload that is open under a key that begins with the folder's.

    Raises
    ------
    ArtifactUnavailableError
        S3 does not respond; call again later.
    SettingsError
        S3 refuses.
    """
    _abort_all(S3Object(s3, folder, _ONE_ATTEMPT), below=True)


def _abort_all(s3_object: S3Object, *, below: bool = False) -> None:
    for key, upload_id in s3_object.open_uploads(below=below):
        s3_object.abort_upload(upload_id, key=key)
