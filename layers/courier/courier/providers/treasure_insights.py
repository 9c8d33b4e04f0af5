"""Client of Treasure Data's Treasure Insights: builds of data models, which leave no file to download.

docs/source-apis.md, API 1, holds what is known of the API; numbers in parentheses are its sections.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, JsonValue, TypeAdapter, ValidationError, field_validator

from courier.config.settings import SourceSettings
from courier.errors import RequestUncertainError, SettingsError, SourceProtocolError
from courier.models import AccountLimits, Build, BuildRef, BuildRequest, BuildStatus, StrictModel, canonical_id
from courier.observability.provider_events import ProviderCallbacks, UnexpectedKind
from courier.providers.base import Provider, path_segment
from courier.providers.error_mapping import NOT_FOUND_STATUSES, gateway_error
from courier.providers.paging import read_list
from courier.providers.parsing import LenientModel, PathIdentifier, ResponseIdentifier, parse_number
from courier.providers.times import NO_TIME, LenientTime

if TYPE_CHECKING:
    from courier.config.secrets import ApiKey
    from courier.errors import SourceError
    from courier.providers.error_mapping import ErrorResponse, MapError
    from courier.providers.http_client import ApiClient

_PREFIX = re.compile(r"^TD1(?:\s+|$)", re.IGNORECASE)


class TreasureRequest(StrictModel):
    """A build to start each time the request schedule fires."""

    data_model: PathIdentifier


_PATH_IDENTIFIER: TypeAdapter[str] = TypeAdapter(PathIdentifier)


def _is_path_identifier(value: object) -> bool:
    try:
        _PATH_IDENTIFIER.validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def _text_of_number(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class TreasureInsightsSettings(SourceSettings):
    """A Treasure Insights account.

    ``data_models``
        The data models whose builds are polled: ``all`` that the key can see, or a list of oids.
    ``account_id``
        Lets notices of failed builds carry the account's limits.
    ``build_type``
        The vendor uses ``full``; the other two are known from an unofficial client only.
    ``requests``
        Builds to start each time the request schedule fires.
    """

    provider: Literal["treasure_insights"]
    data_models: Literal["all"] | tuple[PathIdentifier, ...] = "all"
    account_id: Annotated[PathIdentifier | None, BeforeValidator(_text_of_number)] = None
    build_type: Literal["full", "schema_changes", "by_table"] = "full"
    requests: tuple[TreasureRequest, ...] = ()

    @field_validator("data_models", mode="before")
    @classmethod
    def _data_models_are_all_or_some(cls, value: object) -> object:
        # Checked here for one clear message: pydantic would list what is wrong with both alternatives.
        if value == "all":
            return value
        if not isinstance(value, list | tuple) or not value:
            raise ValueError('use "all" or a list of data model oids')
        for position, oid in enumerate(value):
            if not _is_path_identifier(oid):
                raise ValueError(f"entry {position} is not a data model oid")
        spellings: dict[str, str] = {}
        for oid in value:
            spellings.setdefault(canonical_id(oid), oid)
        return tuple(spellings.values())

    def build_requests(self) -> tuple[BuildRequest, ...]:
        """Return the builds to start each time the request schedule fires."""
        return tuple(BuildRequest(source=self.name, data_model=request.data_model) for request in self.requests)


class _BuildResponse(LenientModel):
    oid: ResponseIdentifier
    status: str
    created: LenientTime = NO_TIME
    started: LenientTime = NO_TIME
    completed: LenientTime = NO_TIME


class _StartResponse(LenientModel):
    oid: ResponseIdentifier
    # The build exists whatever the other fields hold, and its oid is enough to poll it.
    status: Annotated[str, BeforeValidator(lambda value: value if isinstance(value, str) else "pending")] = "pending"
    created: LenientTime = NO_TIME


class _ModelResponse(LenientModel):
    oid: ResponseIdentifier


class TreasureInsights(Provider):
    """Client of one Treasure Insights account; a scope is a data model's oid.

    The caller resolves an uncertain request (`RequestUncertainError`): it calls ``list_builds`` for the data model
    and searches for a build whose ``created_at`` is not before the request. The API has no better way.
    """

    name = "treasure_insights"
    settings_model = TreasureInsightsSettings
    can_list = True
    can_cancel = True
    # The five documented statuses, the other spelling in the documentation's prose (1.5), and pending's synonym.
    statuses = {  # noqa: RUF012 - never changed
        "pending": BuildStatus.QUEUED,
        "queued": BuildStatus.QUEUED,
        "building": BuildStatus.RUNNING,
        "done": BuildStatus.SUCCEEDED,
        "failed": BuildStatus.FAILED,
        "canceled": BuildStatus.CANCELED,
        "cancelled": BuildStatus.CANCELED,
    }
    settings: TreasureInsightsSettings

    def __init__(
        self, settings: TreasureInsightsSettings, api: ApiClient, callbacks: ProviderCallbacks | None = None
    ) -> None:
        super().__init__(settings, api, callbacks)
        configured = () if settings.data_models == "all" else settings.data_models
        # The spelling of each scope, by the scope.
        self._spelled_scopes = {canonical_id(oid): oid for oid in configured}

    @classmethod
    def authorization(cls, settings: SourceSettings, key: ApiKey) -> Mapping[str, str]:
        """Return ``Authorization: TD1 …``; the secret may hold the prefix or not."""
        bare = _PREFIX.sub("", key.reveal())
        if not bare:
            raise SettingsError(f"secret {settings.secret} holds only a prefix, no key")
        return {"Authorization": f"TD1 {bare}"}

    def scopes(self) -> Sequence[str]:
        """Return the configured oids, or those of all data models that the key can see."""
        if self.settings.data_models != "all":
            return [canonical_id(oid) for oid in self.settings.data_models]
        return self._list_models()

    def get_build(self, ref: BuildRef) -> Build:
        """Return one build."""
        document = self.api.get_json(
            self._build_path(ref), kind="get_build", addresses_build=True, map_error=_map_error
        )
        build = self._read_build(document, ref.scope)
        if isinstance(build, str):
            raise SourceProtocolError(f"{self.settings.name}: get_build returned {build}")
        if build.ref.build_id.lower() != ref.build_id.lower():
            raise SourceProtocolError(f"{self.settings.name}: get_build returned another build")
        return build.model_copy(update={"ref": ref, "spelled_ref": None})

    def list_builds(self, scope: str) -> Sequence[Build]:
        """Return all builds of a data model: the whole history, in no order (1.3)."""
        entries = self._list(self._builds_path(scope), kind="list_builds", addresses_build=True, map_error=_map_error)
        return [build for entry in entries if (build := self._usable(self._read_build(entry, scope))) is not None]

    def request_scope(self, request: BuildRequest) -> str:
        """Return the data model that the request is about."""
        if request.report is not None:
            raise SettingsError(f"report: source {self.settings.name} builds data models; use data_model")
        scope = None if request.scope is None else canonical_id(request.scope)
        if request.data_model is not None:
            if scope not in {None, request.data_model}:
                raise SettingsError("scope: must equal data_model, or be left out")
            return request.data_model
        if scope is not None:
            return scope
        if self.settings.data_models != "all" and len(self.settings.data_models) == 1:
            return canonical_id(self.settings.data_models[0])
        raise SettingsError(f"scope: source {self.settings.name} has several data models; name that of the build")

    def start_build(self, request: BuildRequest, *, once: str = "") -> Build:  # noqa: ARG002 - nothing to send it in
        """Start a build of a data model."""
        scope = self.request_scope(request)
        if request.data_model is None:
            raise SettingsError("data_model: field required to start a build")
        # The vendor's own workflows write the field in camel case; an unofficial client does not (1.3).
        body: dict[str, JsonValue] = {"buildType": self.settings.build_type}
        document = self.api.post_json(self._builds_path(scope), body, kind="start_build", map_error=_map_error)
        try:
            response = _StartResponse.model_validate(document)
            ref = BuildRef(source=self.settings.name, scope=scope, build_id=response.oid)
        except ValidationError as exc:
            text = f"{self.settings.name}: start_build was accepted, but the response names no build"
            raise RequestUncertainError(text) from exc
        status, unknown_status = self.map_status(response.status)
        created_at = self.time_of("created", response.created)
        return Build(ref=ref, status=status, provider_status=unknown_status, created_at=created_at)

    def account_limits(self) -> AccountLimits | None:
        """Return the size limits of builds and queries; None without ``account_id`` or when the API returns none."""
        if self.settings.account_id is None:
            return None
        document = self.api.get_json(f"/reporting/{path_segment(self.settings.account_id)}", kind="account_limits")
        limits = AccountLimits(
            build_size_gb=_find_number(document, "build_size"), query_size_gb=_find_number(document, "query_size")
        )
        return None if limits == AccountLimits() else limits

    def failure_advice(self, limits: AccountLimits | None) -> str:
        """Return the likely causes: the API gives no reason for a failed build (1.4, 1.7)."""
        build_size = limits.build_size_gb if limits else None
        query_size = limits.query_size_gb if limits else None
        advice = "Treasure Insights gives no reason. Suspect memory first: the build may have needed more than "
        advice += "the account's build size limit allows" if build_size is None else f"the {build_size:g} GB limit"
        advice += ". Build from less data (fewer columns, a shorter time range), or ask Treasure Data support "
        advice += "for a higher limit. Other causes: a source table changed, or the data model is misconfigured."
        if query_size is not None:
            advice += f" Queries on a finished build have their own limit, {query_size:g} GB."
        return advice

    def query_advice(self) -> str:
        """Return what to do when a dashboard fails although its build is done (1.7)."""
        return (
            "If dashboards or queries on this build fail, the query may need more than the account's query size "
            "limit: ask for less data (filters, fewer columns), or ask Treasure Data support for a higher limit."
        )

    def cancel_build(self, ref: BuildRef) -> None:
        """Cancel a build; known from one unofficial client only (1.3, number 11), so the API may refuse it."""
        self.api.delete(self._build_path(ref), kind="cancel_build", map_error=_map_error)

    def check(self) -> str:
        """Compare the data models that the key can see with the configured ones."""
        visible = self._list_models()
        text = f"{self.settings.name}: the API key works and can see {len(visible)} data models"
        if self.settings.data_models == "all":
            return text
        missing = [oid for oid in self.settings.data_models if canonical_id(oid) not in visible]
        return f"{text}, but not {', '.join(missing)}" if missing else f"{text}, all configured ones among them"

    def _list_models(self) -> list[str]:
        oids: dict[str, None] = {}
        for entry in self._list("/reporting/datamodels", kind="list_models"):
            try:
                model = _ModelResponse.model_validate(entry)
            except ValidationError:
                self.report_unexpected(UnexpectedKind.MALFORMED_ENTRY, "a data model without a usable oid")
            else:
                oids[model.oid] = None
                self._spelled_scopes[model.oid] = _spelled_oid(entry)
        return list(oids)

    def _list(
        self, path: str, *, kind: str, addresses_build: bool = False, map_error: MapError | None = None
    ) -> list[JsonValue]:
        found = read_list(self.api, path, kind=kind, addresses_build=addresses_build, map_error=map_error)
        if found.unread is not None:
            self.report_unexpected(UnexpectedKind.UNREAD_PAGE, found.unread)
        return found.entries

    def _read_build(self, document: JsonValue, scope: str) -> Build | str:
        """Return one build, or what is wrong with the document."""
        try:
            response = _BuildResponse.model_validate(document)
            ref = BuildRef(source=self.settings.name, scope=canonical_id(scope), build_id=response.oid)
        except ValidationError:
            return "a build without a usable oid and status"
        spelled_scope, spelled_oid = self._spelled_scopes.get(scope, scope), _spelled_oid(document)
        spelled_ref = None
        if spelled_oid != ref.build_id or spelled_scope != ref.scope:
            spelled_ref = ref.model_copy(update={"scope": spelled_scope, "build_id": spelled_oid})
        status, unknown_status = self.map_status(response.status)
        unexpected = (response.created.unexpected, response.started.unexpected, response.completed.unexpected)
        return Build(
            ref=ref,
            spelled_ref=spelled_ref,
            status=status,
            provider_status=unknown_status,
            created_at=self.time_of("created", response.created),
            started_at=self.time_of("started", response.started),
            completed_at=self.time_of("completed", response.completed),
            times_unreadable=UnexpectedKind.UNREADABLE_TIME in unexpected,
        )

    def _usable(self, build: Build | str) -> Build | None:
        if isinstance(build, str):
            self.report_unexpected(UnexpectedKind.MALFORMED_ENTRY, build)
            return None
        return build

    def _builds_path(self, scope: str) -> str:
        return f"/reporting/datamodels/{path_segment(scope)}/builds"

    def _build_path(self, ref: BuildRef) -> str:
        return f"{self._builds_path(ref.scope)}/{path_segment(ref.build_id)}"


def _map_error(response: ErrorResponse) -> SourceError | None:
    """Take a 404 for the API's only in its form (1.8): a gateway's JSON says no more than ``message``."""
    if response.status in NOT_FOUND_STATUSES and not _is_own_error(response.document):
        return gateway_error(response)
    return None


def _is_own_error(document: JsonValue) -> bool:
    return isinstance(document, dict) and not {"error", "text", "severity", "status_code"}.isdisjoint(document)


def _spelled_oid(document: JsonValue) -> str:
    """Return the oid of a document that holds one, as the API spells it."""
    return str(document["oid"]) if isinstance(document, dict) else ""


def _find_number(document: JsonValue, name: str) -> float | None:
    """Return a number by its name, from the top level or the one below: the nesting is not documented (1.7)."""
    if not isinstance(document, dict):
        return None
    for place in (document, *document.values()):
        if isinstance(place, dict) and (number := parse_number(place.get(name))) is not None:
            return number
    return None
