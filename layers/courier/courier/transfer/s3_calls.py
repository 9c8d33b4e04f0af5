"""One call to S3: retried, its response read before it is believed, and S3's errors mapped to ours."""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import botocore
from botocore import exceptions as botocore_errors
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from courier.backoff import Backoff
from courier.errors import ArtifactUnavailableError, SettingsError
from courier.transfer.options import CopyOptions, Destination

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

# What every S3 sends on success, and no page of a proxy or of a sign-in portal does.
_PROMISED: Final[Mapping[str, tuple[str, ...]]] = {
    "HeadObject": ("ETag", "ContentLength"),
    "GetObject": ("ETag", "ContentLength"),
    "CreateMultipartUpload": ("UploadId",),
    "UploadPart": ("ETag",),
    "ListParts": ("UploadId",),
    "ListMultipartUploads": ("Bucket",),
}
_NO_CONTENT: Final = 204

_NOT_FOUND: Final = frozenset({"404", "NoSuchKey", "NotFound"})
# Transient although they are 4xx: bytes lost or damaged on the way, a slow sender, throttling, and conditional
# creates at the same moment. botocore's own list (botocore/retries/standard.py), and the errors of lost uploads.
_TRANSIENT: Final = frozenset(
    {"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "IncompleteBody"}
    | {"MissingRequestBodyError", "RequestTimeout", "RequestTimeoutException", "PriorRequestNotComplete"}
    | {"ClientDisconnected", "SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "ThrottlingException"}
    | {"ThrottledException", "RequestThrottledException", "RequestThrottled", "TooManyRequestsException"}
    | {"TooManyRequests", "BandwidthLimitExceeded", "LimitExceededException", "RequestLimitExceeded"}
    | {"EC2ThrottledException", "TransactionInProgressException", "ConditionalRequestConflict", "OperationAborted"}
)
_TRANSIENT_STATUSES: Final = frozenset({408, 409, 425, 429, 499})
_CONFLICTS: Final = frozenset({"ConditionalRequestConflict", "409"})
_SERVER_ERROR: Final = 500
_FORBIDDEN: Final = 403
# S3-compatible stores refuse what they do not know with one of these. A HEAD has no body: then the code is the status.
_UNKNOWN_HEADER: Final = frozenset({"InvalidArgument", "InvalidRequest", "NotImplemented", "400", "501"})
_HEADER_NAME: Final = re.compile(r"\b(x-amz-[a-z0-9-]{1,60}|if-none-match)\b", re.IGNORECASE)
_BROKEN: Final = (
    botocore_errors.HTTPClientError,
    botocore_errors.ConnectionError,
    botocore_errors.IncompleteReadError,
    # A page of a proxy that is no XML either.
    ResponseParserError,
)
RIGHTS: Final = (
    "a copy of any size needs s3:PutObject; s3:AbortMultipartUpload to clean up, s3:ListMultipartUploadParts to"
    " resume, and s3:GetObject with s3:ListBucket to compare an object that has the key already (without"
    " s3:ListBucket, S3 says 403 of keys that do not exist)"
)


def storage_config(workers: int = CopyOptions.workers) -> Config:
    """Return the settings for the S3 client of a copy.

    botocore would hash every part again: a checksum of its own, and SHA-256 for the signature as soon as
    a checksum is given. The part's CRC32 that we send is enough over TLS. Retries are the copy's own.

    Raises
    ------
    SettingsError
        This botocore is older than 1.36, the first with these settings. It would also refuse ``MpuObjectSize``.
    """
    try:
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
    except TypeError as exc:
        raise SettingsError(
            f"botocore {botocore.__version__} is too old for the copy, which needs 1.36: in Lambda, let the function "
            "use the newest version of its runtime; elsewhere, pip install -U boto3"
        ) from exc


class UploadGoneError(Exception):
    """The multipart upload does not exist any more: another copier completed or aborted it, or it expired."""


class KeyExistsError(Exception):
    """The conditional create found an object under the key."""


class CreateConflictError(Exception):
    """Another write to the key ended while the upload was completed (409); S3 wants the upload to begin anew."""


class StalePartsError(Exception):
    """The list of parts is not what S3 holds any more."""


class AbsentError(Exception):
    """There is no object under the key."""


class ForbiddenError(Exception):
    """S3 does not allow us to find out whether the key has an object."""


class S3Calls:
    """Calls S3 for one key, with retries.

    Raises
    ------
    ArtifactUnavailableError
        S3 does not respond, responds 5xx, or responds with a success that proves nothing, at every attempt.
    SettingsError
        S3 refuses permanently, such as AccessDenied or NoSuchBucket.
    """

    def __init__(self, s3: "S3Client", destination: Destination, backoff: Backoff) -> None:
        self._where = {"Bucket": destination.bucket, "Key": destination.key}
        # The client's own endpoint: botocore's messages have the whole URL, and with it the key.
        self._host = urlsplit(s3.meta.endpoint_url).netloc.rpartition("@")[2]
        self._backoff = backoff
        self.name = f"s3://{destination.bucket}"

    @property
    def key(self) -> str:
        """The key."""
        return self._where["Key"]

    def call(self, operation: str, call: Callable[..., Any], **arguments: Any) -> Any:  # noqa: ANN401 - boto3's shape
        """Return the response of one operation, which has all that S3 promises for it."""
        failures = 0
        while True:  # ends with a response, or after `Backoff.attempts` failures
            cause: Exception | None = None
            try:
                response = call(**self._where, **arguments)
            except ClientError as exc:
                code = str(exc.response.get("Error", {}).get("Code", "unknown"))
                status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
                self._raise_permanent(operation, code, status, exc)
                cause, reason = exc, code
            except _BROKEN as exc:
                cause, reason = exc, f"{type(exc).__name__} at {self._host}"
            except BotoCoreError as exc:
                raise SettingsError(f"{operation} on {self.name} cannot be sent: {type(exc).__name__}") from exc
            else:
                missing = _missing(operation, response)
                if missing is None:
                    return response
                reason = f"{_status(response)} without {missing}, which is not S3's response"
            failures += 1
            self.pause(operation, reason, failures, cause)

    def pause(self, operation: str, reason: str, failures: int, cause: Exception | None = None) -> None:
        """Wait after the so-manieth failure.

        Raises
        ------
        ArtifactUnavailableError
            It was the last attempt.
        """
        if failures >= self._backoff.attempts:
            raise ArtifactUnavailableError(f"{operation} on {self.name} failed {failures} times: {reason}") from cause
        self._backoff.wait(failures)

    def unread(self, failures: int, cause: Exception | None) -> None:
        """Wait after the object under the key could not be read to its end; raise as `pause` does."""
        if failures >= self._backoff.attempts:
            raise ArtifactUnavailableError(f"{self.name} breaks off while the report is read back") from cause
        self._backoff.wait(failures)

    def _raise_permanent(self, operation: str, code: str, status: int, exc: ClientError) -> None:
        """Raise the error that an error response stands for; return when it is transient."""
        if code == "NoSuchUpload":
            raise UploadGoneError(operation) from exc
        if operation == "HeadObject" and code in _NOT_FOUND:
            raise AbsentError from exc
        if code in {"PreconditionFailed", "412"}:
            if operation == "GetObject":
                raise ArtifactUnavailableError(f"the report in {self.name} was replaced while it was read") from exc
            raise KeyExistsError(operation) from exc
        if operation == "CompleteMultipartUpload":
            if code in {"InvalidPart", "InvalidPartOrder"}:
                raise StalePartsError(code) from exc
            if code in _CONFLICTS:
                raise CreateConflictError(code) from exc
        # A store without conditional creates responds 501; without one the copy could overwrite an object.
        if code != "NotImplemented" and (
            status >= _SERVER_ERROR or status in _TRANSIENT_STATUSES or code in _TRANSIENT
        ):
            return
        refusal = f"S3 refuses {operation} on {self.name}: {code}"
        if operation == "HeadObject" and status == _FORBIDDEN:
            raise ForbiddenError(f"{refusal}; {RIGHTS}") from exc
        raise SettingsError(f"{refusal}{_hint(code, status, exc)}") from exc


def _hint(code: str, status: int, exc: ClientError) -> str:
    """Return what to do about a refusal, where that is known; of S3's own text only the name of a header is taken."""
    if status == _FORBIDDEN:
        return f"; {RIGHTS}"
    error: Mapping[str, Any] = dict(exc.response.get("Error", {}))
    named = _HEADER_NAME.search(f"{error.get('Header', '')} {error.get('Message', '')}")
    if named is None and code not in _UNKNOWN_HEADER:
        return ""
    header = named[1].lower() if named else "a header, perhaps x-amz-checksum-* or If-None-Match"
    text = f"; the store does not take {header}"
    if header == "if-none-match":
        return f"{text}, without which an object could be overwritten"
    return f"{text}: `courier copy --content-md5` sends Content-MD5 in the place of x-amz-checksum-*"


def _missing(operation: str, response: Mapping[str, Any]) -> str | None:
    """Return what a successful response lacks of what S3 promises; None when it is proven."""
    if operation == "AbortMultipartUpload":
        # Else the upload may still be open. Where it is not, the next attempt finds no such upload.
        return None if _status(response) == _NO_CONTENT else "its 204"
    return next((name for name in _PROMISED.get(operation, ()) if response.get(name) in {None, ""}), None)


def _status(response: Mapping[str, Any]) -> int:
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
