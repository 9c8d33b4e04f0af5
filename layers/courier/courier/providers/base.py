"""The contract that every provider keeps.

The public methods live in the base and answer in our types; a provider's file writes the methods
that speak its API and folds its vendor's words into ours. Nothing outside that file knows them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

from courier.errors import SettingsError
from courier.models import BuildStatus
from courier.observability.provider_events import ProviderCallbacks, UnexpectedKind, UnexpectedValue
from courier.observability.redaction import redact

if TYPE_CHECKING:
    # The settings models are read in functions that open no provider, so requests must not come along.
    from courier.config.secrets import ApiKey
    from courier.config.settings import SourceSettings
    from courier.links import ArtifactLink
    from courier.models import AccountLimits, Build, BuildRef, BuildRequest
    from courier.providers.http_client import ApiClient

# An endless stream of ever new words must not grow a warm function's memory.
_REPORTED_LIMIT = 100
# The documented words have at most eleven.
_STATUS_WORD_CHARACTERS = 40


def path_segment(text: str) -> str:
    """Quote an identifier for a URL's path.

    Raises
    ------
    SettingsError
        It would climb: HTTP libraries resolve ``.`` and ``..`` even when they are quoted.
    """
    if text in {"", ".", ".."}:
        raise SettingsError(f"{text!r} cannot be part of an API path")
    return quote(text, safe="")


class Provider(ABC):
    """One configured account at a kind of API.

    Every method that asks may raise `SourceUnavailableError`, `SourceThrottledError`, `SourceUnauthorizedError`,
    `SourceExhaustedError`, `SourceRejectedError`, `SourceProtocolError`, and `SettingsError` where the secret or
    ``ca_bundle`` is wrong; what else is said beside it.
    """

    name: ClassVar[str]
    settings_model: ClassVar[type[SourceSettings]]
    can_list: ClassVar[bool] = False
    """Whether builds that we did not start can be found, and all builds of a scope be asked for in one call."""
    can_cancel: ClassVar[bool] = False
    leaves_reports: ClassVar[bool] = False
    """Whether a build can leave a report to fetch; stays as it is, for executions wait by it for up to a year."""
    statuses: ClassVar[Mapping[str, BuildStatus]]
    """What the provider's words for a build's status mean, in lower case."""

    def __init__(self, settings: SourceSettings, api: ApiClient, callbacks: ProviderCallbacks | None = None) -> None:
        self.settings = settings
        self.api = api
        self._callbacks = callbacks or ProviderCallbacks()
        self._reported: set[UnexpectedValue] = set()

    @classmethod
    def base_url(cls, settings: SourceSettings) -> str:
        """Give the URL in front of every path, without a slash at its end."""
        return settings.endpoint.rstrip("/")

    @classmethod
    @abstractmethod
    def authorization(cls, settings: SourceSettings, key: ApiKey) -> Mapping[str, str]:
        """Give the headers that carry the API key.

        Raises
        ------
        SettingsError
            The secret holds a prefix and no key.
        """

    @abstractmethod
    def scopes(self) -> Sequence[str]:
        """Give the scopes to look for builds in; may cost one request."""

    @abstractmethod
    def get_build(self, ref: BuildRef) -> Build:
        """Look at one build.

        Raises
        ------
        BuildNotFoundError
            The provider does not know it.
        """

    def list_builds(self, scope: str) -> Sequence[Build]:
        """Look at all builds of a scope, in no particular order; an entry that makes no sense is left out.

        Raises
        ------
        BuildNotFoundError
            The provider does not know the scope.
        """
        raise SettingsError(f"{self.name} cannot list the builds of {scope}")

    @abstractmethod
    def request_scope(self, request: BuildRequest) -> str:
        """Check a request without asking anybody, and give the scope that its build will belong to.

        Raises
        ------
        SettingsError
            The request is not one that this provider understands; the text names the field.
        """

    @abstractmethod
    def start_build(self, request: BuildRequest) -> Build:
        """Ask the provider to start a build.

        Raises
        ------
        EmptyReportError
            There is nothing to put into the report, so no build exists.
        RequestUncertainError
            The answer was lost; the build may or may not exist.
        """

    def locate_artifact(self, ref: BuildRef) -> ArtifactLink:
        """Ask for a fresh link to the finished report.

        Raises
        ------
        BuildNotFoundError
            The provider does not know the build any more.
        SourceProtocolError
            The build has no artifact, or not yet.
        """
        raise SettingsError(f"{self.name} builds have no artifact, so {ref} has none")

    def account_limits(self) -> AccountLimits | None:
        """Ask for what the account may use; None where the provider or the settings do not tell."""
        return None

    def failure_advice(self, limits: AccountLimits | None) -> str | None:  # noqa: ARG002 - a provider without advice needs no limits
        """Say what the provider's documentation suggests after a failed build."""
        return None

    def query_advice(self) -> str | None:
        """Say what the provider's documentation suggests when queries on a finished build fail."""
        return None

    def cancel_build(self, ref: BuildRef) -> None:
        """Ask the provider to stop a build."""
        raise SettingsError(f"{self.name} cannot cancel {ref}; remove cancel_on_timeout from the source")

    @abstractmethod
    def check(self) -> str:
        """Make one harmless request and say in a sentence what was seen, for the operator who just configured this."""

    def map_status(self, word: str) -> BuildStatus:
        """Put the provider's word into ours; a new word waits, and is told to who listens."""
        status = self.statuses.get(word.strip().lower(), BuildStatus.UNKNOWN)
        if status is BuildStatus.UNKNOWN:
            self.report_unexpected(UnexpectedKind.UNKNOWN_STATUS, redact(word, limit=_STATUS_WORD_CHARACTERS))
        return status

    def report_unexpected(self, kind: UnexpectedKind, detail: str) -> None:
        """Tell who listens what the provider's documentation does not know, once for each."""
        value = UnexpectedValue(source=self.settings.name, kind=kind, detail=detail)
        if value not in self._reported and len(self._reported) < _REPORTED_LIMIT:
            self._reported.add(value)
            self._callbacks.on_unexpected_value(value)
