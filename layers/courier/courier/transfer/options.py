"""What whoever asks for a copy may say about it, and S3's limits for it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from courier.errors import SettingsError

if TYPE_CHECKING:
    from courier.config.settings import ArtifactSettings

MIB = 1024**2
GIB = 1024**3

# S3 user guide, "Amazon S3 multipart upload limits".
SMALLEST_PART_BYTES = 5 * MIB
LARGEST_PART_BYTES = 5 * GIB
MOST_PARTS = 10_000

_LONGEST_KEY_BYTES: Final = 1_024


@dataclass(frozen=True, kw_only=True)
class CopyOptions:
    """What an operator may tune.

    Attributes
    ----------
    workers
        Parts in flight at once. Each has a connection of its own, and S3 gives one connection 85 to 90 MB/s
        (S3 user guide, "Performance design patterns"): while some parts are uploaded, the others keep coming.
    part_size_bytes
        Size of a part, as long as 10,000 of them suffice. Memory over the baseline of the process is::

            min(workers, parts) x part size + about 10 MiB (connections, TLS, threads)

        which is 48 MiB + 10 MiB by default. An artifact above 78 GiB (10,000 x 8 MiB) gets parts of a
        ten-thousandth of its size, and fewer workers so that their buffers stay within 48 MiB. Above
        469 GiB one part alone is larger than that, and the memory is one part: 525 MiB for 5 TiB.
        An artifact of unknown length whose limit (``largest_bytes``) exceeds 10,000 parts starts
        the same way; its parts double after every 1,000, so that it outgrows the 48 MiB from 54 GiB on.
    longest_seconds
        The whole copy ends after so long, over all invocations.
    most_continuations
        How often a copy is taken up again.
    stop_seconds
        No part is begun when less than this is left of the invocation, and reads that still run at
        half of it are cut off: one part of 8 MiB takes far less, and completing needs some time as well.
    connect_seconds, read_seconds
        Timeouts of the download: to connect, and between two arrivals of bytes.
    """

    workers: int = 6
    part_size_bytes: int = 8 * MIB
    longest_seconds: float = 24 * 3600.0
    most_continuations: int = 200
    stop_seconds: float = 60.0
    connect_seconds: float = 10.0
    read_seconds: float = 30.0

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= 64:  # noqa: PLR2004 - the reason is in the text
            raise ValueError(f"workers must be between 1 and 64, not {self.workers}; more only fight for bandwidth")
        if not SMALLEST_PART_BYTES <= self.part_size_bytes <= LARGEST_PART_BYTES:
            raise ValueError(f"a part has between 5 MiB and 5 GiB on S3, not {self.part_size_bytes} bytes")


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What the artifact must be.

    Attributes
    ----------
    content_types
        Media types to accept; empty accepts any but pages of HTML and XML.
    largest_bytes
        More is refused, announced or received.
    sha256
        Hexadecimal; None when nobody said. Such a copy is never taken up by another invocation,
        because it is proven before it is published.
    """

    content_types: tuple[str, ...]
    largest_bytes: int
    sha256: str | None = None

    @classmethod
    def of_settings(cls, settings: "ArtifactSettings") -> "Expected":
        """Give what a source's settings say."""
        return cls(content_types=settings.content_types, largest_bytes=settings.largest_bytes)


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
