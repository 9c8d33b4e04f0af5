"""The simulated Dreadnode AIRT project reports (docs/source-apis.md, API 2)."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from random import Random
from typing import Final
from uuid import UUID

from local.simulator.artifact_store import ArtifactObject, ArtifactStore, etag_of
from local.simulator.error_bodies import airt_error
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
from local.simulator.presigning import Signer
from local.simulator.report_request import (
    InvalidRequestError,
    UnknownTemplateError,
    chosen_sections,
    empty_sections_body,
)
from local.simulator.reports import make_report
from local.simulator.scenario import AirtAccount, JobPlan, LinkPolicy, Project
from local.simulator.timeformat import iso_z

PATH: Final = re.compile(
    r"/api/v1/org/(?P<org>[^/]+)/ws/(?P<ws>[^/]+)/airt/projects/(?P<project>[^/]+)/reports/(?P<rest>.+)\Z"
)


@dataclass(frozen=True)
class SimulatedJob:
    """One report job; its state follows from its plan and the clock."""

    job_id: str
    project: Project
    created: datetime
    plan: JobPlan

    @property
    def completed(self) -> datetime:
        """When the job ends, successfully or not."""
        return self.created + timedelta(seconds=self.plan.queue_seconds + self.plan.run_seconds)

    @property
    def artifact_key(self) -> str:
        """The report's key in the bucket."""
        return f"airt/{self.project.scope}/{self.job_id}.pdf"

    def at(self, now: datetime) -> BuildState:
        """Return the state at `now`."""
        started = self.created + timedelta(seconds=self.plan.queue_seconds)
        ended, status = now >= self.completed, self.plan.final_status
        return BuildState(
            provider=ProviderName.DREADNODE_AIRT,
            scope=self.project.scope,
            build_id=self.job_id,
            status=status if ended else "in_progress" if now >= started else "queued",
            created=self.created,
            started=started if now >= started else None,
            completed=self.completed if ended else None,
            artifact_bytes=self.plan.artifact_bytes if ended and status == "completed" else None,
            error_message=self.plan.error_message if ended and status == "failed" else None,
        )


