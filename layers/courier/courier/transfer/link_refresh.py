"""Links die at any moment: the workers share the current one, and a fresh one when it is refused."""

import dataclasses
import threading
from collections.abc import Callable
from typing import Final

from courier.errors import ArtifactExpiredError
from courier.links import ArtifactLink, SecretUrl

# Fresh links in a row that are refused before one byte came: the second may have crossed a rotation of keys.
_MOST_REFUSALS: Final = 3


class LinkRefresher:
    """The current link, shared by the workers, and a fresh one from the provider when it is refused.

    ``expires_at`` of a link is ignored: some links die earlier, and some live longer.
    """

    def __init__(self, locate: Callable[[], ArtifactLink]) -> None:
        self._locate = locate
        self._link: ArtifactLink | None = None
        self._refusals = 0
        self._expired: str | None = None
        self._lock = threading.Lock()

    def current(self) -> ArtifactLink:
        """Return the link that worked last; request the first one from the provider."""
        with self._lock:
            if self._link is None:
                self._link = self._locate()
            return self._link

    def note_success(self) -> None:
        """Note that a request with a link succeeded."""
        with self._lock:
            self._refusals = 0

    def replace(self, link: ArtifactLink, url: SecretUrl) -> None:
        """Take the address that a link with our credentials redirects to; it needs none, and expires like any other."""
        with self._lock:
            if self._link is link:
                self._link = dataclasses.replace(link, url=url, headers={}, credentials=None)

    def refresh(self, refused: ArtifactLink, reason: str) -> None:
        """Request a link from the provider in place of one that was refused, unless another worker already has.

        Raises
        ------
        ArtifactExpiredError
            The provider returns the same link again, or its links are refused one after another.
        """
        with self._lock:
            if self._expired is not None:
                raise ArtifactExpiredError(self._expired)
            if self._link is not None and not _is_same(self._link, refused):
                return
            self._refusals += 1
            if self._refusals >= _MOST_REFUSALS:
                self._expired = f"{self._refusals} fresh links in a row were refused ({reason})"
                raise ArtifactExpiredError(self._expired)
            link = self._locate()
            if _is_same(link, refused):
                self._expired = f"the store refuses the link ({reason}), and the provider returns the same link again"
                raise ArtifactExpiredError(self._expired)
            self._link = link


def _is_same(link: ArtifactLink, other: ArtifactLink) -> bool:
    """Return whether two links would be requested alike: an access token may have been renewed in between."""
    return (link.url, link.credentials) == (other.url, other.credentials)


class LinkRefusedError(Exception):
    """The object store refuses the link (4xx); a fresh one may help. Internal to the download."""
