"""A provider without a vendor: builds lie in a dictionary, and anything may be asked of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import ClassVar, Literal

from courier.credentials import ApiKey
from courier.errors import BuildNotFoundError, SettingsError, SourceProtocolError
from courier.links import ArtifactLink, SecretUrl
from courier.models import Build, BuildRef, BuildRequest, BuildStatus
from courier.providers.base import Provider
from courier.settings import SourceSettings


class FakeSettings(SourceSettings):
    provider: Literal["fake"] = "fake"


class FakeProvider(Provider):
    name = "fake"
    settings_model = FakeSettings
    can_list = True
    can_cancel = True
    statuses: ClassVar = {str(status): status for status in BuildStatus}

    def __init__(self, settings: SourceSettings, api: object = None) -> None:
        super().__init__(settings, api)  # type: ignore[arg-type]  # it never asks
        self.builds: dict[BuildRef, Build] = {}

    @classmethod
    def authorization(cls, settings: SourceSettings, key: ApiKey) -> Mapping[str, str]:
        return {"Authorization": f"{settings.name} {key.reveal()}"}

    def scopes(self) -> Sequence[str]:
        return ("everything",)

    def get_build(self, ref: BuildRef) -> Build:
        if ref not in self.builds:
            raise BuildNotFoundError(f"{ref} is unknown")
        return self.builds[ref]

    def list_builds(self, scope: str) -> Sequence[Build]:
        return [build for ref, build in self.builds.items() if ref.scope == scope]

    def request_scope(self, request: BuildRequest) -> str:
        if request.data_model is not None:
            raise SettingsError("data_model: the fake provider has none")
        return "everything"

    def start_build(self, request: BuildRequest) -> Build:
        scope = self.request_scope(request)
        ref = BuildRef(source=self.settings.name, scope=scope, build_id=f"build-{len(self.builds) + 1}")
        self.builds[ref] = Build(ref=ref, status=BuildStatus.QUEUED, created_at=datetime(2026, 4, 15, 12, tzinfo=UTC))
        return self.builds[ref]

    def finish(self, ref: BuildRef) -> None:
        self.builds[ref] = self.builds[ref].model_copy(update={"status": BuildStatus.SUCCEEDED, "has_artifact": True})

    def locate_artifact(self, ref: BuildRef) -> ArtifactLink:
        if not self.get_build(ref).has_artifact:
            raise SourceProtocolError(f"{ref} has no artifact yet")
        url = SecretUrl(f"https://storage.example.com/{ref.build_id}.pdf?signature=secret")
        return ArtifactLink(url=url, size_bytes=None, expires_at=None, filename=f"{ref.build_id}.pdf")

    def cancel_build(self, ref: BuildRef) -> None:
        self.builds[ref] = self.get_build(ref).model_copy(update={"status": BuildStatus.CANCELED})

    def check(self) -> str:
        return f"{self.settings.name}: nothing to check"
