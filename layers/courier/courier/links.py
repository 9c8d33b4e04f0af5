"""The link to an artifact: a presigned URL that is never shown in a log, and what the provider says of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit


class SecretUrl:
    """A URL whose query is a bearer secret: ``str`` and ``repr`` show scheme, host and path only.

    A presigned URL lets any holder read the object until it expires (S3 user guide, "Working with
    presigned URLs"), so the text leaves this object only through `reveal`, right where the request is made.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the whole URL; never pass the result to a log, an exception or a payload."""
        return self._text

    def __str__(self) -> str:
        try:
            parts = urlsplit(self._text)
            # The path is dropped as well where it could hold a token: only its last segment helps a reader.
            return f"{parts.scheme}://{parts.hostname or '?'}/…/{parts.path.rpartition('/')[2]}"
        except ValueError:
            return "<malformed URL>"

    def __repr__(self) -> str:
        return f"SecretUrl({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretUrl) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, kw_only=True)
class ArtifactLink:
    """Where a finished artifact can be read right now.

    Attributes
    ----------
    url
        Fresh from the provider; it expires within the hour or earlier.
    size_bytes
        The length in the provider's API; some say 0 when they do not know it, others nothing.
    expires_at
        When the link expires according to the provider; only a hint, links signed with temporary
        credentials expire earlier.
    filename
        Name to store the artifact under, before it is made safe.
    sha256
        The digest in the provider's API, hexadecimal; None when it has none.
    headers
        Headers that the provider prescribes for the download.
    credentials
        Headers with our credentials, where the API itself serves the artifact; None for a link that needs none. They
        and ``headers`` are sent to the origin of ``url`` alone: a redirect to another origin is followed without them.
    """

    url: SecretUrl
    size_bytes: int | None
    expires_at: datetime | None
    filename: str
    sha256: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    credentials: Mapping[str, str] | None = field(default=None, repr=False)

    @property
    def promised_bytes(self) -> int | None:
        """The length that the provider promises; None when it does not."""
        return self.size_bytes or None
