"""Where a report goes, and what may be known of what lies there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from botocore.config import Config

from courier.errors import SettingsError
from courier.transfer.options import CopyOptions

# Metadata of the copy: the source's validator, with which a later copier knows the report again.
ETAG_KEY: Final = "source-etag"
SHA256_KEY: Final = "sha256"

_LONGEST_KEY_BYTES: Final = 1_024


def storage_config(workers: int = CopyOptions.workers) -> Config:
    """Give the settings for the S3 client of a copy.

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


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where the report goes.

    Raises
    ------
    SettingsError
        The key is none that S3 and everybody who reads it takes the same way: empty, longer than 1,024
        bytes, with control characters, or with a segment ``.`` or ``..``.
    """

    bucket: str
    key: str

    def __post_init__(self) -> None:
        segments = self.key.split("/")
        odd = any(not character.isprintable() for character in self.key)
        if not self.bucket or not self.key or odd or len(self.key.encode()) > _LONGEST_KEY_BYTES:
            raise SettingsError(f"{self.key!r} cannot be the key of a report")
        if self.key.startswith("/") or {".", ".."} & set(segments):
            raise SettingsError(f"{self.key!r} would leave its prefix where keys are read as paths")


@dataclass(frozen=True)
class Receipt:
    """One stored part: what completing the upload needs to know of it."""

    etag: str
    crc32: str | None
    length: int


@dataclass(frozen=True)
class Existing:
    """What lies under the key: `sha256` is hexadecimal, and None unless S3 itself has computed it."""

    size_bytes: int
    etag: str
    version_id: str | None
    sha256: str | None
    metadata: Mapping[str, str] = field(repr=False)

    def is_copy_of(self, source_etag: str | None, size_bytes: int | None) -> bool:
        """Whether it was copied from the source object that has this strong validator and length."""
        return source_etag is not None and (self.metadata.get(ETAG_KEY), self.size_bytes) == (source_etag, size_bytes)
