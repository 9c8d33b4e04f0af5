"""All errors that the courier raises on purpose.

::

    CourierError
    ├── SettingsError                  configuration or event is wrong; names the place
    ├── LedgerError                    the ledger holds a row that this version cannot read
    ├── SourceError                    a provider's API
    │   ├── SourceUnavailableError     no response, or 5xx; a retry may succeed
    │   │   └── SourceThrottledError   429, possibly with a time to wait
    │   ├── SourceRejectedError        4xx: the same request will be refused again
    │   │   ├── SourceUnauthorizedError    401, 403
    │   │   ├── SourceExhaustedError       out of credits: waiting does not help
    │   │   ├── BuildNotFoundError         404
    │   │   └── EmptyReportError           nothing to put into the report
    │   ├── SourceProtocolError        an unusable response
    │   └── RequestUncertainError      a build may have started; the response was lost
    └── ArtifactError                  the copy
        ├── ArtifactExpiredError       the provider keeps returning an expired link
        ├── ArtifactIncompleteError    fewer or more bytes than declared
        ├── ArtifactRefusedError       host, address, size or type is not allowed
        ├── ArtifactChangedError       the artifact changed while it was read, twice
        ├── ArtifactConflictError      another object already has the report's key
        ├── ArtifactUnavailableError   the object store does not respond; a retry may succeed
        └── CopyUnfinishedError        this invocation's time is up; the next one continues

The class names are the state machine's ``ErrorEquals``, which matches exact names without inheritance, so a new leaf
here needs a new line there (``tests/template`` checks it).
"""

from collections.abc import Sequence

# Step Functions limits payloads to 256 KiB, SNS messages to 256 KB; messages with a provider's text are cut.
MESSAGE_LIMIT_CHARACTERS = 2_000


class CourierError(Exception):
    """Base of all errors that the courier raises on purpose."""

    def __init__(self, message: str) -> None:
        super().__init__(message[:MESSAGE_LIMIT_CHARACTERS])


class SettingsError(CourierError):
    """The configuration or an event is wrong; the message names the place to fix."""


class LedgerError(CourierError):
    """The ledger holds a row that this version cannot read."""


class SourceError(CourierError):
    """A request to a provider's API failed."""


class SourceUnavailableError(SourceError):
    """The provider does not respond, or returns 5xx; a later attempt may succeed.

    Parameters
    ----------
    retry_after_seconds
        The wait that the provider's Retry-After requests; None where it sends none.
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
    """The provider rejects this request and would reject it again.

    Parameters
    ----------
    wrong_endpoint
        Whether the response says that the API is not, or no longer, there: a redirect, 405, 410, 426.
    """

    def __init__(self, message: str, *, wrong_endpoint: bool = False) -> None:
        super().__init__(message)
        self.wrong_endpoint = wrong_endpoint


class SourceUnauthorizedError(SourceRejectedError):
    """The API key is missing, wrong, or lacks a permission (401, 403).

    Parameters
    ----------
    forbidden
        Whether the provider knows the key and denies this request (403).
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
    """The provider's response is not what its documentation describes."""


class RequestUncertainError(SourceError):
    """The response to the start of a build was lost, so the build may or may not exist."""


class ArtifactError(CourierError):
    """The finished report could not be copied."""


class ArtifactExpiredError(ArtifactError):
    """The provider keeps returning a link that the object store refuses."""


class ArtifactIncompleteError(ArtifactError):
    """Fewer or more bytes arrived than were declared."""


class ArtifactRefusedError(ArtifactError):
    """The link's host, address, size or content is not allowed by the source's settings."""


class ArtifactChangedError(ArtifactError):
    """The artifact changed while it was read, and again on the second attempt."""


class ArtifactConflictError(ArtifactError):
    """A different object already has the report's key; nothing was overwritten."""


class ArtifactUnavailableError(ArtifactError):
    """The object store does not respond, or returns 5xx; a later attempt may succeed."""


class CopyUnfinishedError(ArtifactError):
    """The time of one invocation is up; the next one continues from the checkpoint."""
