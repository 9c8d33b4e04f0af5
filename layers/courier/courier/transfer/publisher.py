"""The end of a copy: the object appears under its key, whole, proven and at most once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256 as hash_sha256
from typing import Final

from courier.errors import (
    ArtifactConflictError,
    ArtifactRefusedError,
    ArtifactUnavailableError,
)
from courier.models import StoredArtifact
from courier.transfer.options import Destination
from courier.transfer.s3_calls import CreateConflictError, KeyExistsError, StalePartsError, UploadGoneError
from courier.transfer.s3_object import CreatedObject, S3Object, StoredObject, UploadedPart

# Another copier of the same upload may upload parts again while we complete it.
_MOST_LISTINGS: Final = 3
_NOTHING_OVERWRITTEN: Final = "; nothing was overwritten"


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
    content_encoding: str | None = None
    verified: bool = True


class Publisher:
    """Makes the object appear under its key, whole, at most once.

    Parameters
    ----------
    expected_sha256
        The artifact's digest, hexadecimal; None when it is not known.
    check_time
        Raises `OutOfTimeError` when a stored object must not be read any further.
    still_wanted
        Whether the report is still to be published; called once, right before it is.
    on_existing
        Called when an object that was there before has been compared and is the report.
    """

    def __init__(
        self,
        s3_object: S3Object,
        destination: Destination,
        *,
        expected_sha256: str | None,
        clock: Callable[[], datetime],
        check_time: Callable[[], None],
        still_wanted: Callable[[], bool] = lambda: True,
        on_existing: Callable[[], None] = lambda: None,
    ) -> None:
        self._s3_object = s3_object
        self._destination = destination
        self._expected_sha256 = expected_sha256
        self._clock = clock
        self._check_time = check_time
        self._still_wanted = still_wanted
        self._on_existing = on_existing

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
        self._check_wanted()
        earlier = self._s3_object.head_unless_conditional()
        if earlier is not None:
            return self._accept_earlier(earlier, origin, digest.hexdigest())
        try:
            created = self._s3_object.put(
                body,
                sha256=digest.digest(),
                content_type=origin.content_type,
                content_encoding=origin.content_encoding,
                origin_etag=origin.etag,
            )
        except KeyExistsError:
            return self._accept_existing(origin, digest.hexdigest())
        return self._created(created, origin, digest.hexdigest())

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
        self._check_wanted()
        earlier = self._s3_object.head_unless_conditional()
        if earlier is not None:
            self._s3_object.abort_upload(upload_id)
            return self._accept_earlier(earlier, origin, sha256)
        for _ in range(_MOST_LISTINGS):
            try:
                created = self._s3_object.complete_upload(upload_id, parts)
            except StalePartsError:
                parts = self._s3_object.list_parts(upload_id)
            except KeyExistsError:
                self._s3_object.abort_upload(upload_id)
                return self._accept_existing(origin, sha256)
            except UploadGoneError:
                return self._accept_existing(origin, sha256)
            except CreateConflictError:
                # The other write may have been a deletion: without an object, only a new upload can be completed.
                self._s3_object.abort_upload(upload_id)
                return self._accept_existing(origin, sha256)
            except ArtifactUnavailableError:
                # The response may be lost although the object was created.
                stored = self._s3_object.head()
                if stored is None or not stored.is_copy_of(origin.etag, origin.size_bytes):
                    raise
                return self.accept(stored, origin, sha256)
            else:
                return self._created(created, origin, sha256)
        raise ArtifactUnavailableError("other copiers keep changing the parts of this upload")

    def accept_earlier(self, origin: OriginObject) -> StoredArtifact | None:
        """Accept an earlier copy under the key; None when there is none, or only the whole copy can be compared.

        Raises what `accept` raises.
        """
        stored = self._s3_object.head(if_allowed=True)
        if stored is None:
            return None
        if stored.size_bytes == origin.size_bytes and not stored.is_copy_of(origin.etag, origin.size_bytes):
            return None
        return self._accept_earlier(stored, origin, None)

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
        return self._accept_earlier(self._existing(), origin, sha256)

    def _existing(self) -> StoredObject:
        stored = self._s3_object.head()
        if stored is None:
            gone = ArtifactUnavailableError("the upload was aborted by another process, and its key has no object")
            raise StartOverError(gone)
        return stored

    def _accept_earlier(self, stored: StoredObject, origin: OriginObject, sha256: str | None) -> StoredArtifact:
        artifact = self.accept(stored, origin, sha256)
        self._on_existing()
        return artifact

    def _created(
        self, created: CreatedObject | StoredObject, origin: OriginObject, sha256: str | None
    ) -> StoredArtifact:
        """Return what was created; an object that S3 has not proven to be ours is compared."""
        if isinstance(created, CreatedObject):
            if sha256 is None:
                return self.accept(self._existing(), origin, None)
            return self._artifact(origin, sha256, created.version_id)
        try:
            return self.accept(created, origin, sha256)
        except ArtifactConflictError as conflict:
            if self._s3_object.honours_conditions:
                raise
            text = str(conflict).removesuffix(_NOTHING_OVERWRITTEN)
            raise ArtifactConflictError(
                f"{text}; another writer was here, and the store ignores If-None-Match"
            ) from None

    def _check_wanted(self) -> None:
        if not self._still_wanted():
            raise ArtifactRefusedError("the build is recorded as undeliverable already, so its report is not stored")

    def _check_expected(self, sha256: str) -> None:
        if self._expected_sha256 is not None and sha256 != self._expected_sha256.lower():
            raise ArtifactRefusedError(f"the report has the SHA-256 {sha256}, {self._expected_sha256} was expected")

    def _conflict(self, difference: str) -> ArtifactConflictError:
        return ArtifactConflictError(
            f"s3://{self._destination.bucket}/{self._destination.key} {difference}{_NOTHING_OVERWRITTEN}"
        )

    def _artifact(self, origin: OriginObject, sha256: str, version_id: str | None) -> StoredArtifact:
        return StoredArtifact(
            bucket=self._destination.bucket,
            key=self._destination.key,
            version_id=version_id,
            size_bytes=origin.size_bytes,
            sha256=sha256,
            content_type=origin.content_type,
            content_encoding=origin.content_encoding,
            verified=origin.verified,
            copied_at=self._clock(),
        )
