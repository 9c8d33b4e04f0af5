"""The contract of every provider.

A provider's module implements these methods for one API and maps the vendor's terms to our types; nothing outside
that module knows them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

from courier.errors import SettingsError
from courier.models import BuildStatus
from courier.observability.provider_events import ProviderCallbacks, UnexpectedKind, UnexpectedValue
from courier.observability.redaction import redact

if TYPE_CHECKING:
    # The settings models are read in functions that open no provider, so requests must not come along.
    from courier.config.secrets import ApiKey, Secret
    from courier.config.settings import SourceSettings
    from courier.links import ArtifactLink
    from courier.models import AccountLimits, Build, BuildRef, BuildRequest
    from courier.providers import ReadSecret
    from courier.providers.api_call import Authorize
    from courier.providers.http_client import ApiClient
    from courier.providers.times import ReadTime

    Connect = Callable[[str, Authorize], ApiClient]

# An endless stream of new values must not fill a warm function's memory.
_REPORTED_LIMIT = 100
# The documented statuses have at most eleven.
_STATUS_LIMIT_CHARACTERS = 40
# Half an hour is more than clocks differ by, and less than any time zone: a local time without its zone is found.
_CLOCK_TOLERANCE = timedelta(minutes=30)


def path_segment(text: str) -> str:
    """Quote an identifier for a URL's path.

    Raises
    ------
    SettingsError
        It is ``.`` or ``..``, which HTTP libraries resolve even when quoted, or empty.
    """
    if text in {"", ".", ".."}:
        raise SettingsError(f"{text!r} cannot be part of an API path")
    return quote(text, safe="")


class Provider(ABC):
    """Client of one configured account.

    Every method that sends a request may raise `SourceUnavailableError`, `SourceThrottledError`,
    `SourceUnauthorizedError`, `SourceExhaustedError`, `SourceRejectedError`, `SourceProtocolError`, and
    `SettingsError` where the secret or ``ca_bundle`` is wrong. Further errors are documented with the method.
    """

    name: ClassVar[str]
    settings_model: ClassVar[type[SourceSettings]]
    # Not class variables: what a definition describes differs from source to source.
    can_list: bool = False
    """Whether one request returns all builds of a scope, also those that the courier did not start."""
    can_cancel: bool = False
    leaves_reports: bool = False
    """Whether a build can leave a report to download. Never change it: executions wait by it for up to a year."""
    statuses: Mapping[str, BuildStatus]
    """Maps the provider's build statuses, in lower case."""
    builds_are_alike: bool = True
    """Whether a running build of a scope serves any request for that scope, so that no second one is started."""
    download_origins: tuple[str, ...] = ()
    """Origins of the API that serve artifacts themselves, with our credentials, besides ``artifact.hosts``."""
    repeats_starts: bool = False
    """Whether a start may be repeated with the same ``once``, because the provider starts no second build for it."""

    def __init__(self, settings: SourceSettings, api: ApiClient, callbacks: ProviderCallbacks | None = None) -> None:
        self.settings = settings
        self.api = api
        self._callbacks = callbacks or ProviderCallbacks()
        self._reported: set[UnexpectedValue] = set()
        # The clock is read only for a time that may be ahead of it.
        self._past_until = datetime.min.replace(tzinfo=UTC)

    @classmethod
    def base_url(cls, settings: SourceSettings) -> str:
        """Return the URL in front of every path, without a slash at its end."""
        return settings.endpoint.rstrip("/")

    @classmethod
    @abstractmethod
    def authorization(cls, settings: SourceSettings, key: ApiKey) -> Mapping[str, str]:
        """Return the headers that carry the API key.

        Raises
        ------
        SettingsError
            The secret holds a prefix and no key.
        """

    @classmethod
    def authorize(cls, settings: SourceSettings, read_secret: ReadSecret, connect: Connect) -> Authorize:  # noqa: ARG003 - for access tokens
        """Return what authorizes the requests of a source.

        Parameters
        ----------
        read_secret
            See `courier.providers.ReadSecret`.
        connect
            Creates another client with the limits and callbacks of the source, for an endpoint that issues access
            tokens.
        """
        from courier.providers.api_call import Credentials  # noqa: PLC0415 - as above

        return lambda fresh: Credentials(headers=cls.authorization(settings, read_secret(settings.secret, fresh).key()))

    @classmethod
    def lists(cls, settings: SourceSettings) -> bool:  # noqa: ARG003 - a definition decides by them
        """Return whether the builds of a source can be listed, without opening it."""
        return cls.can_list

    @classmethod
    def check_secret(cls, settings: SourceSettings, secret: Secret) -> None:
        """Check that a secret holds what the source needs, without a request.

        Raises
        ------
        SettingsError
            It does not; the message shows nothing of it.
        """
        cls.authorization(settings, secret.key())

    @abstractmethod
    def scopes(self) -> Sequence[str]:
        """Return the scopes that hold the source's builds; may cost one request."""

    @abstractmethod
    def get_build(self, ref: BuildRef) -> Build:
        """Return one build.

        Raises
        ------
        BuildNotFoundError
            The provider does not know it.
        """

    def list_builds(self, scope: str) -> Sequence[Build]:
        """Return all builds of a scope, in no particular order, without malformed entries.

        Raises
        ------
        BuildNotFoundError
            The provider does not know the scope.
        """
        raise SettingsError(f"{self.name} cannot list the builds of {scope}")

    @abstractmethod
    def request_scope(self, request: BuildRequest) -> str:
        """Check a request without sending anything, and return the scope that its build will belong to.

        Raises
        ------
        SettingsError
            The request does not fit this provider; the message names the field.
        """

    @abstractmethod
    def start_build(self, request: BuildRequest, *, once: str = "") -> Build:
        """Start a build.

        Parameters
        ----------
        once
            The same at each repetition of one request, where `repeats_starts` holds.

        Raises
        ------
        EmptyReportError
            The report would be empty, so no build exists.
        RequestUncertainError
            The response was lost; the build may or may not exist.
        """

    def locate_artifact(self, ref: BuildRef) -> ArtifactLink:
        """Request a fresh download link of the finished report.

        Raises
        ------
        BuildNotFoundError
            The provider no longer knows the build.
        SourceProtocolError
            The build has no artifact, or not yet.
        """
        raise SettingsError(f"{self.name} builds have no artifact, so {ref} has none")

    def account_limits(self) -> AccountLimits | None:
        """Return the limits of the account; None where the API or the settings do not provide them."""
        return None

    def failure_advice(self, limits: AccountLimits | None) -> str | None:  # noqa: ARG002 - a provider without advice needs no limits
        """Return what the provider's documentation suggests after a failed build."""
        return None

    def query_advice(self) -> str | None:
        """Return what the provider's documentation suggests when queries on a finished build fail."""
        return None

    def cancel_build(self, ref: BuildRef) -> None:
        """Cancel a build."""
        raise SettingsError(f"{self.name} cannot cancel {ref}; remove cancel_on_timeout from the source")

    @abstractmethod
    def check(self) -> str:
        """Make one harmless request, and return a sentence about its result for the operator."""

    def map_status(self, status: str) -> tuple[BuildStatus, str | None]:
        """Map the provider's status.

        An unknown one is reported and becomes UNKNOWN, so that the build waits on; then it is returned as well,
        redacted.
        """
        mapped = self.statuses.get(status.strip().lower(), BuildStatus.UNKNOWN)
        if mapped is not BuildStatus.UNKNOWN:
            return mapped, None
        shown = redact(status, limit=_STATUS_LIMIT_CHARACTERS)
        self.report_unexpected(UnexpectedKind.UNKNOWN_STATUS, shown)
        return mapped, shown

    def time_of(self, name: str, read: ReadTime) -> datetime | None:
        """Return a past time of a response, and report what is unexpected about it: its form, or that it is ahead."""
        if read.unexpected is not None:
            self.report_unexpected(read.unexpected, f"{name}: {read.form}")
        if read.at is not None and read.at > self._past_until:
            self._past_until = self.api.now() + _CLOCK_TOLERANCE
            if read.at > self._past_until:
                self.report_unexpected(UnexpectedKind.FUTURE_TIME, f"{name} is in the future")
        return read.at

    def report_unexpected(self, kind: UnexpectedKind, detail: str) -> None:
        """Report a value that the provider's documentation does not list, once for each different one."""
        value = UnexpectedValue(source=self.settings.name, kind=kind, detail=detail)
        if value not in self._reported and len(self._reported) < _REPORTED_LIMIT:
            self._reported.add(value)
            self._callbacks.on_unexpected_value(value)
