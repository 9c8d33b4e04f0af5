"""Every S3 operation of a copy: conditional creates that are proven, parts with checksums, what has the key already."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from botocore.exceptions import HTTPClientError, IncompleteReadError

from courier.backoff import Backoff
from courier.errors import SettingsError
from courier.transfer.options import MIB, Destination
from courier.transfer.s3_calls import AbsentError, ForbiddenError, S3Calls, UploadGoneError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

# Metadata of the copy: the artifact's validator, by which a later copier recognises it.
ETAG_KEY: Final = "source-etag"
SHA256_KEY: Final = "sha256"

_READ_BYTES: Final = MIB
# Amazon S3 and its endpoints in other partitions and in VPCs: If-None-Match is honoured there (since August 2024).
_AMAZON: Final = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".api.amazonwebservices.com.cn")


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


@dataclass(frozen=True)
class CreatedObject:
    """An object that S3 has proven to have created."""

    version_id: str | None


class S3Object:
    """All S3 operations for one key. They raise what `S3Calls.call` raises.

    On Amazon S3 the successful copy needs ``s3:PutObject`` alone, whatever its size. What else may be needed, and
    by other stores always, is in `courier.transfer.s3_calls.RIGHTS`; sweeping needs ``s3:ListBucketMultipartUploads``.

    Parameters
    ----------
    content_md5
        Send Content-MD5 in the place of ``x-amz-checksum-*``.
    honours_conditions
        Whether the store is known to honour ``If-None-Match``; None: Amazon S3 does, any other may ignore it.
    """

    def __init__(
        self,
        s3: "S3Client",
        destination: Destination,
        backoff: Backoff,
        *,
        content_md5: bool = False,
        honours_conditions: bool | None = None,
    ) -> None:
        self._s3 = s3
        self._calls = S3Calls(s3, destination, backoff)
        self._content_md5 = content_md5
        if honours_conditions is None:
            host = urlsplit(s3.meta.endpoint_url).hostname or ""
            honours_conditions = host.endswith(_AMAZON)
        self.honours_conditions = honours_conditions

    def head(self, *, if_allowed: bool = False) -> StoredObject | None:
        """Return the object under the key; None when there is none.

        With ``if_allowed``, None also where we may not know, and the store honours ``If-None-Match`` in any case.
        """
        mode: Any = {} if self._content_md5 else {"ChecksumMode": "ENABLED"}
        try:
            found = self._calls.call("HeadObject", self._s3.head_object, **mode)
        except AbsentError:
            return None
        except ForbiddenError as exc:
            if if_allowed and self.honours_conditions:
                return None
            raise SettingsError(str(exc)) from exc
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

    def head_unless_conditional(self) -> StoredObject | None:
        """Return the object under the key if the store may ignore ``If-None-Match``; else None, without a request."""
        return None if self.honours_conditions else self.head()

    def put(
        self,
        body: bytearray,
        *,
        sha256: bytes,
        content_type: str,
        content_encoding: str | None = None,
        origin_etag: str | None,
    ) -> CreatedObject | StoredObject:
        """Create the object in one request, which S3 checks against the digest; return as `_create` does.

        Raises
        ------
        KeyExistsError
            There is an object under the key.
        """
        checksum = {"ContentMD5": _md5(body)} if self._content_md5 else {"ChecksumSHA256": _base64(sha256)}
        return self._create(
            "PutObject",
            self._s3.put_object,
            len(body),
            Body=body,
            ContentLength=len(body),
            ContentType=content_type,
            **_encoding(content_encoding),
            **checksum,
            Metadata={SHA256_KEY: sha256.hex(), **_etag_metadata(origin_etag)},
        )

    def create_upload(self, *, content_type: str, content_encoding: str | None = None, origin_etag: str | None) -> str:
        """Create a multipart upload and return its id."""
        algorithm: Any = {} if self._content_md5 else {"ChecksumAlgorithm": "CRC32"}
        created = self._calls.call(
            "CreateMultipartUpload",
            self._s3.create_multipart_upload,
            ContentType=content_type,
            **_encoding(content_encoding),
            **algorithm,
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
        checksum = None if self._content_md5 else _base64(crc32.to_bytes(4, "big"))
        stored = self._calls.call(
            "UploadPart",
            self._s3.upload_part,
            UploadId=upload_id,
            PartNumber=number,
            Body=body,
            ContentLength=len(body),
            **({"ContentMD5": _md5(body)} if checksum is None else {"ChecksumCRC32": checksum}),
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
            page = self._calls.call("ListParts", self._s3.list_parts, UploadId=upload_id, **marker)
            listed = page.get("Parts", [])
            for part in listed:
                found[part["PartNumber"]] = UploadedPart(part["ETag"], part.get("ChecksumCRC32"), part["Size"])
            following = page.get("NextPartNumberMarker", 0)
            if not listed or not page.get("IsTruncated") or following <= marker.get("PartNumberMarker", 0):
                return found
            marker = {"PartNumberMarker": following}

    def complete_upload(self, upload_id: str, parts: Mapping[int, UploadedPart]) -> CreatedObject | StoredObject:
        """Create the object from its parts; return as `_create` does.

        Raises
        ------
        KeyExistsError
            There is an object under the key; the upload is still open.
        UploadGoneError
            The upload does not exist any more.
        CreateConflictError
            There was another write to the key; the upload is of no more use.
        StalePartsError
            Another copier uploaded a part again meanwhile, so its ETag is another one.
        """
        listed = [
            {"PartNumber": number, "ETag": part.etag, **({"ChecksumCRC32": part.crc32} if part.crc32 else {})}
            for number, part in sorted(parts.items())
        ]
        size_bytes = sum(part.length for part in parts.values())
        return self._create(
            "CompleteMultipartUpload",
            self._s3.complete_multipart_upload,
            size_bytes,
            UploadId=upload_id,
            MultipartUpload={"Parts": listed},
            MpuObjectSize=size_bytes,
        )

    def open_uploads(self, *, below: bool = False) -> list[tuple[str, str]]:
        """Return key and id of the multipart uploads that are open under the key, the first thousand.

        With ``below``, the key is a folder's: uploads under every key that begins with it are listed.
        """
        listed = self._calls.call(
            "ListMultipartUploads",
            lambda **where: self._s3.list_multipart_uploads(Bucket=where["Bucket"], Prefix=where["Key"]),
        )
        found = [(str(upload["Key"]), str(upload["UploadId"])) for upload in listed.get("Uploads", [])]
        return [(key, upload_id) for key, upload_id in found if below or key == self._calls.key]

    def abort_upload(self, upload_id: str, *, key: str | None = None) -> None:
        """Abort an upload, under another key if one is named; an upload that is already gone is fine."""
        try:
            self._calls.call(
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
            conditions = {"IfMatch": stored.etag, "Range": f"bytes={position}-"}
            response = self._calls.call("GetObject", self._s3.get_object, **conditions)
            try:
                with response["Body"] as body:
                    if _is_rest(response, stored, position):
                        while piece := body.read(_READ_BYTES):
                            check()
                            digest.update(piece)
                            position += len(piece)
            except (HTTPClientError, IncompleteReadError) as exc:
                reason = exc
            if reason is not None or position == began_at:
                failures += 1
                self._calls.unread(failures, reason)
        return digest.hexdigest()

    def _create(
        self,
        operation: str,
        call: Callable[..., Any],
        size_bytes: int,
        **arguments: Any,  # noqa: ANN401 - boto3's shape
    ) -> CreatedObject | StoredObject:
        """Create the object unless there is one, and believe only a response that proves it.

        Where the response proves nothing (an empty 200, a page of a proxy), or the store may ignore the condition,
        return instead what is found under the key, to be compared by the caller.
        """
        failures = 0
        while True:  # ends with an object, or after `Backoff.attempts` failures
            response = self._calls.call(operation, call, **arguments, IfNoneMatch="*")
            etag = response.get("ETag")
            if etag and self.honours_conditions:
                return CreatedObject(_version(response))
            stored = self.head()
            if stored is not None:
                is_ours = etag is not None and (stored.etag, stored.size_bytes) == (etag, size_bytes)
                return CreatedObject(_version(response)) if is_ours else stored
            failures += 1
            self._calls.pause(operation, "a success is reported, and no object is stored", failures)


def _is_rest(response: Mapping[str, Any], stored: StoredObject, position: int) -> bool:
    """Whether a response is the rest of the object: not a page, not the whole object again, not another one."""
    is_whole = position == 0 and response["ContentLength"] == stored.size_bytes
    rest = f"bytes {position}-{stored.size_bytes - 1}/{stored.size_bytes}"
    return response["ETag"] == stored.etag and (is_whole or response.get("ContentRange") == rest)


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _md5(body: bytearray) -> str:
    return _base64(hashlib.md5(body, usedforsecurity=False).digest())


def _encoding(content_encoding: str | None) -> dict[str, str]:
    return {} if content_encoding is None else {"ContentEncoding": content_encoding}


def _etag_metadata(origin_etag: str | None) -> dict[str, str]:
    return {} if origin_etag is None else {ETAG_KEY: origin_etag}


def _version(response: Mapping[str, Any]) -> str | None:
    """Return the version id; an unversioned bucket has none, in a suspended one it is ``null``."""
    version = response.get("VersionId")
    return None if version in {None, "null"} else str(version)
