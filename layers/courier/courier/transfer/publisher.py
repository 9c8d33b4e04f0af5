"""Publishing once: the conditional create, and what to think of an object that is already there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256 as hash_sha256
from typing import Final

from courier.errors import ArtifactConflictError, ArtifactRefusedError, ArtifactUnavailableError
from courier.models import StoredArtifact
from courier.transfer.internal_errors import KeyExistsError, StartOverError, UploadGoneError
from courier.transfer.options import Destination
from courier.transfer.s3_object import Existing, Receipt, StalePartsError, Storage

# Another copier of the same upload may store parts again while we complete it.
_MOST_LISTINGS: Final = 3


@dataclass(frozen=True, kw_only=True)
class Original:
    """What is known of the source object when its copy is published.

    ``verified`` is false when neither a length nor an end mark says that it is whole.
    """

    size_bytes: int
    etag: str | None
    content_type: str
    verified: bool


class Publisher:
    """Makes the object appear under its key, whole, at most once.

    Parameters
    ----------
    expected_sha256
        What the artifact must have, hexadecimal; None when nobody said.
    check_time
        Raises `OutOfTimeError` when a stored object must not be read any further.
    """

    def __init__(
        self,
        storage: Storage,
        destination: Destination,
        *,
        expected_sha256: str | None,
        clock: Callable[[], datetime],
        check_time: Callable[[], None],
    ) -> None:
        self._storage = storage
        self._destination = destination
        self._expected_sha256 = expected_sha256
        self._clock = clock
        self._check_time = check_time

    def put(self, body: bytearray, original: Original) -> StoredArtifact:
        """Publish an artifact that is one part at most.

        Raises
        ------
        ArtifactConflictError
            Another object lies under the key.
        ArtifactRefusedError
            It is not the artifact that was expected.
        """
        digest = hash_sha256(body)
        self._check_expected(digest.hexdigest())
        try:
            version = self._storage.put(
                body, sha256=digest.digest(), content_type=original.content_type, source_etag=original.etag
            )
        except KeyExistsError:
            return self._settle(original, digest.hexdigest())
        return self._stored(original, digest.hexdigest(), version)

    def complete(
        self, upload_id: str, parts: Mapping[int, Receipt], original: Original, sha256: str | None
    ) -> StoredArtifact:
        """Publish an artifact whose parts are stored; a digest that is not known is read back from S3.

        Raises
        ------
        ArtifactConflictError
            Another object lies under the key; the upload is aborted.
        ArtifactRefusedError
            It is not the artifact that was expected; the upload is still open.
        ArtifactUnavailableError
            S3 does not answer; the upload is still open.
        OutOfTimeError
            The object is published, and there was no time to read it back.
        StartOverError
            The upload is gone, and nothing was made of it.
        """
        if sha256 is not None:
            self._check_expected(sha256)
        for _ in range(_MOST_LISTINGS):
            try:
                version = self._storage.complete(upload_id, parts)
            except StalePartsError:
                parts = self._storage.parts(upload_id)
            except KeyExistsError:
                self._storage.abort(upload_id)
                return self._settle(original, sha256)
            except UploadGoneError:
                return self._settle(original, sha256)
            except ArtifactUnavailableError:
                # The answer may be lost although the object was made.
                existing = self._storage.head()
                if existing is None or not existing.is_copy_of(original.etag, original.size_bytes):
                    raise
                return self.accept(existing, original, sha256)
            else:
                if sha256 is None:
                    return self._settle(original, None)
                return self._stored(original, sha256, version)
        raise ArtifactUnavailableError("other copiers keep changing the parts of this upload")

    def accept(self, existing: Existing, original: Original, sha256: str | None) -> StoredArtifact:
        """Take the object under the key for ours if it has the same checksum, read back where S3 does not say it.

        Without a checksum of ours, it must be a copy of the same version of the source object.

        Raises
        ------
        ArtifactConflictError
            It is another object.
        OutOfTimeError
            There was no time to read it back.
        StartOverError
            It cannot be told; reading the source from the beginning gives a checksum.
        """
        if existing.size_bytes != original.size_bytes:
            raise self._conflict(f"has {existing.size_bytes} bytes, the report {original.size_bytes}")
        if sha256 is None and not existing.is_copy_of(original.etag, original.size_bytes):
            raise StartOverError(self._conflict("cannot be compared"))
        theirs = existing.sha256 or self._storage.sha256_of(existing, self._check_time)
        if sha256 is not None and theirs != sha256:
            raise self._conflict(f"has the SHA-256 {theirs}, the report {sha256}")
        self._check_expected(theirs)
        return self._stored(original, theirs, existing.version_id)

    def _settle(self, original: Original, sha256: str | None) -> StoredArtifact:
        existing = self._storage.head()
        if existing is None:
            gone = ArtifactUnavailableError("the upload was aborted by somebody else, and nothing lies under the key")
            raise StartOverError(gone)
        return self.accept(existing, original, sha256)

    def _check_expected(self, sha256: str) -> None:
        if self._expected_sha256 is not None and sha256 != self._expected_sha256.lower():
            raise ArtifactRefusedError(f"the report has the SHA-256 {sha256}, {self._expected_sha256} was expected")

    def _conflict(self, difference: str) -> ArtifactConflictError:
        return ArtifactConflictError(
            f"s3://{self._destination.bucket}/{self._destination.key} {difference}; nothing was overwritten"
        )

    def _stored(self, original: Original, sha256: str, version_id: str | None) -> StoredArtifact:
        return StoredArtifact(
            bucket=self._destination.bucket,
            key=self._destination.key,
            version_id=version_id,
            size_bytes=original.size_bytes,
            sha256=sha256,
            content_type=original.content_type,
            verified=original.verified,
            copied_at=self._clock(),
        )
