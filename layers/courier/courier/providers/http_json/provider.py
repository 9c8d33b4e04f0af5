"""The provider ``http_json``: the contract of every provider, fulfilled by what a definition describes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from courier.config.secrets import Secret
from courier.errors import (
    BuildNotFoundError,
    SettingsError,
    SourceExhaustedError,
    SourceProtocolError,
    SourceRejectedError,
    SourceUnauthorizedError,
)
from courier.models import AccountLimits, Build, BuildRef, BuildRequest, Outcome, Scope
from courier.observability.provider_events import ProviderCallbacks, UnexpectedKind
from courier.observability.redaction import redact
from courier.providers.base import Provider
from courier.providers.http_json.auth import Authorizer, check_secret, static_credentials
from courier.providers.http_json.build_reader import STATUSES, BuildReader
from courier.providers.http_json.caller import Caller, Reply
from courier.providers.http_json.checks import missing_input, scope_parts, templates
from courier.providers.http_json.dates import fill_dates
from courier.providers.http_json.expressions import scalar_text
from courier.providers.http_json.files import Files
from courier.providers.http_json.list_reader import ListReader
from courier.providers.http_json.placeholders import fill_text, placeholders
from courier.providers.http_json.reader import Reader
from courier.providers.http_json.settings import HttpJsonSettings, scope_values
from courier.providers.http_json.starter import Starter
from courier.providers.parsing import parse_number

if TYPE_CHECKING:
    from pydantic import JsonValue

    from courier.config.secrets import ApiKey
    from courier.config.settings import SourceSettings
    from courier.links import ArtifactLink
    from courier.providers import ReadSecret
    from courier.providers.api_call import Authorize
    from courier.providers.base import Connect
    from courier.providers.http_client import ApiClient
    from courier.providers.http_json.fields import State

# An id that cannot exist: requesting it costs nothing and still proves address, key and permissions.
_NONEXISTENT = "00000000-0000-0000-0000-000000000000"
_COUNT_LIMIT_CHARACTERS = 40
_SCOPE: TypeAdapter[str] = TypeAdapter(Scope)


class HttpJson(Provider):
    """Client of one account at an API that a definition describes."""

    name = "http_json"
    settings_model = HttpJsonSettings
    settings: HttpJsonSettings

    def __init__(self, settings: HttpJsonSettings, api: ApiClient, callbacks: ProviderCallbacks | None = None) -> None:
        super().__init__(settings, api, callbacks)
        definition = settings.api
        self.can_list = definition.list is not None
        self.can_cancel = definition.cancel is not None
        self.leaves_reports = definition.link is not None
        self.repeats_starts = definition.start is not None and definition.start.once is not None
        link = definition.link
        if link is not None and (link.file is not None or link.auth not in {None, False}):
            self.download_origins = settings.download_origins
        self.builds_are_alike = not any(
            found.name == "input" for _, text, _ in templates(definition) for found in placeholders(text)
        )
        self.statuses = {word: STATUSES[state] for word, state in definition.words.states()}
        self._definition = definition
        self._reader = Reader(self.report_unexpected, api.hidden)
        self._caller = Caller(definition, api, self._reader, dict(settings.values))
        self._files = Files(settings, api, self._caller, self._reader, self.report_unexpected)
        self._lists = ListReader(settings, api, self._caller, self._reader)
        self._builds = BuildReader(
            definition,
            self._reader,
            self._files,
            report=self.report_unexpected,
            hidden=api.hidden,
            time_of=self.time_of,
        )
        self._starter = Starter(definition, api, self._caller, self._reader, self._builds)

    @classmethod
    def authorization(cls, settings: SourceSettings, key: ApiKey) -> Mapping[str, str]:
        """Return the headers that carry a secret that is one key."""
        return static_credentials(_own(settings), Secret(settings.secret, key.reveal())).headers

    @classmethod
    def authorize(cls, settings: SourceSettings, read_secret: ReadSecret, connect: Connect) -> Authorize:
        """Return what authorizes the requests, by a key or by an access token."""
        return Authorizer(_own(settings), read_secret, connect)

    @classmethod
    def check_secret(cls, settings: SourceSettings, secret: Secret) -> None:
        """Check that the secret holds every part that the definition uses."""
        check_secret(_own(settings), secret)

    @classmethod
    def lists(cls, settings: SourceSettings) -> bool:
        """Return whether the definition says how to list builds."""
        return _own(settings).api.list is not None

    def report_unexpected(self, kind: UnexpectedKind, detail: str) -> None:
        """Report an unexpected value, as every provider does, without what an API repeats of our credentials."""
        super().report_unexpected(kind, redact(detail, secrets=self.api.hidden()))

    def scopes(self) -> Sequence[str]:
        """Return the configured scopes, or those that the definition's call finds."""
        configured = self.settings.configured_scopes
        if configured is not None:
            return configured
        call = self._definition.scopes
        if call is None:
            raise SettingsError(f"scopes: the definition of {self.settings.name} does not say how to find them")
        found = self._lists.read("scopes", call, {}, kind="list_scopes")
        self._report_unread(found.unread)
        parts = len(scope_parts(self._definition)) or 1
        scopes: dict[str, None] = {}
        for entry in found.entries:
            try:
                scope = _SCOPE.validate_python(scalar_text(entry), strict=True)
            except ValidationError:
                scope = ""
            if not scope or self._reader.shows_secret(scope) or (parts > 1 and scope.count("/") + 1 != parts):
                self.report_unexpected(UnexpectedKind.MALFORMED_ENTRY, "a scope without a usable name")
            else:
                scopes[scope] = None
        return list(scopes)

    def get_build(self, ref: BuildRef) -> Build:
        """Return one build."""
        return self._status(ref)[2]

    def list_builds(self, scope: str) -> Sequence[Build]:
        """Return the builds of a scope.

        A build that seems to have left no file is left out: entries of lists are often shorter than the response to a
        request for one build, which decides.
        """
        call = self._definition.list
        if call is None:
            return super().list_builds(scope)
        values = scope_values(self._definition, scope)
        found = self._lists.read("list", call, values, kind="list_builds", addresses_build=True)
        self._report_unread(found.unread)
        builds = []
        for entry in found.entries:
            reply = Reply(document=entry, body=entry, headers={})
            build_id = self._builds.build_id(self._definition.build.id, reply, "build")
            state, shown, says_something = self._builds.state(reply)
            if build_id is None or not says_something:
                self.report_unexpected(UnexpectedKind.MALFORMED_ENTRY, "a build without a usable id and status")
                continue
            build = self._builds.build(self._ref(scope, build_id), reply, state, shown)
            if build.ended_as is not Outcome.EMPTY or state == "empty":
                builds.append(build)
        return builds

    def request_scope(self, request: BuildRequest) -> str:
        """Check the request, and return its scope."""
        name, scopes = self.settings.name, self.settings.configured_scopes
        for field in ("data_model", "report"):
            if getattr(request, field) is not None:
                raise SettingsError(f"{field}: source {name} is described by a definition; use input")
        if request.input is not None:
            if self._definition.start is None:
                raise SettingsError(f"input: the definition of {name} has no start, so it can only be polled")
            problem = next(missing_input(self._definition, request.input), None)
            if problem is not None:
                raise SettingsError(problem)
        if request.scope is None:
            if scopes is not None and len(scopes) == 1:
                return scopes[0]
            raise SettingsError(f"scope: source {name} has several scopes; name that of the build")
        if scopes is not None and request.scope not in scopes:
            raise SettingsError(f"scope: source {name} has only {', '.join(scopes)}")
        return request.scope

    def start_build(self, request: BuildRequest, *, once: str = "") -> Build:
        """Start a build, after the dry run and before the second step that the definition may have."""
        scope, start = self.request_scope(request), self._definition.start
        if request.input is None or start is None:
            raise SettingsError("input: field required to start a build")
        dated = fill_dates(request.input, self.api.now())
        values: dict[str, JsonValue] = {**scope_values(self._definition, scope), "input": dated}
        build_id, reply = self._starter.start(start, values, once=once)
        state, shown, says_something = self._builds.state(reply)
        # The build exists whatever the other fields hold, and its id is enough to poll it.
        return self._builds.build(self._ref(scope, build_id), reply, state if says_something else "queued", shown)

    def locate_artifact(self, ref: BuildRef) -> ArtifactLink:
        """Request the status again, because an old link has expired; then the link, where that is a call of its own."""
        link = self._definition.link
        if link is None:
            return super().locate_artifact(ref)
        reply, state, build = self._status(ref)
        if state == "gone":
            raise BuildNotFoundError(f"{self.settings.name}: the provider reports that {ref.build_id} is gone")
        if not build.has_artifact:
            raise SourceProtocolError(
                f"{self.settings.name}: get_build returned no link to the file; the build is {build.status}"
            )
        values = {**self._build_values(ref), **self._builds.kept(reply)}
        where = "get_build"
        if link.call is not None:
            where = "get_link"
            reply = self._caller.send("link", link.call, values, kind=where, addresses_build=True)
            if reply.state == "gone":
                raise BuildNotFoundError(f"{self.settings.name}: the provider reports that {ref.build_id} is gone")
        return self._files.locate(reply, values, where=where)

    def account_limits(self) -> AccountLimits | None:
        """Return the limits where the definition says where they stand."""
        call = self._definition.limits
        if call is None:
            return None
        reply = self._caller.send("limits", call, {}, kind="account_limits")
        found = [
            None if text is None else parse_number(self._reader.search(text, reply.body, "limits"))
            for text in (call.build_gb, call.query_gb)
        ]
        limits = AccountLimits(build_size_gb=found[0], query_size_gb=found[1])
        return None if limits == AccountLimits() else limits

    def failure_advice(self, limits: AccountLimits | None) -> str | None:
        """Return the definition's advice for a failed build, with the account's limits."""
        return self._advice(self._definition.advice.failed, limits)

    def query_advice(self) -> str | None:
        """Return the definition's advice for queries on a finished build."""
        return self._advice(self._definition.advice.query, None)

    def cancel_build(self, ref: BuildRef) -> None:
        """Cancel a build."""
        call = self._definition.cancel
        if call is None:
            super().cancel_build(ref)
            return
        self._caller.send(
            "cancel", call, self._build_values(ref), kind="cancel_build", addresses_build=True, may_be_anything=True
        )

    def check(self) -> str:
        """Make the definition's harmless call; without one, list the scopes or request a build that cannot exist."""
        name, call = self.settings.name, self._definition.check
        if call is not None:
            reply = self._caller.send("check", call, {}, kind="check")
            count = None if call.count is None else self._reader.search(call.count, reply.body, "check.count")
            text = scalar_text(count)
            seen = "" if text is None else f" and can see {redact(text, limit=_COUNT_LIMIT_CHARACTERS)}"
            return f"{name}: the API key works{seen}"
        scopes = self.scopes()
        if self.settings.configured_scopes is None:
            return f"{name}: the API key works and can see {len(scopes)} scopes"
        try:
            self._status(self._ref(scopes[0], _NONEXISTENT))
        except BuildNotFoundError:
            return f"{name}: the API key works; it was asked for a build that cannot exist"
        except SourceRejectedError as exc:
            if isinstance(exc, SourceUnauthorizedError | SourceExhaustedError) or exc.wrong_endpoint:
                raise
            return f"{name}: the API accepts the key, and refuses the id of a build that cannot exist"
        except SourceProtocolError:
            return f"{name}: the API accepts the key; its response about a build that cannot exist says nothing"
        return f"{name}: the API key works"

    def _status(self, ref: BuildRef) -> tuple[Reply, State | None, Build]:
        """Request the status of one build."""
        name = self.settings.name
        reply = self._caller.send(
            "status", self._definition.status, self._build_values(ref), kind="get_build", addresses_build=True
        )
        state, shown, says_something = self._builds.state(reply)
        if not says_something:
            raise SourceProtocolError(f"{name}: get_build returned no status")
        named = self._builds.named_id(reply)
        if named is not None and named.lower() != ref.build_id.lower():
            raise SourceProtocolError(f"{name}: get_build returned another build")
        return reply, state, self._builds.build(ref, reply, state, shown)

    def _ref(self, scope: str, build_id: str) -> BuildRef:
        return BuildRef(source=self.settings.name, scope=scope, build_id=build_id)

    def _build_values(self, ref: BuildRef) -> dict[str, JsonValue]:
        return {**scope_values(self._definition, ref.scope), "id": ref.build_id}

    def _report_unread(self, unread: str | None) -> None:
        if unread is not None:
            self.report_unexpected(UnexpectedKind.UNREAD_PAGE, unread)

    def _advice(self, text: str | None, limits: AccountLimits | None) -> str | None:
        if text is None:
            return None
        found = {
            "build_gb": limits.build_size_gb if limits else None,
            "query_gb": limits.query_size_gb if limits else None,
        }
        shown = {name: "?" if value is None else f"{value:g}" for name, value in found.items()}
        return " ".join((fill_text(text, {**self.settings.values, **shown}) or "").split())


def _own(settings: SourceSettings) -> HttpJsonSettings:
    if not isinstance(settings, HttpJsonSettings):
        raise SettingsError(f"{settings.name}: is no source of http_json")
    return settings
