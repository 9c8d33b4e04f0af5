"""A fake provider, and short constructors for settings, builds and passages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from courier.config.secrets import ApiKey
from courier.config.settings import PollingSettings, SourceSettings
from courier.errors import BuildNotFoundError, CourierError, SourceProtocolError
from courier.links import ArtifactLink, SecretUrl
from courier.models import AccountLimits, Build, BuildRef, BuildRequest, BuildStatus, NextStep, Passage
from courier.providers.base import Provider

NOON = datetime(2026, 4, 15, 12, 0, tzinfo=UTC)
REGION = "eu-central-1"
ACCOUNT = "123456789012"
HOUR = timedelta(hours=1)
STATE_MACHINE = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:build-courier-build-lifecycle"


class FakeSettings(SourceSettings):
    """Settings of a source of the fake provider."""

    provider: Literal["fake"] = "fake"
    requests: tuple[BuildRequest, ...] = ()

    def build_requests(self) -> tuple[BuildRequest, ...]:
        return self.requests


def settings_of(name: str = "insights", *, polling: PollingSettings | None = None, **fields: object) -> FakeSettings:
    usual = {"endpoint": "https://api.example.com", "secret": "build-courier/fake"}
    return FakeSettings.model_validate({**usual, "name": name, "polling": polling or PollingSettings(), **fields})


def ref_of(build_id: str = "b1", *, scope: str = "sales", source: str = "insights") -> BuildRef:
    return BuildRef(source=source, scope=scope, build_id=build_id)


def build_of(
    build_id: str = "b1",
    status: BuildStatus = BuildStatus.RUNNING,
    *,
    scope: str = "sales",
    source: str = "insights",
    created: datetime | None = NOON,
    completed: datetime | None = None,
    **fields: object,
) -> Build:
    ref = ref_of(build_id, scope=scope, source=source)
    known = {"ref": ref, "status": status, "created_at": created, "completed_at": completed}
    return Build.model_validate({**known, **fields})


def passage_of(build: Build | None = None, verdict: NextStep = NextStep.WAIT, **fields: object) -> Passage:
    usual = {"provider": "fake", "build": build or build_of(), "verdict": verdict}
    return Passage.model_validate({**usual, "first_seen_at": NOON, "wait_seconds": 86_400, **fields})


class FakeProvider(Provider):
    """A provider without a vendor: its builds are in a dictionary; every call is counted and may fail.

    ``failures`` maps the name of a method, or of a method and a build's id (``get_build b1``), to the errors
    that its next calls raise, or to one error that they all raise.
    """

    name = "fake"
    settings_model = FakeSettings
    leaves_reports = True
    statuses = {str(status): status for status in BuildStatus}  # noqa: RUF012 - never changed

    def __init__(
        self, settings: SourceSettings | None = None, *, can_list: bool = True, can_cancel: bool = True
    ) -> None:
        super().__init__(settings or settings_of(), None)  # type: ignore[arg-type]  # it never makes a request
        self.can_list = can_list
        self.can_cancel = can_cancel
        self.known: dict[BuildRef, Build] = {}
        self.unlisted: set[str] = set()
        self.scope_names: tuple[str, ...] = ("sales",)
        self.limits: AccountLimits | None = None
        self.failures: dict[str, CourierError | list[CourierError]] = {}
        self.calls: list[str] = []
        self.canceled: list[BuildRef] = []
        self.once: list[str] = []
        self.created_at: Callable[[], datetime] = lambda: NOON
        self.on_call: Callable[[str], None] = lambda _: None

    @property
    def counts(self) -> Counter[str]:
        return Counter(call.partition(" ")[0] for call in self.calls)

    def forget_how_to_list(self) -> None:
        self.can_list = False

    def put(self, *builds: Build) -> None:
        self.known |= {build.ref: build for build in builds}

    def set_status(self, build_id: str, status: BuildStatus, **fields: object) -> None:
        for ref, build in self.known.items():
            if ref.build_id == build_id:
                self.known[ref] = build.model_copy(update={"status": status, **fields})

    def _called(self, method: str, about: str = "") -> None:
        call = f"{method} {about}".strip()
        self.calls.append(call)
        self.on_call(call)
        for name in (call, method):
            failure = self.failures.get(name)
            if isinstance(failure, list):
                if failure:
                    raise failure.pop(0)
            elif failure is not None:
                raise failure

    @classmethod
    def authorization(cls, settings: SourceSettings, key: ApiKey) -> Mapping[str, str]:  # noqa: ARG003 - the contract's
        return {"Authorization": key.reveal()}

    def scopes(self) -> Sequence[str]:
        self._called("scopes")
        return self.scope_names

    def get_build(self, ref: BuildRef) -> Build:
        self._called("get_build", ref.build_id)
        if ref not in self.known:
            raise BuildNotFoundError(f"{ref} is unknown")
        return self.known[ref]

    def list_builds(self, scope: str) -> Sequence[Build]:
        self._called("list_builds", scope)
        return [build for ref, build in self.known.items() if ref.scope == scope and ref.build_id not in self.unlisted]

    def request_scope(self, request: BuildRequest) -> str:
        return request.data_model or request.scope or "sales"

    def start_build(self, request: BuildRequest, *, once: str = "") -> Build:
        self.once.append(once)
        self._called("start_build", request.data_model or "")
        started = self.counts["start_build"]
        build = build_of(
            f"started-{started}",
            BuildStatus.QUEUED,
            scope=self.request_scope(request),
            source=self.settings.name,
            created=self.created_at(),
        )
        self.put(build)
        return build

    def locate_artifact(self, ref: BuildRef) -> ArtifactLink:
        self._called("locate_artifact", ref.build_id)
        if ref not in self.known:
            raise BuildNotFoundError(f"{ref} is unknown")
        if not self.known[ref].has_artifact:
            raise SourceProtocolError(f"{ref} has no artifact")
        url = SecretUrl(f"https://storage.example.com/{ref.build_id}.pdf?signature=secret")
        return ArtifactLink(url=url, size_bytes=None, expires_at=None, filename=f"{ref.build_id}.pdf")

    def account_limits(self) -> AccountLimits | None:
        self._called("account_limits")
        return self.limits

    def failure_advice(self, limits: AccountLimits | None) -> str:
        return "Use less data." if limits is None else f"Use less data than {limits.build_size_gb:g} GB."

    def cancel_build(self, ref: BuildRef) -> None:
        self._called("cancel_build", ref.build_id)
        self.canceled.append(ref)
        self.set_status(ref.build_id, BuildStatus.CANCELED)

    def check(self) -> str:
        self._called("check")
        return f"{self.settings.name}: nothing to check"
