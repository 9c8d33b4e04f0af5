"""A source with a definition, over a scripted API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from courier.config.validation import describe_validation
from courier.models import BuildRef
from courier.observability.provider_events import ProviderCallbacks, UnexpectedValue
from courier.providers.http_json.provider import HttpJson
from courier.providers.http_json.settings import HttpJsonSettings
from tests.unit.providers.fake_api import FakeApi, Reply, Step

ENDPOINT = "https://api.example.com"
SECRET = "build-courier/vendor"
REF = BuildRef(source="vendor", scope="main", build_id="b1")

API: dict[str, Any] = {
    "auth": {"kind": "header"},
    "start": {"post": "/jobs", "body": {"kind": "{input.kind}", "to": "{input.to?}"}},
    "status": {"get": "/jobs/{id}"},
    "build": {"id": "id", "status": "state", "created": "created", "completed": "ended", "error": "error"},
    "words": {"queued": ["new"], "running": ["busy"], "succeeded": ["done"], "failed": ["bad"]},
    "link": {"url": "url", "bytes": "size", "name": "{id}.csv"},
}


def document(api: Mapping[str, Any] | None = None, /, **source: Any) -> dict[str, Any]:  # noqa: ANN401 - YAML
    """Return a source; ``api`` replaces parts of the usual definition, None takes a part away."""
    merged = {name: part for name, part in {**API, **(api or {})}.items() if part is not None}
    usual = {"name": "vendor", "provider": "http_json", "endpoint": ENDPOINT, "secret": SECRET, "api": merged}
    return {**usual, **source}


def settings(api: Mapping[str, Any] | None = None, /, **source: Any) -> HttpJsonSettings:  # noqa: ANN401 - YAML
    return HttpJsonSettings.model_validate(document(api, **source))


def mistakes(api: Mapping[str, Any] | None = None, /, **source: Any) -> str:  # noqa: ANN401 - YAML
    """Return what is wrong with a source, as an operator reads it."""
    try:
        settings(api, **source)
    except ValidationError as exc:
        return describe_validation(exc, model=HttpJsonSettings)
    return ""


class Described:
    """A client of a source with a definition, and what it sent and reported."""

    def __init__(
        self,
        *steps: Step,
        api: Mapping[str, Any] | None = None,
        keys: tuple[str, ...] = ("a-key-of-the-vendor",),
        **source: Any,  # noqa: ANN401 - YAML
    ) -> None:
        self.unexpected: list[UnexpectedValue] = []
        self.fake = FakeApi(*steps, keys=keys)
        self.settings = settings(api, **source)
        callbacks = ProviderCallbacks(on_unexpected_value=self.unexpected.append)
        self.client = HttpJson(self.settings, self.fake.client, callbacks)

    @property
    def details(self) -> list[str]:
        """What was reported as unexpected."""
        return [f"{value.kind}: {value.detail}" for value in self.unexpected]


def job(state: str, **more: object) -> Reply:
    return Reply(json={"id": "b1", "state": state, **more})