class SimulatedDreadnodeAirt:
    """The platform with its projects; the state of their jobs follows from the instant of each request."""

    def __init__(self, account: AirtAccount, *, seed: str, started_at: datetime) -> None:
        self.account = account
        self.key = account.key
        self._seed = seed
        self._random = Random(f"{seed}/airt")  # noqa: S311 - ids of a simulation
        self._lock = threading.Lock()
        self._projects = account.projects
        self._started_count = dict.fromkeys((project.scope for project in account.projects), 0)
        self._serials = count(1)
        self._jobs: dict[str, SimulatedJob] = {}
        # Hashing tens of MB for each part of a copy would cost more than serving it.
        self._etags: dict[str, str] = {}
        for project in account.projects:
            for scheduled in project.jobs:
                created = started_at + timedelta(seconds=scheduled.created_offset_seconds)
                self._jobs[scheduled.job_id] = SimulatedJob(scheduled.job_id, project, created, scheduled.plan)
        self.store = ArtifactStore(account.bucket, Signer(secret_key=f"{seed}/secret"), self._stored_report)

    def build_states(self, now: datetime) -> tuple[BuildState, ...]:
        """Return every job that exists at `now`, oldest first."""
        jobs = sorted(self._jobs.values(), key=lambda job: job.created)
        return tuple(job.at(now) for job in jobs if job.created <= now)

    def report(self, job_id: str) -> bytes:
        """Return the report of a job.

        Raises
        ------
        KeyError
            There is no such job.
        """
        return make_report(f"{self._seed}/{job_id}", self._jobs[job_id].plan.artifact_bytes)

    def target(self, method: str, path: str) -> RequestTarget | None:
        """Return the target of a request, or None if the path is not part of this API."""
        match = PATH.match(path)
        if match is None:
            return None
        project = self._project(match["org"], match["ws"], match["project"])
        scope = project.scope if project else f"{match['org']}/{match['ws']}/{match['project']}"
        kind, job_id = RequestKind.OTHER, ""
        match method, match["rest"].split("/"):
            case "POST", ["preflight"]:
                kind = RequestKind.PREFLIGHT
            case "POST", ["build"]:
                kind = RequestKind.START_JOB
            case "GET", ["build", job_id]:
                kind = RequestKind.GET_JOB
        return RequestTarget(ProviderName.DREADNODE_AIRT, kind, scope, job_id)

    def artifact_target(self, path: str) -> RequestTarget | None:
        """Return the job whose report a path of the store names, or None if the path is not part of the store."""
        if not path.startswith(f"/{self.store.bucket}/"):
            return None
        *_, organization, workspace, project, name = path.split("/")
        scope = f"{organization}/{workspace}/{project}"
        return RequestTarget(ProviderName.ARTIFACT_STORE, RequestKind.ARTIFACT, scope, name.removesuffix(".pdf"))

    def respond(self, request: Request) -> SimulatedResponse:
        """Return the response to one request to the API; the store has its own."""
        error = self._check_key(request.headers)
        if error is not None:
            return error
        project = next((project for project in self._projects if project.scope == request.target.scope), None)
        if project is None:
            return airt_error(404)
        match request.target.kind:
            case RequestKind.PREFLIGHT:
                return self._build(request, project, dry_run=True)
            case RequestKind.START_JOB:
                return self._build(request, project, dry_run=False)
            case RequestKind.GET_JOB:
                return self._get_job(request)
            case _:
                return airt_error(404)

    def _check_key(self, headers: Mapping[str, str]) -> SimulatedResponse | None:
        key = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        if key == self.key:
            return None
        return airt_error(403 if key in self.account.weak_keys else 401)

    def _build(self, request: Request, project: Project, *, dry_run: bool) -> SimulatedResponse:
        try:
            empty = chosen_sections(request.json(), project).empty(project)
        except InvalidRequestError as exc:
            return airt_error(422, errors=exc.errors)
        except UnknownTemplateError:
            return airt_error(404, "Template not found")
        except ValueError:
            return airt_error(422, errors=[{"loc": ["body"], "msg": "JSON decode error", "type": "json_invalid"}])
        if dry_run or empty:
            status = 200 if dry_run else 422
            return json_response(status, empty_sections_body(empty, self.account.empty_sections_shape))
        with self._lock:
            plans = project.when_started or (JobPlan(),)
            plan = plans[min(self._started_count[project.scope], len(plans) - 1)]
            self._started_count[project.scope] += 1
            job_id = str(UUID(int=self._random.getrandbits(128), version=4))
            job = SimulatedJob(job_id, project, request.at, plan)
            self._jobs[job_id] = job
        return json_response(202, self._job(job, request.at))

    def _get_job(self, request: Request) -> SimulatedResponse:
        job = self._jobs.get(request.target.build_id)
        if job is None or job.project.scope != request.target.scope or job.created > request.at:
            return airt_error(404)
        return json_response(200, self._job(job, request.at))

    def _job(self, job: SimulatedJob, now: datetime) -> JsonObject:
        state = job.at(now)
        url, expires_at = self._link(job, now) if state.status == "completed" else (None, None)
        return {
            "job_id": state.build_id,
            "status": state.status,
            "created_at": iso_z(state.created),
            "completed_at": None if state.completed is None else iso_z(state.completed),
            "error_message": state.error_message,
            "file_size_bytes": state.artifact_bytes or 0,
            "presigned_url": url,
            "url_expires_at": expires_at,
        }

    def _link(self, job: SimulatedJob, now: datetime) -> tuple[str, str]:
        """Return the presigned URL that the policy provides at `now`, and its expiry."""
        lifetime, token_lifetime = self.account.url_lifetime_seconds, self.account.token_lifetime_seconds
        policy = self.account.url_policy
        match policy:
            case LinkPolicy.FRESH:
                signed_at = now
            case LinkPolicy.STORED_FOREVER:
                signed_at = job.completed
            case LinkPolicy.STORED_UNTIL_EXPIRED:
                ages = (now - job.completed) // timedelta(seconds=lifetime)
                signed_at = job.completed + timedelta(seconds=ages * lifetime)
        signed_at = signed_at.replace(microsecond=0)  # X-Amz-Date has no fraction
        token_expires_at = None if token_lifetime is None else signed_at + timedelta(seconds=token_lifetime)
        url = self.store.presigned_url(
            job.artifact_key,
            at=signed_at,
            lifetime_seconds=lifetime,
            token_expires_at=token_expires_at,
            serial=next(self._serials) if policy is LinkPolicy.FRESH else None,
        )
        return url, iso_z(signed_at + timedelta(seconds=lifetime))

    def _stored_report(self, key: str, now: datetime) -> ArtifactObject | None:
        job = self._jobs.get(key.rpartition("/")[2].removesuffix(".pdf"))
        if job is None or job.artifact_key != key or job.at(now).artifact_bytes is None:
            return None
        report = self.report(job.job_id)
        if job.job_id not in self._etags:
            self._etags[job.job_id] = etag_of(report)
        return ArtifactObject(report, job.completed, self._etags[job.job_id])

    def _project(self, organization: str, workspace: str, name: str) -> Project | None:
        """Find a project by its slug or its UUID."""
        for project in self._projects:
            if (project.organization, project.workspace) == (organization, workspace) and name in {
                project.slug,
                project.uuid,
            }:
                return project
        return None
