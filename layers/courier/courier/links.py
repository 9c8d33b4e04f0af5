"""The link to an artifact: a presigned URL that is never shown in a log, and what the provider says of it."""

from dataclasses import dataclass
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
    """

    url: SecretUrl
    size_bytes: int | None
    expires_at: datetime | None
    filename: str

    @property
    def promised_bytes(self) -> int | None:
        """The length that the provider promises; None when it does not."""
        return self.size_bytes or None
