"""A vendor's API, played from a scenario file: whatever a definition that comes with the courier describes.

One server is one vendor: the API with its token endpoint under `url`, and the files behind presigned links on another
host. A request that is not what the vendor's documents say is refused with 400 and a sentence::

    with SimulatedVendor(load_vendor("stripe-report-runs"), clock=clock) as vendor:
        settings = parse_source(vendor.source())
        vendor.plan("pending", "SUCCEEDED")  # the words of the next job
        vendor.answer_next(RequestKind.GET_JOB, VendorAnswer(status=429))
        vendor.refuse_credentials(times=1)
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote

from typing_extensions import override

from courier.clock import utc_now
from local.simulator.artifact_store import ArtifactObject
from local.simulator.fault_plan import FaultPlan, FaultRule
from local.simulator.faults import Reply
from local.simulator.messages import (
    Clock,
    JsonValue,
    ProviderName,
    Request,
    RequestKind,
    RequestTarget,
    SimulatedResponse,
    json_response,
)
from local.simulator.simulated_server import API_HOST, ARTIFACT_HOST, SimulatedServer
from local.simulator.vendor_jobs import BUCKET, VendorJob, VendorJobs
from local.simulator.vendor_scenario import Course, Route, TokenEndpoint, VendorAnswer, VendorScenario
from local.simulator.vendor_templates import fill, fill_text


class SimulatedVendor(SimulatedServer):
    """One vendor, served while the context is open.

    Parameters
    ----------
    scenario
        What it plays.
    clock, faults, tls, wait
        See `SimulatedServer`.
    """

    body_names_target: ClassVar[bool] = True

    def __init__(
        self,
        scenario: VendorScenario,
        *,
        clock: Clock = utc_now,
        faults: FaultPlan | None = None,
        tls: bool = False,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        super().__init__(clock=clock, faults=faults, tls=tls, wait=wait)
        self.scenario = scenario
        self._jobs = VendorJobs(scenario)
        self._tokens: dict[str, datetime] = {}
        self._refusals = 0
        self._lock = threading.Lock()

    def plan(self, *words: str, files: int = 1) -> None:
        """Set the words, in any spelling, and the number of files of the next job that is started."""
        self._jobs.courses.append(Course(words=words, files=files))

    def plan_empty(self) -> None:
        """Let the next job end with nothing to fetch.

        Raises
        ------
        ValueError
            The vendor has no such end.
        """
        if self.scenario.job.empty is None:
            raise ValueError(f"{self.scenario.api} has no empty end")
        self._jobs.courses.append(self.scenario.job.empty)

    def start_elsewhere(self) -> str:
        """Start a job as another client does, which the courier can find in a list only; return its id."""
        with self._lock:
            job = self._jobs.start(self.scenario.input, self._clock(), self.scenario.job.course)
            job.begun = job.created
            return job.job_id

    def answer_next(self, kind: RequestKind, answer: VendorAnswer, *, times: int | None = 1) -> None:
        """Return this answer to the next requests of a kind, in place of the true one."""
        body = b"" if answer.body is None else json.dumps(fill(answer.body, self._base())).encode()
        headers = {name: fill_text(value, self._base()) for name, value in answer.headers.items()}
        reply = Reply(answer.status, body, content_type=answer.content_type, headers=headers)
        self.faults.add(FaultRule(reply, kind, times=times))

    def refuse_credentials(self, *, times: int) -> None:
        """Refuse the next requests to the API, whatever they carry."""
        self._refusals = times

    def new_token(self) -> str:
        """Return a new access token, as if the endpoint had issued it; empty where the vendor has none."""
        if self.scenario.token is None:
            return ""
        with self._lock:
            token = f"token-{self.scenario.api.partition('@')[0]}-{len(self._tokens) + 1:04d}"
            self._tokens[token] = self._clock() + timedelta(seconds=self.scenario.token.life_seconds)
        return token

    def source(self, **more: object) -> dict[str, Any]:
        """Return a source that names the definition and reaches this server; its name is `vendor` by default."""
        base = self._base()
        token = {} if self.scenario.token_url is None else {"token_url": fill_text(self.scenario.token_url, base)}
        further = [fill_text(origin, base) for origin in self.scenario.also_for]
        files = self.scenario.file
        artifact = {"hosts": [f"http://{host}" for host in (API_HOST, ARTIFACT_HOST)], "private_addresses": True}
        return {
            "name": "vendor",
            "provider": "http_json",
            "api": self.scenario.api,
            "endpoint": f"{self.url}{self.scenario.endpoint}",
            "insecure": True,
            "secret": "build-courier/vendor",
            **token,
            **({"also_for": further} if further else {}),
            **({"artifact": artifact} if files is not None else {}),
            **self.scenario.source,
            **more,
        }

    @property
    def secret(self) -> str:
        """The value of the secret."""
        secret = self.scenario.secret
        return secret if isinstance(secret, str) else json.dumps(secret)

    @property
    def jobs(self) -> tuple[VendorJob, ...]:
        """The jobs that were started, in order."""
        return tuple(self._jobs.all())

    def file_bytes(self, job_id: str, number: int = 1) -> bytes:
        """Return a file of a job, byte for byte.

        Raises
        ------
        KeyError
            There is no such job.
        """
        job = self._jobs.find(job_id)
        if job is None:
            raise KeyError(job_id)
        return self._jobs.file_bytes(job, number)

    @override
    def _serve_artifacts_at(self, origin: str) -> None:
        self._jobs.store.origin = origin

    @override
    def _target(self, method: str, path: str, query: str, body: bytes) -> RequestTarget:
        if path.startswith(f"/{BUCKET}/"):
            return RequestTarget(ProviderName.ARTIFACT_STORE, RequestKind.ARTIFACT, build_id=path.rpartition("/")[2])
        token = self.scenario.token
        if token is not None and token.call == f"{method} {path}":
            return RequestTarget(ProviderName.VENDOR, RequestKind.TOKEN)
        route, found = self._route(method, path, body)
        if route is None:
            return RequestTarget(ProviderName.VENDOR, RequestKind.OTHER)
        job_id = _job_id(route, found, query, body)
        return RequestTarget(ProviderName.VENDOR, route.request_kind, self.scenario.scope, job_id)

    def _route(self, method: str, path: str, body: bytes) -> tuple[Route | None, Mapping[str, str]]:
        for route in self.scenario.routes:
            found = route.path.fullmatch(path)
            if found is not None and route.method == method and (route.when is None or route.when.encode() in body):
                return route, {name: unquote(value) for name, value in found.groupdict().items()}
        return None, {}

    @override
    def _answer(self, request: Request, replaced: Callable[[ArtifactObject], ArtifactObject]) -> SimulatedResponse:
        if request.target.provider is ProviderName.ARTIFACT_STORE:
            return self._jobs.store.respond(request, replaced)
        if self.scenario.token is not None and request.target.kind is RequestKind.TOKEN:
            return self._issue_token(self.scenario.token, request)
        route, found = self._route(request.method, request.path, request.body)
        if route is None:
            return self._respond_with(VendorAnswer(status=404, body={"message": "no such path"}), {})
        if not self._has_credentials(request):
            return self._respond_with(self.scenario.refused, {})
        if (mistake := self._mistake(route, request)) is not None:
            return json_response(400, {"message": f"simulated {self.scenario.api}: {mistake}"})
        with self._lock:
            return self._carry_out_route(route, request, found)

    def _carry_out_route(self, route: Route, request: Request, found: Mapping[str, str]) -> SimulatedResponse:
        match route.kind:
            case "start":
                return self._respond_about(route.answer, self._jobs.start(_body(request), request.at), request.at)
            case "list":
                return self._list(route, request)
            case "preflight" | "scopes" | "limits":
                return self._respond_with(route.answer, {})
        job = self._jobs.find(request.target.build_id)
        return self._respond_with(self.scenario.missing, {}) if job is None else self._about(job, route, request, found)

    def _about(self, job: VendorJob, route: Route, request: Request, found: Mapping[str, str]) -> SimulatedResponse:
        state = self._jobs.state(job, request.at)
        has_file = state is not None and state.means == "succeeded" and job.course.files > 0
        answer = route.answer
        match route.kind:
            case "file" | "link" if not has_file:
                answer = self.scenario.missing
            case "file" if self.scenario.file is not None:
                number = int(found.get("file", "-1").rpartition("-")[2])
                headers = {"Content-Type": self.scenario.file.content_type}
                return SimulatedResponse(200, headers, self._jobs.file_bytes(job, number))
            case "step":
                job.begun = request.at
            case "cancel" if route.becomes is not None:
                job.canceled = (route.becomes, request.at)
            case "status" if state is not None and state.answer is not None:
                answer = state.answer
        return self._respond_about(answer, job, request.at)

    def _list(self, route: Route, request: Request) -> SimulatedResponse:
        pages, jobs = self.scenario.pages, self._jobs.all()
        query = dict(parse_qsl(request.query, keep_blank_values=True))
        size, first = len(jobs), 0
        if pages is not None:
            size, place = pages.size, query.get(pages.query, "")
            if place and pages.alone and set(query) != {pages.query}:
                return json_response(400, {"message": f"{pages.query} must be the only parameter"})
            if place and pages.by == "last":
                first = next((job.number for job in jobs if job.job_id == place), len(jobs))
            elif place:
                first = (int(place) - 1) * size
        page, more = jobs[first : first + size], first + size < len(jobs)
        base, following = self._base(), str(first // max(size, 1) + 2)
        values: dict[str, object] = {
            "jobs": [self._jobs.values(job, base, request.at)["job"] for job in page],
            "more": more,
            "first": page[0].job_id if page else None,
            "last": page[-1].job_id if page else None,
            "next": following if more else None,
        }
        response = self._respond_with(route.answer, values)
        if pages is not None and pages.by == "link" and more:
            link = f'<{self.url}{request.path}?{pages.query}={following}>; rel="next"'
            response = SimulatedResponse(response.status, {**response.headers, "Link": link}, response.body)
        return response

    def _respond_about(self, answer: VendorAnswer, job: VendorJob, now: datetime) -> SimulatedResponse:
        return self._respond_with(answer, self._jobs.values(job, self._base(), now))

    def _issue_token(self, endpoint: TokenEndpoint, request: Request) -> SimulatedResponse:
        base = self._base()
        received = (_form(request), dict(parse_qsl(request.query, keep_blank_values=True)))
        for sent, expected in zip(received, (endpoint.form, endpoint.query), strict=True):
            if expected is not None and sent != {name: fill_text(value, base) for name, value in expected.items()}:
                return self._respond_with(endpoint.refused, {})
        if not _holds(request.headers, endpoint.headers, base):
            return self._respond_with(endpoint.refused, {})
        return self._respond_with(endpoint.answer, {"token": self.new_token(), "life": endpoint.life_seconds})

    def _has_credentials(self, request: Request) -> bool:
        with self._lock:
            if self._refusals > 0:
                self._refusals -= 1
                return False
            tokens = [token for token, until in self._tokens.items() if request.at < until]
        base = self._base()
        return any(
            _holds(request.headers, accepted, {**base, "token": token})
            for accepted in (self.scenario.credentials, *self.scenario.also_accepted)
            for token in (tokens if self.scenario.token is not None else [""])
        )

    def _mistake(self, route: Route, request: Request) -> str | None:
        base = {**self._base(), "id": request.target.build_id}
        if route.expect is not None and _without_nulls(_body(request)) != fill(route.expect, base):
            return f"the body is not the documented one: {request.body[:500]!r}"
        if route.expect_form is not None and _form(request) != route.expect_form:
            return f"the form is not the documented one: {sorted(_form(request))}"
        if not _holds(request.headers, route.expect_headers, base):
            return f"a header is missing: {', '.join(route.expect_headers)}"
        query = dict(parse_qsl(request.query, keep_blank_values=True))
        is_next_page = self.scenario.pages is not None and self.scenario.pages.query in query
        if not is_next_page and not _holds(query, route.expect_query, base, fold=False):
            return f"the query is not the documented one: {sorted(query)}"
        return None

    def _base(self) -> dict[str, object]:
        secret = self.scenario.secret
        fields = secret if isinstance(secret, dict) else {}
        pair = f"{fields.get('client_id', '')}:{fields.get('client_secret', '')}"
        return {
            "api": self._origin(API_HOST),
            "artifacts": self._origin(ARTIFACT_HOST),
            "scope": self.scenario.scope,
            "secret": secret,
            "basic": base64.b64encode(pair.encode()).decode(),
            "input": self.scenario.input,
        }

    def _respond_with(self, answer: VendorAnswer, values: Mapping[str, object]) -> SimulatedResponse:
        filled = {**self._base(), **values}
        headers = {name: fill_text(value, filled) for name, value in answer.headers.items()}
        if answer.body is None:
            return SimulatedResponse(answer.status, headers)
        body = json.dumps(fill(answer.body, filled)).encode()
        return SimulatedResponse(answer.status, {"Content-Type": answer.content_type, **headers}, body)


def _body(request: Request) -> JsonValue:
    try:
        return request.json() if request.body else None
    except ValueError:
        return None


def _without_nulls(body: JsonValue) -> JsonValue:
    """Return a body without the fields that are null, which some clients write for what is not there."""
    if isinstance(body, dict):
        return {name: _without_nulls(value) for name, value in body.items() if value is not None}
    return body


def _form(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))


def _job_id(route: Route, found: Mapping[str, str], query: str, body: bytes) -> str:
    if route.id_in is None:
        return found["id"] if "id" in found else found.get("file", "").rpartition("-")[0]
    place, _, name = route.id_in.partition(".")
    if place == "query":
        return dict(parse_qsl(query)).get(name, "")
    try:
        value: object = json.loads(body)
    except ValueError:
        return ""
    for step in name.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return str(value or "")


def _holds(
    received: Mapping[str, str], expected: Mapping[str, str], values: Mapping[str, object], *, fold: bool = True
) -> bool:
    return all(
        received.get(name.lower() if fold else name) == fill_text(value, values) for name, value in expected.items()
    )
