"""Treasure Data's Treasure Insights: builds of data models. They leave no file, so there is nothing to fetch.

The API as far as it is known: docs/source-apis.md, API 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator, JsonValue, TypeAdapter, ValidationError, field_validator

from courier.config.settings import SourceSettings
from courier.errors import RequestUncertainError, SettingsError, SourceProtocolError
from courier.models import AccountLimits, Build, BuildRef, BuildRequest, BuildStatus, StrictModel
from courier.observability.provider_events import ProviderCallbacks, UnexpectedKind
from courier.providers.base import Provider, path_segment
from courier.providers.parsing import LenientInstant, LenientModel, PathIdentifier, parse_number

if TYPE_CHECKING:
    from courier.config.secrets import ApiKey
    from courier.providers.http_client import ApiClient

_PREFIX = re.compile(r"^TD1(?:\s+|$)", re.IGNORECASE)


class TreasureRequest(StrictModel):
    """A build to ask for each time the request schedule fires."""

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
        Whose builds are watched: ``all`` that the key can see, or a list of oids.
    ``account_id``
        Lets notices of failed builds carry the account's limits.
    ``build_type``
        ``full`` is what the vendor uses; the other two are known from an unofficial client only.
    ``requests``
        Builds to ask for each time the request schedule fires.
    """

    provider: Literal["treasure_insights"]
    data_models: Literal["all"] | tuple[PathIdentifier, ...] = "all"
    account_id: Annotated[PathIdentifier | None, BeforeValidator(_text_of_number)] = None
    build_type: Literal["full", "schema_changes", "by_table"] = "full"
    requests: tuple[TreasureRequest, ...] = ()

    @field_validator("data_models", mode="before")
    @classmethod
    def _data_models_are_all_or_some(cls, value: object) -> object:
        # Said here in one sentence: pydantic would list what is wrong with either way of writing it.
        if value == "all":
            return value
        if not isinstance(value, list | tuple) or not value:
            raise ValueError('give "all" or a list of data model oids')
        for position, oid in enumerate(value):
            if not _is_path_identifier(oid):
                raise ValueError(f"entry {position} is not a data model oid")
        return tuple(dict.fromkeys(value))

    def build_requests(self) -> tuple[BuildRequest, ...]:
        """Give the builds to ask for each time the request schedule fires."""
        return tuple(BuildRequest(source=self.name, data_model=request.data_model) for request in self.requests)


class _BuildAnswer(LenientModel):
    oid: PathIdentifier
    status: str
    created: LenientInstant = None
    started: LenientInstant = None
    completed: LenientInstant = None


class _StartAnswer(LenientModel):
    oid: PathIdentifier
    # The build exists whatever the rest says, and its oid is all that it takes to look at it again.
    status: Annotated[str, BeforeValidator(lambda value: value if isinstance(value, str) else "pending")] = "pending"
    created: LenientInstant = None


class _ModelAnswer(LenientModel):
    oid: PathIdentifier


