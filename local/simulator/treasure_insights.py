"""The simulated Treasure Insights reporting API (docs/source-apis.md, API 1)."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Final
from urllib.parse import parse_qs
from uuid import UUID

from local.simulator.error_bodies import treasure_error
from local.simulator.ground_truth import BuildState
from local.simulator.messages import (
    JsonObject,
    ProviderName,
    Request,
    RequestKind,
    RequestTarget,
    SimulatedResponse,
    json_response,
)
from local.simulator.scenario import BuildPlan, DataModel, TreasureAccount
from local.simulator.timeformat import to_milliseconds, with_offset, with_z

PATH: Final = re.compile(r"/reporting/(?P<head>[^/]+)(?:/(?P<model>[^/]+)/builds(?:/(?P<build>[^/]+))?)?\Z")
# `full` is the vendor's; the other two come from unofficial clients and match the engine below.
BUILD_TYPES: Final = frozenset({"full", "schema_changes", "by_table"})


@dataclass(frozen=True)
class SimulatedBuild:
    """One build; its state follows from its plan and the clock, unless it was canceled."""

    build_id: str
    model_oid: str
    build_type: str
    created: datetime
    plan: BuildPlan
    canceled_at: datetime | None = None

    def at(self, now: datetime) -> BuildState:
        """Return the state at `now`."""
        started: datetime | None = to_milliseconds(self.created + timedelta(seconds=self.plan.queue_seconds))
        completed = to_milliseconds(self.created + timedelta(seconds=self.plan.queue_seconds + self.plan.run_seconds))
        status: str = self.plan.final_status
        if self.plan.final_status == "canceled" and self.plan.run_seconds == 0:
            started = None
        if self.canceled_at is not None and self.canceled_at < completed:
            status, completed = "canceled", self.canceled_at
        if started is not None and (now < started or started > completed):
            started = None
        if now < completed:
            return self._state("pending" if started is None else "building", started, None)
        return self._state(status, started, completed)

    def _state(self, status: str, started: datetime | None, completed: datetime | None) -> BuildState:
        return BuildState(
            provider=ProviderName.TREASURE_INSIGHTS,
            scope=self.model_oid,
            build_id=self.build_id,
            status=status,
            created=self.created,
            started=started,
            completed=completed,
        )


class SimulatedTreasureInsights:
    """The account with its models; the state of their builds follows from the instant of each request."""

    def __init__(self, account: TreasureAccount, *, seed: str, started_at: datetime) -> None:
        self.account = account
        self.key = account.key
        self._random = Random(f"{seed}/treasure")  # noqa: S311 - ids of a simulation
        self._lock = threading.Lock()
        self._models = {model.oid: model for model in account.models}
        self._started_count = dict.fromkeys(self._models, 0)
        self._builds: dict[str, SimulatedBuild] = {}
        for model in account.models:
            for scheduled in model.builds:
                created = started_at + timedelta(seconds=scheduled.created_offset_seconds)
                self._add(model, scheduled.plan, created, scheduled.build_type, scheduled.build_id)

    def build_states(self, now: datetime) -> tuple[BuildState, ...]:
        """Return every build that exists at `now`, oldest first."""
        return tuple(build.at(now) for build in self._existing(now))

    def target(self, method: str, path: str) -> RequestTarget | None:
        """Return the target of a request, or None if the path is not part of this API."""
        match = PATH.match(path)
        if match is None:
            return None
        head, model, build = match["head"], match["model"] or "", match["build"] or ""
        kinds = {
            ("GET", True, False, False): RequestKind.LIST_MODELS,
            ("GET", True, True, False): RequestKind.LIST_BUILDS,
            ("POST", True, True, False): RequestKind.START_BUILD,
            ("GET", True, True, True): RequestKind.GET_BUILD,
            ("DELETE", True, True, True): RequestKind.CANCEL_BUILD,
            ("GET", False, False, False): RequestKind.GET_LIMITS,
        }
        kind = kinds.get((method, head == "datamodels", bool(model), bool(build)), RequestKind.OTHER)
        return RequestTarget(
            ProviderName.TREASURE_INSIGHTS, kind, model or ("" if head == "datamodels" else head), build
        )

    def respond(self, request: Request) -> SimulatedResponse:
        """Return the response to one request."""
        refused = self._check_key(request.headers.get("authorization", ""))
        if refused is not None:
            return refused
        handlers: dict[RequestKind, Callable[[Request], SimulatedResponse]] = {
            RequestKind.LIST_MODELS: self._list_models,
            RequestKind.GET_LIMITS: self._get_limits,
            RequestKind.LIST_BUILDS: self._list_builds,
            RequestKind.START_BUILD: self._start_build,
            RequestKind.GET_BUILD: self._get_build,
            RequestKind.CANCEL_BUILD: self._cancel_build,
        }
        chosen = handlers.get(request.target.kind)
        if chosen is None:
            return treasure_error(405, "method not allowed")
        if request.target.kind not in {RequestKind.LIST_MODELS, RequestKind.GET_LIMITS} and (
            request.target.scope not in self._models
        ):
            return treasure_error(404, "datamodel not found")
        return chosen(request)

    def _check_key(self, authorization: str) -> SimulatedResponse | None:
        if authorization == f"TD1 {self.key}":
            return None
        if authorization.removeprefix("TD1 ") in self.account.weak_keys:
            return treasure_error(403, "this account has no access to Treasure Insights")
        return treasure_error(401, "authentication failed")

    def _list_models(self, request: Request) -> SimulatedResponse:
        wanted = parse_qs(request.query).get("type")
        return json_response(
            200,
            [self._model(model, request.at) for model in self._models.values() if not wanted or model.type in wanted],
        )

    def _get_limits(self, request: Request) -> SimulatedResponse:
        if request.target.scope != self.account.account_id:
            return treasure_error(404, "account not found")
        return json_response(200, dict(self.account.limits))

    def _list_builds(self, request: Request) -> SimulatedResponse:
        # No order is documented: sorting by a digest is stable, and not by age.
        builds = sorted(
            (build for build in self._existing(request.at) if build.model_oid == request.target.scope),
            key=lambda build: hashlib.sha256(build.build_id.encode()).digest(),
        )
        return json_response(200, [self._build(build, request.at, with_z) for build in builds])

    def _start_build(self, request: Request) -> SimulatedResponse:
        try:
            body = request.json()
        except ValueError:
            return treasure_error(400, "body is not JSON")
        build_type = body.get("buildType") if isinstance(body, dict) else None
        if not isinstance(build_type, str) or build_type not in BUILD_TYPES:
            return treasure_error(422, "buildType is missing or unknown")
        model = self._models[request.target.scope]
        with self._lock:
            plans = model.when_started or (BuildPlan(),)
            plan = plans[min(self._started_count[model.oid], len(plans) - 1)]
            self._started_count[model.oid] += 1
            build = self._add(model, plan, request.at, build_type, None)
        return json_response(self.account.start_status, self._build(build, request.at, with_offset))

    def _get_build(self, request: Request) -> SimulatedResponse:
        build = self._find(request)
        if build is None:
            return treasure_error(404, "build not found")
        return json_response(200, self._build(build, request.at, with_offset))

    def _cancel_build(self, request: Request) -> SimulatedResponse:
        with self._lock:
            build = self._find(request)
            if build is None:
                return treasure_error(404, "build not found")
            if build.at(request.at).completed is None:
                build = replace(build, canceled_at=to_milliseconds(request.at))
                self._builds[build.build_id] = build
        return json_response(200, self._build(build, request.at, with_offset))

    def _add(
        self, model: DataModel, plan: BuildPlan, created: datetime, build_type: str, build_id: str | None
    ) -> SimulatedBuild:
        build_id = build_id or str(UUID(int=self._random.getrandbits(128), version=4))
        build = SimulatedBuild(build_id, model.oid, build_type, to_milliseconds(created), plan)
        self._builds[build_id] = build
        return build

    def _find(self, request: Request) -> SimulatedBuild | None:
        build = self._builds.get(request.target.build_id)
        if build is None or build.model_oid != request.target.scope or build.created > request.at:
            return None
        return build

    def _existing(self, now: datetime) -> Iterable[SimulatedBuild]:
        builds = tuple(self._builds.values())
        return sorted((build for build in builds if build.created <= now), key=lambda build: build.created)

    def _build(self, build: SimulatedBuild, now: datetime, write: Callable[[datetime], str]) -> JsonObject:
        state = build.at(now)
        body: JsonObject = {
            "oid": state.build_id,
            "buildType": build.build_type,
            "status": state.status,
            "created": write(state.created),
        }
        for name, instant in (("started", state.started), ("completed", state.completed)):
            if instant is not None:
                body[name] = write(instant)
            elif self.account.unset_times == "null":
                body[name] = None
        return body

    def _model(self, model: DataModel, now: datetime) -> JsonObject:
        builds = [build.at(now) for build in self._existing(now) if build.model_oid == model.oid]
        done = [build.completed for build in builds if build.status == "done" and build.completed is not None]
        last_built = max(done, default=None)
        return {
            "oid": model.oid,
            "name": model.name,
            "status": builds[-1].status if builds else "pending",
            "created_by": "owner@example.com",
            "updated_by": "owner@example.com",
            "created_at": "2026-01-01T00:00:00.000Z",
            "last_updated": "2026-01-04T00:00:00.000Z",
            "last_built": None if last_built is None else with_z(last_built),
        }
