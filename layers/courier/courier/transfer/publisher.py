"""The two ends of an upload: published once under its key, or aborted. No copy leaves an open upload behind.

`record_outcome` aborts what a copy that was given up left, and loads neither the download nor the copy for that.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256 as hash_sha256
from typing import TYPE_CHECKING, Final

from courier.backoff import Backoff
from courier.errors import (
    ArtifactConflictError,
    ArtifactRefusedError,
    ArtifactUnavailableError,
    CopyUnfinishedError,
    CourierError,
    SourceUnavailableError,
)
from courier.models import StoredArtifact
from courier.transfer.checkpoint import Checkpoint, CheckpointStore
from courier.transfer.options import Destination
from courier.transfer.s3_object import (
    KeyExistsError,
    S3Object,
    StalePartsError,
    StoredObject,
    UploadedPart,
    UploadGoneError,
)

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

# Another copier of the same upload may upload parts again while we complete it.
_MOST_LISTINGS: Final = 3
# For an S3 client that retries by itself.
_ONE_ATTEMPT: Final = Backoff(attempts=1)


class StartOverError(Exception):
    """An attempt failed and left nothing behind; another one may succeed. Internal to the copy.

    Parameters
    ----------
    final
        What to raise when there is no other attempt.
    """

    def __init__(self, final: Exception) -> None:
        super().__init__(str(final))
        self.final = final


@dataclass(frozen=True, kw_only=True)
class OriginObject:
    """What is known of the downloaded object when its copy is published.

    ``verified`` is false when neither a length nor an end mark shows that it is whole.
    """

    size_bytes: int
    etag: str | None
    content_type: str
    verified: bool = True


class Publisher:
    """Makes the object appear under its key, whole, at most once.

    Parameters
    ----------
    expected_sha256
        The artifact's digest, hexadecimal; None when it is not known.
    check_time
        Raises `OutOfTimeError` when a stored object must not be read any further.
    """

    def __init__(
        self,
        s3_object: S3Object,
        destination: Destination,
        *,
        expected_sha256: str | None,
        clock: Callable[[], datetime],
        check_time: Callable[[], None],
    ) -> None:
        self._s3_object = s3_object
        self._destination = destination
        self._expected_sha256 = expected_sha256
        self._clock = clock
        self._check_time = check_time

    def put(self, body: bytearray, origin: OriginObject) -> StoredArtifact:
        """Publish an artifact that is one part at most.

        Raises
        ------
        ArtifactConflictError
            Another object has the key.
        ArtifactRefusedError
            It is not the artifact that was expected.
        """
        digest = hash_sha256(body)
        self._check_expected(digest.hexdigest())
        try:
            version = self._s3_object.put(
                body, sha256=digest.digest(), content_type=origin.content_type, origin_etag=origin.etag
            )
        except KeyExistsError:
            return self._accept_existing(origin, digest.hexdigest())
        return self._artifact(origin, digest.hexdigest(), version)

    def complete(
        self, upload_id: str, parts: Mapping[int, UploadedPart], origin: OriginObject, sha256: str | None
    ) -> StoredArtifact:
        """Publish an artifact whose parts are stored; an unknown digest is read back from S3.

        Raises
        ------
        ArtifactConflictError
            Another object has the key; the upload is aborted.
        ArtifactRefusedError
            It is not the artifact that was expected; the upload is still open.
        ArtifactUnavailableError
            S3 does not respond; the upload is still open.
        OutOfTimeError
            The object is published, and there was no time to read it back.
        StartOverError
            The upload is gone, and there is no object under the key.
        """
        if sha256 is not None:
            self._check_expected(sha256)
        for _ in range(_MOST_LISTINGS):
            try:
                version = self._s3_object.complete_upload(upload_id, parts)
            except StalePartsError:
                parts = self._s3_object.list_parts(upload_id)
            except KeyExistsError:
                self._s3_object.abort_upload(upload_id)
                return self._accept_existing(origin, sha256)
            except UploadGoneError:
                return self._accept_existing(origin, sha256)
            except ArtifactUnavailableError:
                # The response may be lost although the object was created.
                stored = self._s3_object.head()
                if stored is None or not stored.is_copy_of(origin.etag, origin.size_bytes):
                    raise
                return self.accept(stored, origin, sha256)
            else:
                if sha256 is None:
                    return self._accept_existing(origin, None)
                return self._artifact(origin, sha256, version)
        raise ArtifactUnavailableError("other copiers keep changing the parts of this upload")

    def accept_earlier(self, origin: OriginObject) -> StoredArtifact | None:
        """Accept an earlier copy under the key; None when there is none, or only the whole copy can be compared.

        Raises what `accept` raises.
        """
        stored = self._s3_object.head()
        if stored is None:
            return None
        if stored.size_bytes == origin.size_bytes and not stored.is_copy_of(origin.etag, origin.size_bytes):
            return None
        return self.accept(stored, origin, None)

    def accept(self, stored: StoredObject, origin: OriginObject, sha256: str | None) -> StoredArtifact:
        """Accept the object under the key if it has the same checksum, read back where S3 does not know it.

        Without a checksum of ours, it must be a copy of the same version of the origin object.

        Raises
        ------
        ArtifactConflictError
            It is another object.
        OutOfTimeError
            There was no time to read it back.
        StartOverError
            It cannot be compared; downloading the artifact from the beginning yields a checksum.
        """
        if stored.size_bytes != origin.size_bytes:
            raise self._conflict(f"has {stored.size_bytes} bytes, the report {origin.size_bytes}")
        if sha256 is None and not stored.is_copy_of(origin.etag, origin.size_bytes):
            raise StartOverError(self._conflict("cannot be compared"))
        stored_sha256 = stored.sha256 or self._s3_object.sha256_of(stored, self._check_time)
        if sha256 is not None and stored_sha256 != sha256:
            raise self._conflict(f"has the SHA-256 {stored_sha256}, the report {sha256}")
        self._check_expected(stored_sha256)
        return self._artifact(origin, stored_sha256, stored.version_id)

    def _accept_existing(self, origin: OriginObject, sha256: str | None) -> StoredArtifact:
        stored = self._s3_object.head()
        if stored is None:
            gone = ArtifactUnavailableError("the upload was aborted by another process, and its key has no object")
            raise StartOverError(gone)
        return self.accept(stored, origin, sha256)

    def _check_expected(self, sha256: str) -> None:
        if self._expected_sha256 is not None and sha256 != self._expected_sha256.lower():
            raise ArtifactRefusedError(f"the report has the SHA-256 {sha256}, {self._expected_sha256} was expected")

    def _conflict(self, difference: str) -> ArtifactConflictError:
        return ArtifactConflictError(
            f"s3://{self._destination.bucket}/{self._destination.key} {difference}; nothing was overwritten"
        )

    def _artifact(self, origin: OriginObject, sha256: str, version_id: str | None) -> StoredArtifact:
        return StoredArtifact(
            bucket=self._destination.bucket,
            key=self._destination.key,
            version_id=version_id,
            size_bytes=origin.size_bytes,
            sha256=sha256,
            content_type=origin.content_type,
            verified=origin.verified,
            copied_at=self._clock(),
        )


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
