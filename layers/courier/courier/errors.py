"""Every error the courier raises on purpose.

::

    CourierError
    ├── SettingsError                  configuration or event is wrong; names the place
    ├── LedgerError                    the ledger holds a row that this version cannot read
    ├── SourceError                    a provider's API
    │   ├── SourceUnavailableError     no answer, or 5xx; worth another try
    │   │   └── SourceThrottledError   429 with a time to wait
    │   ├── SourceRejectedError        4xx: the same request will be refused again
    │   │   ├── SourceUnauthorizedError    401, 403
    │   │   ├── SourceExhaustedError       out of credits: waiting does not help
    │   │   ├── BuildNotFoundError         404
    │   │   └── EmptyReportError           nothing to put into the report
    │   ├── SourceProtocolError        an answer that cannot be understood
    │   └── RequestUncertainError      a build was asked for and the answer was lost
    └── ArtifactError                  the copy
        ├── ArtifactExpiredError       the provider keeps handing out a dead link
        ├── ArtifactIncompleteError    fewer or more bytes than promised
        ├── ArtifactRefusedError       host, address, size or type is not allowed
        ├── ArtifactChangedError       the source object changed while it was read, twice
        ├── ArtifactConflictError      another object lies under the report's key
        ├── ArtifactUnavailableError   the object store does not answer; worth another try
        └── CopyUnfinishedError        this invocation's time is up; the next one goes on

The class names are the state machine's ``ErrorEquals``; it matches names exactly and knows no
inheritance, so a new leaf here means a new line there (``tests/template`` proves it).
"""

from collections.abc import Sequence

# Error texts travel through Step Functions (256 KiB a payload) and into notices (256 KB); providers' words are cut.
MESSAGE_LIMIT_CHARACTERS = 2_000


class CourierError(Exception):
    """Base of all errors that the courier raises on purpose."""

    def __init__(self, message: str) -> None:
        super().__init__(message[:MESSAGE_LIMIT_CHARACTERS])


class SettingsError(CourierError):
    """The configuration or an event is wrong; the text names the place to mend."""


class LedgerError(CourierError):
    """The ledger holds a row that this version cannot read."""


class SourceError(CourierError):
    """A provider's API did not give what it was asked for."""


class SourceUnavailableError(SourceError):
    """The provider does not respond, or responds with a 5xx; a later retry may succeed.

    Parameters
    ----------
    retry_after_seconds
        The wait that the provider's Retry-After asks for; None where it sends none.
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class SourceThrottledError(SourceUnavailableError):
    """The provider returns 429, or asks for a pause in another way.

    Parameters
    ----------
    own_limit
        Whether ``requests_per_minute`` stopped the request, so that the provider has not seen it.
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None = None, own_limit: bool = False) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)
        self.own_limit = own_limit


class SourceRejectedError(SourceError):
    """The provider refuses this request and would refuse it again."""


class SourceUnauthorizedError(SourceRejectedError):
    """The API key is missing, wrong, or lacks a permission (401, 403).

    Parameters
    ----------
    forbidden
        Whether the provider knows the key, and denies this request (403).
    """

    def __init__(self, message: str, *, forbidden: bool = False) -> None:
        super().__init__(message)
        self.forbidden = forbidden


class SourceExhaustedError(SourceRejectedError):
    """The account is out of credits; waiting does not help."""


class BuildNotFoundError(SourceRejectedError):
    """The provider does not know the build (404)."""


class EmptyReportError(SourceRejectedError):
    """The report would have empty sections, so the provider does not start it.

    Parameters
    ----------
    sections
        Keys or titles of the empty sections, as the provider names them.
    """

    def __init__(self, message: str, *, sections: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.sections = tuple(sections)


class SourceProtocolError(SourceError):
    """The provider's answer is not what its documentation promises."""


class RequestUncertainError(SourceError):
    """A build was asked for and the answer was lost, so it may or may not have been started."""


class ArtifactError(CourierError):
    """The finished report could not be brought home."""


class ArtifactExpiredError(ArtifactError):
    """The provider keeps handing out a link that the object store refuses."""


class ArtifactIncompleteError(ArtifactError):
    """Fewer or more bytes arrived than were promised."""


class ArtifactRefusedError(ArtifactError):
    """The link's host, address, size or content is not one that the source allows."""


class ArtifactChangedError(ArtifactError):
    """The source object changed while it was read, and again on the second try."""


class ArtifactConflictError(ArtifactError):
    """A different object already lies under the report's key; nothing was overwritten."""


class ArtifactUnavailableError(ArtifactError):
    """The object store does not answer, or answers 5xx; another try later may succeed."""


class CopyUnfinishedError(ArtifactError):
    """The time of one invocation is up; calling again goes on from the checkpoint."""
