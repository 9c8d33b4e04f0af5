"""The jobs of a simulated vendor and their files; what a poll says of a job follows from its course and the clock."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from local.simulator.artifact_store import ArtifactObject, ArtifactStore, etag_of
from local.simulator.messages import JsonValue
from local.simulator.presigning import Signer
from local.simulator.vendor_scenario import Course, JobState, VendorFile, VendorScenario
from local.simulator.vendor_templates import ROWS, fill, fill_text, make_file

BUCKET = "vendor-files"
_ENDS = frozenset({"succeeded", "failed", "canceled", "empty", "gone"})


@dataclass
class VendorJob:
    """One job: its words follow from its course and the clock, until it is canceled."""

    number: int
    job_id: str
    course: Course
    created: datetime
    seconds: float
    request: JsonValue
    begun: datetime | None
    """When the course begins: at once, or with the second step of a vendor that has one."""
    canceled: tuple[str, datetime] | None = None

    def word(self, now: datetime) -> str:
        """Return the word at an instant."""
        if self.canceled is not None:
            return self.canceled[0]
        passed = 0.0 if self.begun is None else (now - self.begun).total_seconds() / self.seconds
        return self.course.words[min(len(self.course.words) - 1, int(passed))]

    def started(self, now: datetime) -> datetime | None:
        """Return when the second word began; None before."""
        at = None if self.begun is None else self.begun + timedelta(seconds=self.seconds)
        return at if at is not None and at <= now else None

    def ended(self) -> datetime:
        """Return when the last word begins."""
        if self.canceled is not None:
            return self.canceled[1]
        return (self.begun or self.created) + timedelta(seconds=self.seconds * (len(self.course.words) - 1))


class VendorJobs:
    """All jobs of one vendor, in the order of their start.

    Attributes
    ----------
    store
        Holds the files behind presigned links.
    courses
        The courses of the next jobs; without one, a job takes the scenario's.
    """

    def __init__(self, scenario: VendorScenario) -> None:
        self.store = ArtifactStore(BUCKET, Signer(secret_key=scenario.api), self._stored_file)
        self.courses: deque[Course] = deque()
        self._scenario = scenario
        self._has_step = any(route.kind == "step" for route in scenario.routes)
        self._jobs: dict[str, VendorJob] = {}
        self._links = 0

    def start(self, request: JsonValue, now: datetime, course: Course | None = None) -> VendorJob:
        """Start a job, with the next planned course if none is given."""
        template, number = self._scenario.job, len(self._jobs) + 1
        job = VendorJob(
            number=number,
            job_id=fill_text(template.id, {"n": f"{number:03d}"}),
            course=course or (self.courses.popleft() if self.courses else template.course),
            created=now,
            seconds=template.seconds,
            request=request,
            begun=None if self._has_step else now,
        )
        self._jobs[job.job_id] = job
        return job

    def find(self, job_id: str) -> VendorJob | None:
        """Return a job; None where there is none."""
        return self._jobs.get(job_id)

    def all(self) -> list[VendorJob]:
        """Return the jobs, oldest first."""
        return list(self._jobs.values())

    def state(self, job: VendorJob, now: datetime) -> JobState | None:
        """Return the state of a job's word; None for a word that the vendor does not document."""
        return self._scenario.job.state(job.word(now))

    def file_bytes(self, job: VendorJob, number: int = 1) -> bytes:
        """Return a file of a job, byte for byte.

        Raises
        ------
        ValueError
            The vendor's jobs leave none.
        """
        if self._scenario.file is None:
            raise ValueError(f"{self._scenario.api} leaves no file")
        return make_file(self._scenario.file.format, f"{job.job_id}-{number}")

    def values(self, job: VendorJob, base: Mapping[str, object], now: datetime) -> dict[str, object]:
        """Return what the placeholders of an answer about a job stand for."""
        state = self.state(job, now)
        ended = job.ended() if state is not None and state.means in _ENDS else None
        values: dict[str, object] = {
            **base,
            "id": job.job_id,
            "number": int(job.job_id) if job.job_id.isdigit() else job.number,
            "word": job.word(now),
            "request": job.request,
            "created": job.created,
            "started": job.started(now),
            "ended": ended,
            "now": now,
            "updated": ended or now,
            "due": job.created + timedelta(days=1),
        }
        if self._scenario.file is not None and state is not None and state.means == "succeeded":
            values |= self._files(job, self._scenario.file, values, now)
        body = {**self._scenario.job.body, **(state.body if state is not None else {})}
        return {**values, "job": fill(body, values)}

    def _files(
        self, job: VendorJob, stored: VendorFile, values: Mapping[str, object], now: datetime
    ) -> dict[str, object]:
        entries = [self._file(job, stored, number, values, now) for number in range(1, job.course.files + 1)]
        listed = [fill(stored.each, {**values, **entry}) for entry in entries]
        rows = ROWS if entries else 0
        return {**(entries[0] if entries else {}), "files": listed, "files_count": len(listed), "rows": rows}

    def _file(
        self, job: VendorJob, stored: VendorFile, number: int, values: Mapping[str, object], now: datetime
    ) -> dict[str, object]:
        content, file_id, signed_at = self.file_bytes(job, number), f"{job.job_id}-{number}", now.replace(microsecond=0)
        if stored.address is not None:
            link = fill_text(stored.address, {**values, "file": file_id})
        else:
            self._links += 1
            link = self.store.presigned_url(
                f"{job.number:03d}-{number}",
                at=signed_at,
                lifetime_seconds=stored.life_seconds,
                token_expires_at=None,
                serial=self._links,
            )
        return {
            "link": link,
            "size": len(content),
            "checksum": f"sha256:{hashlib.sha256(content).hexdigest()}",
            "expires": signed_at + timedelta(seconds=stored.life_seconds),
            "file": file_id,
        }

    def _stored_file(self, key: str, now: datetime) -> ArtifactObject | None:
        number, _, part = key.partition("-")
        job = next((job for job in self._jobs.values() if f"{job.number:03d}" == number), None)
        if job is None or self._scenario.file is None:
            return None
        content = self.file_bytes(job, int(part))
        return ArtifactObject(content, min(job.ended(), now), etag_of(content), self._scenario.file.content_type)
