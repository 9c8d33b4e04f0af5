"""Client of Dreadnode's AIRT project reports: asynchronous jobs that render a file behind a presigned URL.

docs/source-apis.md, API 2, holds what is known of the API; numbers in parentheses are its sections.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    JsonValue,
    StringConstraints,
    ValidationError,
    field_validator,
)

from courier.config.settings import SourceSettings
from courier.errors import (
    BuildNotFoundError,
    EmptyReportError,
    RequestUncertainError,
    SettingsError,
    SourceProtocolError,
    SourceRejectedError,
)
from courier.links import ArtifactLink, SecretUrl
from courier.models import Build, BuildRef, BuildRequest, BuildStatus, Identifier, StrictModel
from courier.observability.provider_events import ProviderCallbacks
from courier.observability.redaction import redact
from courier.providers.base import Provider, path_segment
from courier.providers.dreadnode_errors import (
    empty_report_error,
    find_empty_sections,
    map_error,
    map_preflight_error,
    section_names,
)
from courier.providers.parsing import LenientModel, LenientText, ResponseIdentifier, parse_number, reject_dot_segments
from courier.providers.times import NO_TIME, LenientTime

if TYPE_CHECKING:
    from courier.config.secrets import ApiKey
    from courier.providers.http_client import ApiClient

_PREFIX = re.compile(r"^Bearer(?:\s+|$)", re.IGNORECASE)
# Formats that the report builder is known or likely to write (2.3); anything else keeps the documented one.
_SUFFIXES = frozenset({".pdf", ".html", ".json", ".md"})
_USUAL_SUFFIX = ".pdf"
# Above this a float cannot count single bytes, and no object store accepts such an object.
_SIZE_LIMIT_BYTES = 2.0**53

# A job that cannot exist: requesting it costs nothing and still proves address, key and permissions.
_NONEXISTENT_JOB = "00000000-0000-0000-0000-000000000000"


def check_report(report: Mapping[str, JsonValue]) -> None:
    """Check the body of a report request as far as it is documented (2.3).

    Raises
    ------
    ValueError
        It does not hold exactly one of ``preset`` and ``template_id``, or holds another field.
    """
    unknown = sorted(set(report) - {"preset", "template_id"})
    if unknown:
        raise ValueError(f"{redact(', '.join(unknown), limit=200)} is unknown; use preset or template_id")
    present = [name for name in ("preset", "template_id") if report.get(name) is not None]
    if len(present) != 1:
        raise ValueError(f"give exactly one of preset and template_id, not {' and '.join(present) or 'none'}")
    if present == ["preset"] and not isinstance(report["preset"], dict):
        raise ValueError("preset must be an object")
    if present == ["template_id"] and not (isinstance(report["template_id"], str) and report["template_id"].strip()):
        raise ValueError("template_id must be a string")


class ReportRequest(StrictModel):
    """A report to request each time the request schedule fires."""

    report: dict[str, JsonValue]

    @field_validator("report")
    @classmethod
    def _report_is_documented(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        check_report(value)
        return value


# Three of them and two slashes fit into a scope; the platform's own slugs are shorter.
_Name = Annotated[Identifier, StringConstraints(max_length=120), AfterValidator(reject_dot_segments)]


class DreadnodeAirtSettings(SourceSettings):
    """A project of a Dreadnode platform.

    ``auth``
        The documentation says ``bearer``; the vendor's own client sends keys as ``x-api-key`` (2.1).
    ``organization``, ``workspace``, ``project``
        Slugs; the project may be a UUID.
    ``requests``
        Reports to request each time the request schedule fires.
    """

    provider: Literal["dreadnode_airt"]
    auth: Literal["bearer", "x-api-key"] = "bearer"
    organization: _Name
    workspace: _Name
    project: _Name
    requests: tuple[ReportRequest, ...] = ()

    @property
    def scope(self) -> str:
        """The only scope of this source."""
        return f"{self.organization}/{self.workspace}/{self.project}"

    def build_requests(self) -> tuple[BuildRequest, ...]:
        """Return the reports to request each time the request schedule fires."""
        return tuple(BuildRequest(source=self.name, report=request.report) for request in self.requests)


def _size_or_none(value: object) -> int | None:
    number = parse_number(value)
    # 0 is the default and means unknown (2.4).
    return int(number) or None if number is not None and number < _SIZE_LIMIT_BYTES else None


def _url_or_none(value: object) -> SecretUrl | None:
    return SecretUrl(value) if isinstance(value, str) and value else None


class _JobResponse(LenientModel):
    """A job; the URL is wrapped while it is parsed, so that no text made of the response can show it."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    # Absent in the documentation's own example (2.4); a request for one job returns that job.
    job_id: ResponseIdentifier | None = None
    status: str
    created_at: LenientTime = NO_TIME
    completed_at: LenientTime = NO_TIME
    error_message: LenientText = None
    file_size_bytes: Annotated[int | None, BeforeValidator(_size_or_none)] = None
    presigned_url: Annotated[SecretUrl | None, BeforeValidator(_url_or_none)] = None
    url_expires_at: LenientTime = NO_TIME