class TreasureInsights(Provider):
    """One Treasure Insights account; a scope is a data model's oid.

    An uncertain request (`RequestUncertainError`) is cleared up by the caller: ``list_builds`` of the
    model, and look for a build whose ``created_at`` is not before the request. The API has no better way.
    """

    name = "treasure_insights"
    settings_model = TreasureInsightsSettings
    can_list = True
    can_cancel = True
    # The five documented words, the other spelling of the documentation's prose (1.5), and what pending means.
    statuses: ClassVar = {
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

    @classmethod
    def authorization(cls, settings: SourceSettings, key: ApiKey) -> Mapping[str, str]:
        """Give ``Authorization: TD1 …``; the secret may hold the prefix or not."""
        bare = _PREFIX.sub("", key.reveal())
        if not bare:
            raise SettingsError(f"secret {settings.secret} holds a prefix and no key")
        return {"Authorization": f"TD1 {bare}"}

    def scopes(self) -> Sequence[str]:
        """Give the configured oids, or those of all data models that the key can see."""
        if self.settings.data_models != "all":
            return self.settings.data_models
        return self._list_models()

    def get_build(self, ref: BuildRef) -> Build:
        """Look at one build."""
        document = self.api.get_json(self._build_path(ref), kind="get_build", addresses_build=True)
        build = self._read_build(document, ref.scope)
        if isinstance(build, str):
            raise SourceProtocolError(f"{self.settings.name}: get_build returned {build}")
        if build.ref.build_id.lower() != ref.build_id.lower():
            raise SourceProtocolError(f"{self.settings.name}: get_build returned another build")
        return build.model_copy(update={"ref": ref})

    def list_builds(self, scope: str) -> Sequence[Build]:
        """Look at all builds of a data model: the whole history, in no order (1.3)."""
        entries = self._list(self._builds_path(scope), kind="list_builds", addresses_build=True)
        return [build for entry in entries if (build := self._usable(self._read_build(entry, scope))) is not None]

    def request_scope(self, request: BuildRequest) -> str:
        """Give the data model that the request is about."""
        if request.report is not None:
            raise SettingsError(f"report: source {self.settings.name} builds data models, so give data_model")
        if request.data_model is not None:
            if request.scope not in {None, request.data_model}:
                raise SettingsError("scope: it is the data model itself, so leave it out")
            return request.data_model
        if request.scope is not None:
            return request.scope
        if self.settings.data_models != "all" and len(self.settings.data_models) == 1:
            return self.settings.data_models[0]
        raise SettingsError(f"scope: source {self.settings.name} has many data models, so name the build's")

    def start_build(self, request: BuildRequest) -> Build:
        """Ask for a build of a data model."""
        scope = self.request_scope(request)
        if request.data_model is None:
            raise SettingsError("data_model: field required to start a build")
        # The vendor's own workflows write the field in camel case; an unofficial client does not (1.3).
        document = self.api.post_json(
            self._builds_path(scope), {"buildType": self.settings.build_type}, kind="start_build"
        )
        try:
            answer = _StartAnswer.model_validate(document)
            ref = BuildRef(source=self.settings.name, scope=scope, build_id=answer.oid)
        except ValidationError as exc:
            text = f"{self.settings.name}: start_build was accepted, but the answer names no build"
            raise RequestUncertainError(text) from exc
        return Build(ref=ref, status=self.map_status(answer.status), created_at=answer.created)

    def account_limits(self) -> AccountLimits | None:
        """Ask for the size limits of builds and queries; None without an ``account_id``, or when none are told."""
        if self.settings.account_id is None:
            return None
        document = self.api.get_json(f"/reporting/{path_segment(self.settings.account_id)}", kind="account_limits")
        limits = AccountLimits(
            build_size_gb=_find_number(document, "build_size"), query_size_gb=_find_number(document, "query_size")
        )
        return None if limits == AccountLimits() else limits

    def failure_advice(self, limits: AccountLimits | None) -> str:
        """Say what to suspect first: the API gives no reason for a failed build (1.4, 1.7)."""
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
        """Say what to do when a dashboard fails although its build is done (1.7)."""
        return (
            "If dashboards or queries on this build fail, the query may need more than the account's query size "
            "limit: ask for less data (filters, fewer columns), or ask Treasure Data support for a higher limit."
        )

    def cancel_build(self, ref: BuildRef) -> None:
        """Ask to stop a build; known from one unofficial client only (1.3, number 11), so it may be refused."""
        self.api.delete(self._build_path(ref), kind="cancel_build")

    def check(self) -> str:
        """List the data models and compare them with the configured ones."""
        seen = self._list_models()
        text = f"{self.settings.name}: the API key works and can see {len(seen)} data models"
        if self.settings.data_models == "all":
            return text
        missing = [oid for oid in self.settings.data_models if oid not in seen]
        return f"{text}, but not {', '.join(missing)}" if missing else f"{text}, all configured ones among them"

    def _list_models(self) -> list[str]:
        oids: dict[str, None] = {}
        for entry in self._list("/reporting/datamodels", kind="list_models"):
            try:
                model = _ModelAnswer.model_validate(entry)
            except ValidationError:
                self.report_unexpected(UnexpectedKind.MALFORMED_ENTRY, "a data model without a usable oid")
            else:
                oids[model.oid] = None
        return list(oids)

    def _list(self, path: str, *, kind: str, addresses_build: bool = False) -> list[JsonValue]:
        document = self.api.get_json(path, kind=kind, addresses_build=addresses_build)
        if not isinstance(document, list):
            raise SourceProtocolError(f"{self.settings.name}: {kind} returned something that is not a list")
        return document

    def _read_build(self, document: JsonValue, scope: str) -> Build | str:
        """Read one build, or say what it is instead."""
        try:
            answer = _BuildAnswer.model_validate(document)
            ref = BuildRef(source=self.settings.name, scope=scope, build_id=answer.oid)
        except ValidationError:
            return "a build without a usable oid and status"
        return Build(
            ref=ref,
            status=self.map_status(answer.status),
            created_at=answer.created,
            started_at=answer.started,
            completed_at=answer.completed,
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


def _find_number(document: JsonValue, name: str) -> float | None:
    """Find a number by its name, at the top or one level below: the nesting is not documented (1.7)."""
    if not isinstance(document, dict):
        return None
    for place in (document, *document.values()):
        if isinstance(place, dict) and (number := parse_number(place.get(name))) is not None:
            return number
    return None
