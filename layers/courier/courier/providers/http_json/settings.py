"""The settings of a source with a definition, and what is wrong with the two together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BeforeValidator,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from courier.config.settings import PollingSettings, SourceSettings, is_loopback_name
from courier.config.validation import report_problems
from courier.models import BuildRequest, Scope, StrictModel
from courier.providers.http_json.auth_fields import Origin, TokenUrl, origin_of
from courier.providers.http_json.checks import missing_input, scope_parts, templates, unfilled
from courier.providers.http_json.dates import unknown_dates
from courier.providers.http_json.definition import Definition
from courier.providers.http_json.fields import Name, Quoted, Text
from courier.providers.http_json.placeholders import fill_text, placeholders
from courier.providers.http_json.shipped import load_shipped, with_defaults, without_defaults

DEFAULT_SCOPE = "main"


class InputRequest(StrictModel):
    """A build to start each time the request schedule fires.

    ``scope``
        May be left out where the source has only one.
    ``input``
        For the placeholders of ``start``.
    """

    scope: Annotated[Scope, Quoted] | None = None
    input: dict[str, JsonValue] = Field({})


def _list_of_scopes(value: object) -> object:
    if value is not None and not isinstance(value, list | tuple) and value != "all":
        raise ValueError('use "all" or a list of scopes')
    return value


class HttpJsonSettings(SourceSettings):
    """An account at any API that a definition describes.

    ``api``
        The definition: the name of one that comes with the courier, such as ``stripe-report-runs@1``, or written out.
    ``scopes``
        What the builds belong to, where the API has such a thing: a list, or ``all`` where the definition says how to
        find them.
    ``values``
        Constants for the placeholders of the definition.
    ``requests``
        Builds to start each time the request schedule fires: ``input`` for the placeholders of ``start``. Its texts
        may hold the date of the request in UTC: ``{now}``, ``{today}``, ``{yesterday}``, ``{week_ago}``,
        ``{month_start}``, ``{last_month_start}``, ``{last_month_end}``, each also as seconds: ``{today_epoch}``.
    ``token_url``, ``also_for``
        Replace those of the definition, for a national cloud or a proxy. With ``endpoint``, they are the complete list
        of the origins that the credentials are sent to.
    """

    provider: Literal["http_json"]
    api: Definition
    scopes: Annotated[
        Literal["all"] | tuple[Annotated[Scope, Quoted], ...] | None, BeforeValidator(_list_of_scopes)
    ] = None
    values: dict[Name, Text] = Field({})
    requests: tuple[InputRequest, ...] = ()
    token_url: TokenUrl | None = None
    also_for: tuple[Origin, ...] | None = None

    def build_requests(self) -> tuple[BuildRequest, ...]:
        """Return the builds to start each time the request schedule fires."""
        return tuple(
            BuildRequest(source=self.name, scope=request.scope, input=request.input) for request in self.requests
        )

    @property
    def configured_scopes(self) -> tuple[str, ...] | None:
        """The scopes; None where they have to be found."""
        if self.scopes == "all":
            return None
        return self.scopes or (DEFAULT_SCOPE,)

    @property
    def full_token_url(self) -> str | None:
        """The address of the token endpoint; None where ``auth`` needs none."""
        url = self.token_url or self.api.auth.token_url
        if url is None or self.api.auth.kind != "oauth2":
            return None
        filled = fill_text(url, dict(self.values)) or ""
        if filled.startswith("/"):
            parts = urlsplit(self.endpoint)
            return f"{parts.scheme}://{parts.netloc}{filled}"
        return filled

    @property
    def credential_origins(self) -> tuple[str, ...]:
        """The complete list of the origins that ever see a credential, the endpoint's first."""
        further = self.api.auth.also_for if self.also_for is None else self.also_for
        urls = [self.endpoint, *([self.full_token_url] if self.full_token_url else []), *further]
        return tuple(dict.fromkeys(origin_of(url) for url in urls))

    @property
    def download_origins(self) -> tuple[str, ...]:
        """The origins that may see a credential when the file is requested: not the token endpoint's."""
        further = self.api.auth.also_for if self.also_for is None else self.also_for
        return tuple(dict.fromkeys(origin_of(url) for url in (self.endpoint, *further)))

    @model_validator(mode="before")
    @classmethod
    def _with_the_defaults_of_the_definition(cls, value: Any) -> Any:  # noqa: ANN401 - whatever a person wrote
        if not isinstance(value, dict) or not isinstance(value.get("api"), str):
            return value
        try:
            return with_defaults(value, load_shipped(value["api"]).defaults)
        except ValueError:
            # The field says which names there are.
            return value

    @field_validator("api", mode="wrap", json_schema_input_type=str | Definition)
    @classmethod
    def _by_name_or_written_out(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Definition:  # noqa: ANN401 - as above
        if isinstance(value, str):
            return load_shipped(value).api
        if not isinstance(value, dict | Definition):
            raise ValueError("must be a definition, or the name of one, such as stripe-report-runs@1")  # noqa: TRY004 - pydantic wants it
        definition: Definition = handler(value)
        return definition

    @model_serializer(mode="wrap")
    def _without_the_defaults_of_the_definition(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        document: dict[str, Any] = handler(self)
        name = document.get("api")
        return without_defaults(document, load_shipped(name).defaults) if isinstance(name, str) else document

    @model_validator(mode="after")
    def _fits_the_definition(self, info: ValidationInfo) -> Self:
        report_problems([*self._problems(), *unfilled(self.api, self.values)], self, info)
        longest = self.api.status.longest_gap_seconds
        if longest is not None and self.polling.longest_seconds > longest:
            capped = {"longest_seconds": longest, "first_seconds": min(self.polling.first_seconds, longest)}
            polling = PollingSettings(**{**self.polling.model_dump(), **capped})
            object.__setattr__(self, "polling", polling)
        return self

    def _problems(self) -> Iterator[str]:
        yield from self._scope_problems()
        yield from self._origin_problems()
        used = {found.name for _, value, _ in templates(self.api) for found in placeholders(value)}
        for name in self.values:
            if name not in used:
                yield f"values.{name}: is unknown; no placeholder of the definition has this name"
        if self.requests and self.api.start is None:
            yield "requests: the definition has no start, so nothing can be requested"
        for index, request in enumerate(self.requests):
            for problem in (*self._request_problems(request), *missing_input(self.api, request.input)):
                yield f"requests[{index}].{problem}"
            for name in unknown_dates(dict(request.input)):
                yield f"requests[{index}].input: {{{name}}} is no date that the courier knows, such as {{yesterday}}"

    def _scope_problems(self) -> Iterator[str]:
        uses_scope = any(
            found.name in {"scope", *scope_parts(self.api)}
            for _, value, _ in templates(self.api)
            for found in placeholders(value)
        )
        if self.scopes == "all" and self.api.scopes is None:
            yield "scopes: the definition does not say how to find them (api.scopes); list them"
        if not self.scopes and uses_scope:
            alternative = ", or all" if self.api.scopes is not None else ""
            yield f"scopes: field required, because the definition uses {{scope}}: a list{alternative}"
        parts = scope_parts(self.api)
        if uses_scope and any(set(scope.split("/")) & {".", ".."} for scope in self.configured_scopes or ()):
            yield "scopes: . and .. cannot be part of an API path"
        for scope in self.configured_scopes or ():
            if parts and uses_scope and scope.count("/") + 1 != len(parts):
                yield f"scopes: each must have {len(parts)} parts, {self.api.scope_parts}"
                return

    def _origin_problems(self) -> Iterator[str]:
        further = self.api.auth.also_for if self.also_for is None else self.also_for
        token_url = self.token_url or self.api.auth.token_url or "/"
        for place, url in (("token_url", token_url), *(("also_for", url) for url in further)):
            parts = urlsplit(url)
            loopback = self.insecure and parts.hostname is not None and is_loopback_name(parts.hostname)
            if not url.startswith("/") and parts.scheme != "https" and not loopback:
                yield f"{place}: must be https (http only to loopback, with insecure: true)"
        link = self.api.link
        if link is None or link.auth is not True or link.url is None or "artifact" not in self.model_fields_set:
            return
        allowed = {urlsplit(origin).hostname for origin in self.download_origins}
        hosts = [host.rpartition("://")[2].partition(":")[0] for host in self.artifact.hosts]
        if hosts and not allowed.intersection(hosts):
            yield (
                f"api.link.auth: credentials would have to go to {', '.join(hosts)} (artifact.hosts), and may go to "
                f"{', '.join(self.download_origins)} only; add the origin of the files to also_for, or set auth: false"
            )

    def _request_problems(self, request: InputRequest) -> Iterator[str]:
        scopes = self.configured_scopes
        if scopes is None:
            if request.scope is None:
                yield "scope: field required, because the source has several"
        elif request.scope is None and len(scopes) != 1:
            yield f"scope: field required, one of {', '.join(scopes)}"
        elif request.scope is not None and request.scope not in scopes:
            yield f"scope: is not among the scopes of the source, {', '.join(scopes)}"


def scope_values(definition: Definition, scope: str) -> Mapping[str, JsonValue]:
    """Return what the placeholders for a scope and its parts stand for."""
    return {"scope": scope, **dict(zip(scope_parts(definition), scope.split("/"), strict=False))}
