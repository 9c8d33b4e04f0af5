"""The present link, and another one when it dies."""

import threading
from collections.abc import Callable
from typing import Final

from courier.errors import ArtifactExpiredError
from courier.links import ArtifactLink, SecretUrl

# Fresh links in a row that are refused before one byte came: the second may have crossed a rotation of keys.
_MOST_REFUSALS: Final = 3


class LinkHolder:
    """The present link, shared by the workers; asks the provider for another when it dies.

    ``expires_at`` of a link is not looked at: links die earlier, and some live longer.
    """

    def __init__(self, locate: Callable[[], ArtifactLink]) -> None:
        self._locate = locate
        self._link: ArtifactLink | None = None
        self._refusals = 0
        self._dead: str | None = None
        self._lock = threading.Lock()

    def current(self) -> ArtifactLink:
        """Give the link that worked last, or ask for the first one."""
        with self._lock:
            if self._link is None:
                self._link = self._locate()
            return self._link

    def worked(self) -> None:
        """Note that a request with a link succeeded."""
        with self._lock:
            self._refusals = 0

    def renew(self, dead: SecretUrl, why: str) -> ArtifactLink:
        """Ask for a link in the place of one that was refused, unless another worker already has.

        Raises
        ------
        ArtifactExpiredError
            The provider hands out the same link again, or its links are refused one after another.
        """
        with self._lock:
            if self._dead is not None:
                raise ArtifactExpiredError(self._dead)
            if self._link is not None and self._link.url != dead:
                return self._link
            self._refusals += 1
            if self._refusals >= _MOST_REFUSALS:
                self._dead = f"{self._refusals} fresh links in a row were refused ({why})"
                raise ArtifactExpiredError(self._dead)
            link = self._locate()
            if link.url == dead:
                self._dead = f"the store refuses the link ({why}), and the provider gives the same again"
                raise ArtifactExpiredError(self._dead)
            self._link = link
            return link