class _StartResponse(LenientModel):
    job_id: ResponseIdentifier
    # The job exists whatever the other fields hold, and its id is enough to poll it.
    status: Annotated[str, BeforeValidator(lambda value: value if isinstance(value, str) else "queued")] = "queued"
    created_at: LenientTime = NO_TIME


class DreadnodeAirt(Provider):
    """Client of one project; its scope is ``organization/workspace/project``.

    No operation lists jobs, so the courier can only poll builds that a request started or names, and a request whose
    response was lost stays uncertain (2.2).
    """

    name = "dreadnode_airt"
    settings_model = DreadnodeAirtSettings
    leaves_reports = True
    # The whole documented enum (2.4).
    statuses = {  # noqa: RUF012 - never changed
        "queued": BuildStatus.QUEUED,
        "in_progress": BuildStatus.RUNNING,
        "completed": BuildStatus.SUCCEEDED,
        "failed": BuildStatus.FAILED,
    }
    settings: DreadnodeAirtSettings

    def __init__(
        self, settings: DreadnodeAirtSettings, api: ApiClient, callbacks: ProviderCallbacks | None = None
    ) -> None:
        super().__init__(settings, api, callbacks)

    @classmethod
    def base_url(cls, settings: SourceSettings) -> str:
        """Add ``/api/v1``, unless the endpoint already ends in it or in ``/api``, as the vendor's client does (2.1)."""
        endpoint = settings.endpoint.rstrip("/")
        return endpoint if endpoint.endswith(("/api/v1", "/api")) else f"{endpoint}/api/v1"

    @classmethod
    def authorization(cls, settings: SourceSettings, key: ApiKey) -> Mapping[str, str]:
        """Return the header that the settings choose; the secret may hold a ``Bearer`` prefix or not."""
        bare = _PREFIX.sub("", key.reveal())
        if not bare:
            raise SettingsError(f"secret {settings.secret} holds only a prefix, no key")
        if isinstance(settings, DreadnodeAirtSettings) and settings.auth == "x-api-key":
            return {"X-API-Key": bare}
        return {"Authorization": f"Bearer {bare}"}

    def scopes(self) -> Sequence[str]:
        """Return the only scope."""
        return (self.settings.scope,)

    def get_build(self, ref: BuildRef) -> Build:
        """Return one job."""
        response = self._get_job(ref)
        status, unknown_status = self.map_status(response.status)
        # A link proves a report, whatever the new word for success may be.
        has_link = status is BuildStatus.UNKNOWN and response.presigned_url is not None
        return Build(
            ref=ref,
            status=status,
            provider_status=unknown_status,
            has_artifact=status is BuildStatus.SUCCEEDED or has_link,
            artifact_bytes=response.file_size_bytes,
            created_at=self.time_of("created_at", response.created_at),
            completed_at=self.time_of("completed_at", response.completed_at),
            error_message=response.error_message,
        )

    def request_scope(self, request: BuildRequest) -> str:
        """Check the request's body and return the only scope."""
        if request.data_model is not None:
            raise SettingsError(f"data_model: source {self.settings.name} renders reports; use report")
        if request.scope not in {None, self.settings.scope}:
            raise SettingsError(f"scope: source {self.settings.name} has only {self.settings.scope}")
        if request.report is not None:
            try:
                check_report(request.report)
            except ValueError as exc:
                raise SettingsError(f"report: {exc}") from exc
        return self.settings.scope

    def start_build(self, request: BuildRequest, *, once: str = "") -> Build:  # noqa: ARG002 - nothing to send it in
        """Start a report, after a dry run that finds empty sections without starting anything."""
        scope = self.request_scope(request)
        if request.report is None:
            raise SettingsError("report: field required to start a build")
        self._preflight(request.report)
        document = self.api.post_json(
            f"{self._project_path()}/reports/build", request.report, kind="start_build", map_error=map_error
        )
        try:
            response = _StartResponse.model_validate(document)
            ref = BuildRef(source=self.settings.name, scope=scope, build_id=response.job_id)
        except ValidationError as exc:
            text = f"{self.settings.name}: start_build was accepted, but the response names no job"
            raise RequestUncertainError(text) from exc
        status, unknown_status = self.map_status(response.status)
        return Build(
            ref=ref,
            status=status,
            provider_status=unknown_status,
            has_artifact=status is BuildStatus.SUCCEEDED,
            created_at=self.time_of("created_at", response.created_at),
        )

    def locate_artifact(self, ref: BuildRef) -> ArtifactLink:
        """Request the job again, because only its response holds a link, and an old link has expired."""
        response = self._get_job(ref)
        if response.presigned_url is None:
            raise SourceProtocolError(
                f"{self.settings.name}: get_build returned no link to the report; "
                f"the build is {self.map_status(response.status)[0]}"
            )
        return ArtifactLink(
            url=response.presigned_url,
            size_bytes=response.file_size_bytes,
            expires_at=response.url_expires_at.at,
            filename=f"{ref.build_id}{_suffix_of(response.presigned_url)}",
        )

    def check(self) -> str:
        """Dry-run the first configured report, or request a job that cannot exist."""
        name, scope = self.settings.name, self.settings.scope
        if self.settings.requests:
            try:
                self._dry_run(self.settings.requests[0].report)
            except EmptyReportError as exc:
                empty = section_names(exc.sections)
                return f"{name}: the API key works for {scope}; its first report would be empty in {empty}"
            return f"{name}: the API key works for {scope}, and its first report can be built"
        try:
            self._get_job(BuildRef(source=name, scope=scope, build_id=_NONEXISTENT_JOB))
        except BuildNotFoundError:
            return f"{name}: the API key works; to verify {scope} as well, add a report to requests"
        return f"{name}: the API key works for {scope}"

    def _preflight(self, report: Mapping[str, JsonValue]) -> None:
        """Dry-run a report; ignore a plain rejection, because an older platform may not know the dry run at all."""
        try:
            self._dry_run(report)
        except SourceRejectedError as exc:
            if type(exc) is not SourceRejectedError:
                raise

    def _dry_run(self, report: Mapping[str, JsonValue]) -> None:
        path = f"{self._project_path()}/reports/preflight"
        document = self.api.post_json(path, report, kind="preflight", starts_build=False, map_error=map_preflight_error)
        # An empty list, or none at all, means that every section has content (2.5).
        sections = find_empty_sections(document)
        if sections:
            raise empty_report_error(self.settings.name, sections)

    def _get_job(self, ref: BuildRef) -> _JobResponse:
        path = f"{self._project_path()}/reports/build/{path_segment(ref.build_id)}"
        document = self.api.get_json(path, kind="get_build", addresses_build=True, map_error=map_error)
        try:
            response = _JobResponse.model_validate(document)
        except ValidationError as exc:
            raise SourceProtocolError(f"{self.settings.name}: get_build returned no usable job") from exc
        if response.job_id is not None and response.job_id.lower() != ref.build_id.lower():
            raise SourceProtocolError(f"{self.settings.name}: get_build returned another job")
        return response

    def _project_path(self) -> str:
        organization, workspace = path_segment(self.settings.organization), path_segment(self.settings.workspace)
        return f"/org/{organization}/ws/{workspace}/airt/projects/{path_segment(self.settings.project)}"


def _suffix_of(url: SecretUrl) -> str:
    """Return the suffix of the URL's path if it is that of a report, else the usual one."""
    try:
        suffix = PurePosixPath(urlsplit(url.reveal()).path).suffix.lower()
    except ValueError:
        return _USUAL_SUFFIX
    return suffix if suffix in _SUFFIXES else _USUAL_SUFFIX
