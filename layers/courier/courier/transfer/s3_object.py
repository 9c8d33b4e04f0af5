"""Every S3 call of a copy: conditional creates, parts with checksums, and what is stored under the key already."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from botocore import exceptions as botocore_errors
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from courier.backoff import Backoff
from courier.errors import ArtifactError, ArtifactUnavailableError, SettingsError
from courier.transfer.options import MIB, CopyOptions, Destination

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

# Metadata of the copy: the artifact's validator, by which a later copier recognises it.
ETAG_KEY: Final = "source-etag"
SHA256_KEY: Final = "sha256"

_READ_BYTES: Final = MIB
_NOT_FOUND: Final = frozenset({"404", "NoSuchKey", "NotFound"})
# Transient although they are 4xx: bytes damaged on the way, a slow sender, concurrent conditional creates.
_TRANSIENT: Final = frozenset(
    {"BadDigest", "XAmzContentChecksumMismatch", "RequestTimeout", "SlowDown", "ConditionalRequestConflict"}
    | {"OperationAborted", "Throttling", "ThrottlingException", "TooManyRequests", "429", "409"}
)
_SERVER_ERROR: Final = 500
_FORBIDDEN: Final = 403
_BROKEN: Final = (
    botocore_errors.HTTPClientError,
    botocore_errors.ConnectionError,
    botocore_errors.IncompleteReadError,
)


class UploadGoneError(Exception):
    """The multipart upload does not exist any more: another copier completed or aborted it, or it expired."""


class KeyExistsError(Exception):
    """The conditional create found an object under the key."""


class StalePartsError(Exception):
    """The list of parts is not what S3 holds any more."""


class _AbsentError(Exception):
    """There is no object under the key."""


def storage_config(workers: int = CopyOptions.workers) -> Config:
    """Return the settings for the S3 client of a copy.

    botocore would hash every part again: a checksum of its own, and SHA-256 for the signature as soon as
    a checksum is given. The part's CRC32 that we send is enough over TLS. Retries are the copy's own.
    """
    return Config(
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=workers + 2,
        retries={"mode": "standard", "total_max_attempts": 1},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        tcp_keepalive=True,
        s3={"payload_signing_enabled": False},
    )


@dataclass(frozen=True)
class UploadedPart:
    """One stored part, as completing the upload needs it."""

    etag: str
    crc32: str | None
    length: int


@dataclass(frozen=True)
class StoredObject:
    """The object under the key: `sha256` is hexadecimal, and None unless S3 itself has computed it."""

    size_bytes: int
    etag: str
    version_id: str | None
    sha256: str | None
    metadata: Mapping[str, str] = field(repr=False)

    def is_copy_of(self, origin_etag: str | None, size_bytes: int | None) -> bool:
        """Whether it was copied from the artifact that has this strong validator and length."""
        return origin_etag is not None and (self.metadata.get(ETAG_KEY), self.size_bytes) == (origin_etag, size_bytes)


class S3Object:
    """All S3 calls for one key, with retries; S3's errors are mapped to ours.

    Needs ``s3:PutObject``, ``s3:GetObject``, ``s3:AbortMultipartUpload`` and
    ``s3:ListMultipartUploadParts`` on the key, and on the bucket ``s3:ListBucket`` (without it S3 responds 403
    for a key that does not exist) and ``s3:ListBucketMultipartUploads``.

    Raises
    ------
    ArtifactUnavailableError
        From every method: S3 does not respond, or responds 5xx, at every attempt.
    SettingsError
        From every method: S3 refuses permanently, such as AccessDenied or NoSuchBucket.
    """

    def __init__(self, s3: "S3Client", destination: Destination, backoff: Backoff) -> None:
        self._s3 = s3
        self._where = {"Bucket": destination.bucket, "Key": destination.key}
        self._name = f"s3://{destination.bucket}"
        self._backoff = backoff

    def head(self) -> StoredObject | None:
        """Return the object under the key; None when there is none."""
        try:
            found = self._call("HeadObject", self._s3.head_object, ChecksumMode="ENABLED")
        except _AbsentError:
            return None
        checksum = found.get("ChecksumSHA256", "")
        # A composite checksum ("...-12") is not that of the whole object.
        whole = checksum and "-" not in checksum and found.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT"
        return StoredObject(
            size_bytes=found["ContentLength"],
            etag=found["ETag"],
            version_id=_version(found),
            sha256=base64.b64decode(checksum).hex() if whole else None,
            metadata=found.get("Metadata", {}),
        )

    def put(self, body: bytearray, *, sha256: bytes, content_type: str, origin_etag: str | None) -> str | None:
        """Create the object in one request, which S3 checks against the digest; return its version.

        Raises
        ------
        KeyExistsError
            There is an object under the key.
        """
        stored = self._call(
            "PutObject",
            self._s3.put_object,
            Body=body,
            ContentLength=len(body),
            ContentType=content_type,
            ChecksumSHA256=base64.b64encode(sha256).decode(),
            Metadata={SHA256_KEY: sha256.hex(), **_etag_metadata(origin_etag)},
            IfNoneMatch="*",
        )
        return _version(stored)

    def create_upload(self, *, content_type: str, origin_etag: str | None) -> str:
        """Create a multipart upload and return its id."""
        created = self._call(
            "CreateMultipartUpload",
            self._s3.create_multipart_upload,
            ContentType=content_type,
            ChecksumAlgorithm="CRC32",
            Metadata=_etag_metadata(origin_etag),
        )
        return str(created["UploadId"])

    def upload_part(self, upload_id: str, number: int, body: bytearray, crc32: int) -> UploadedPart:
        """Upload one part, which S3 checks against the CRC.

        Raises
        ------
        UploadGoneError
            The upload does not exist any more.
        """
        checksum = base64.b64encode(crc32.to_bytes(4, "big")).decode()
        stored = self._call(
            "UploadPart",
            self._s3.upload_part,
            UploadId=upload_id,
            PartNumber=number,
            Body=body,
            ContentLength=len(body),
            ChecksumCRC32=checksum,
        )
        return UploadedPart(stored["ETag"], checksum, len(body))

    def list_parts(self, upload_id: str) -> dict[int, UploadedPart]:
        """Return the parts that an upload holds, by part number.

        Raises
        ------
        UploadGoneError
            The upload does not exist any more.
        """
        found: dict[int, UploadedPart] = {}
        marker: dict[str, int] = {}
        while True:  # ends: S3 lists 10,000 parts at most, and a marker that does not move ends it as well
            page = self._call("ListParts", self._s3.list_parts, UploadId=upload_id, **marker)
            listed = page.get("Parts", [])
            for part in listed:
                found[part["PartNumber"]] = UploadedPart(part["ETag"], part.get("ChecksumCRC32"), part["Size"])
            following = page.get("NextPartNumberMarker", 0)
            if not listed or not page.get("IsTruncated") or following <= marker.get("PartNumberMarker", 0):
                return found
            marker = {"PartNumberMarker": following}

    def complete_upload(self, upload_id: str, parts: Mapping[int, UploadedPart]) -> str | None:
        """Create the object from its parts and return its version.

        Raises
        ------
        KeyExistsError
            There is an object under the key; the upload is still open.
        UploadGoneError
            The upload does not exist any more.
        StalePartsError
            Another copier uploaded a part again meanwhile, so its ETag is another one.
        """
        listed = [
            {"PartNumber": number, "ETag": part.etag, **({"ChecksumCRC32": part.crc32} if part.crc32 else {})}
            for number, part in sorted(parts.items())
        ]
        completed = self._call(
            "CompleteMultipartUpload",
            self._s3.complete_multipart_upload,
            UploadId=upload_id,
            MultipartUpload={"Parts": listed},
            MpuObjectSize=sum(part.length for part in parts.values()),
            IfNoneMatch="*",
        )
        return _version(completed)

    def open_uploads(self, *, below: bool = False) -> list[tuple[str, str]]:
        """Return key and id of the multipart uploads that are open under the key, the first thousand.

        With ``below``, the key is a folder's: uploads under every key that begins with it are listed.
        """
        listed = self._call(
            "ListMultipartUploads",
            lambda **where: self._s3.list_multipart_uploads(Bucket=where["Bucket"], Prefix=where["Key"]),
        )
        found = [(str(upload["Key"]), str(upload["UploadId"])) for upload in listed.get("Uploads", [])]
        return [(key, upload_id) for key, upload_id in found if below or key == self._where["Key"]]

    def abort_upload(self, upload_id: str, *, key: str | None = None) -> None:
        """Abort an upload, under another key if one is named; an upload that is already gone is fine."""
        try:
            self._call(
                "AbortMultipartUpload",
                lambda **where: self._s3.abort_multipart_upload(**{**where, "Key": key or where["Key"]}),
                UploadId=upload_id,
            )
        except UploadGoneError:
            return

    def sha256_of(self, stored: StoredObject, check: Callable[[], None]) -> str:
        """Read the object under the key, once and in pieces, and return its SHA-256.

        ``check`` is called before each piece and may raise.

        Raises
        ------
        ArtifactUnavailableError
            It cannot be read, or is another object by now.
        """
        digest = hashlib.sha256()
        position = failures = 0
        while position < stored.size_bytes:  # ends: every round makes progress, or counts as a failure
            began_at = position
            reason: Exception | None = None
            try:
                with self._call("GetObject", self._s3.get_object, IfMatch=stored.etag, Range=f"bytes={position}-")[
                    "Body"
                ] as body:
                    while piece := body.read(_READ_BYTES):
                        check()
                        digest.update(piece)
                        position += len(piece)
            except _BROKEN as exc:
                reason = exc
            if reason is not None or position == began_at:
                failures += 1
                if failures >= self._backoff.attempts:
                    raise ArtifactUnavailableError(f"{self._name} breaks off while the report is read back") from reason
                self._backoff.wait(failures)
        return digest.hexdigest()

    def _call(self, operation: str, call: Callable[..., Any], **arguments: Any) -> Any:  # noqa: ANN401 - boto3's shape
        """Call S3, retry, and map its errors: nothing else in the copy knows them."""
        failures = 0
        while True:  # ends with a response, or after `Backoff.attempts` failures
            try:
                return call(**self._where, **arguments)
            except ClientError as exc:
                code = str(exc.response.get("Error", {}).get("Code", "unknown"))
                status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
                self._raise_permanent(operation, code, status, exc)
                failures += 1
                if failures >= self._backoff.attempts:
                    raise self._unavailable(operation, code, failures) from exc
            except _BROKEN as exc:
                failures += 1
                if failures >= self._backoff.attempts:
                    # The client's own endpoint: botocore's message has the whole URL, and with it the key.
                    host = urlsplit(self._s3.meta.endpoint_url).netloc.rpartition("@")[2]
                    raise self._unavailable(operation, f"{type(exc).__name__} at {host}", failures) from exc
            except BotoCoreError as exc:
                raise SettingsError(f"{operation} on {self._name} cannot be sent: {type(exc).__name__}") from exc
            self._backoff.wait(failures)

    def _raise_permanent(self, operation: str, code: str, status: int, exc: ClientError) -> None:
        """Raise the error that an error response stands for; return when it is transient."""
        if code == "NoSuchUpload":
            raise UploadGoneError(operation) from exc
        if operation == "HeadObject" and code in _NOT_FOUND:
            raise _AbsentError from exc
        if code in {"PreconditionFailed", "412"}:
            if operation == "GetObject":
                raise ArtifactUnavailableError(f"the report in {self._name} was replaced while it was read") from exc
            raise KeyExistsError(operation) from exc
        if code in {"InvalidPart", "InvalidPartOrder"} and operation == "CompleteMultipartUpload":
            raise StalePartsError(code) from exc
        # A store without conditional creates responds 501; without one the copy could overwrite an object.
        if code != "NotImplemented" and (status >= _SERVER_ERROR or code in _TRANSIENT):
            return
        hint = " (grant s3:ListBucket too, without it S3 says so of keys that do not exist)"
        unclear = operation == "HeadObject" and status == _FORBIDDEN
        raise SettingsError(f"S3 refuses {operation} on {self._name}: {code}{hint if unclear else ''}") from exc

    def _unavailable(self, operation: str, reason: str, attempts: int) -> ArtifactError:
        return ArtifactUnavailableError(f"{operation} on {self._name} failed {attempts} times: {reason}")


def _etag_metadata(origin_etag: str | None) -> dict[str, str]:
    return {} if origin_etag is None else {ETAG_KEY: origin_etag}


def _version(response: Mapping[str, Any]) -> str | None:
    """Return the version id; an unversioned bucket has none, in a suspended one it is ``null``."""
    version = response.get("VersionId")
    return None if version in {None, "null"} else str(version)
