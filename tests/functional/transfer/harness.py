"""What the functional tests of the copy share: a simulated provider, S3 in this process, and one call of the copy."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import boto3
import requests
from botocore.awsrequest import AWSPreparedRequest, AWSResponse, HeadersDict
from typing_extensions import override

from courier.backoff import Backoff
from courier.links import ArtifactLink, SecretUrl
from courier.models import StoredArtifact
from courier.transfer.checkpoint import MemoryCheckpointStore
from courier.transfer.copy import copy
from courier.transfer.options import MIB, CopyOptions, Destination, Expected
from courier.transfer.s3_calls import storage_config
from courier.transfer.upload_cleanup import abort_upload
from courier.transfer.url_policy import LinkRules
from local.simulator import FaultPlan, FaultRule, ManualClock, RequestKind, SimulatedProviders
from local.simulator.artifact_store import ArtifactObject, etag_of
from local.simulator.faults import Fault

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

BUCKET = "reports"
KEY = "artifacts/red-team/acme/main/chatbot/report.pdf"
SCOPE = ("acme", "main", "chatbot")
API_KEY = "dn_key_0123456789abcdef"


@dataclass(frozen=True)
class OtherReport(Fault):
    """The object was replaced: a report of the same size, with another ETag."""

    number: int = 1

    @override
    def on_object(self, stored: ArtifactObject) -> ArtifactObject:
        content = other_report(stored.content, self.number)
        return ArtifactObject(content, stored.modified_at, etag_of(content))


def other_report(report: bytes, number: int = 1) -> bytes:
    middle = len(report) // 2
    return report[:middle] + bytes([number]) * 16 + report[middle + 16 :]


@dataclass
class CopyHarness:
    """One source, one bucket, and every argument of a copy, which a test may replace.

    `waits` are the pauses of the copy; `links` are what the provider returned.
    """

    providers: SimulatedProviders
    s3: S3Client
    clock: ManualClock
    job_id: str
    faults: FaultPlan
    checkpoints: MemoryCheckpointStore = field(default_factory=lambda: MemoryCheckpointStore(outlives_process=True))
    waits: list[float] = field(default_factory=list)
    links: list[ArtifactLink] = field(default_factory=list)
    progress: list[tuple[int, int | None]] = field(default_factory=list)
    others: list[bytes] = field(default_factory=list)

    @property
    def report(self) -> bytes:
        return self.providers.artifact_bytes(self.job_id)

    @property
    def destination(self) -> Destination:
        return Destination(bucket=BUCKET, key=KEY)

    def allowed_contents(self) -> list[bytes | None]:
        """Return what may be stored under the key when a test is over; a test adds what it stored itself."""
        return [None, self.report, *self.others]

    def fresh_client(self) -> S3Client:
        """Return another client, without the interceptors of this one."""
        return s3_client(self.s3.meta.endpoint_url)

    def inject(self, fault: Fault, *, nth: int = 1, times: int | None = 1) -> None:
        """Inject a fault into requests for the artifact, from the nth on."""
        self.faults.add(FaultRule(fault, RequestKind.ARTIFACT, nth=nth, times=times))

    def locate(self, *, size_bytes: int | None = -1) -> ArtifactLink:
        """Request the job from the API, as a provider does."""
        org, workspace, project = SCOPE
        path = f"/api/v1/org/{org}/ws/{workspace}/airt/projects/{project}/reports/build/{self.job_id}"
        headers = {"Authorization": f"Bearer {API_KEY}"}
        ca_file = self.providers.ca_file
        job = requests.get(self.providers.url + path, headers=headers, timeout=5, verify=str(ca_file or "")).json()
        size = job["file_size_bytes"] if size_bytes == -1 else size_bytes
        link = ArtifactLink(
            url=SecretUrl(job["presigned_url"]),
            size_bytes=size,
            expires_at=datetime.fromisoformat(job["url_expires_at"]),
            filename="report.pdf",
        )
        self.links.append(link)
        return link

    def locate_without_size(self) -> ArtifactLink:
        """Request the job from an API that does not return the size."""
        return self.locate(size_bytes=None)

    def copy(
        self,
        *,
        locate: Callable[[], ArtifactLink] | None = None,
        content_types: Sequence[str] = ("application/pdf",),
        largest_bytes: int = 1024 * MIB,
        sha256: str | None = None,
        rules: LinkRules | None = None,
        seconds_left: Callable[[], float] = lambda: 900.0,
        options: CopyOptions | None = None,
        s3: S3Client | None = None,
        **more: Any,  # noqa: ANN401 - handed on
    ) -> StoredArtifact:
        """Copy the report, in parts of 5 MiB; the S3 stands for Amazon's unless the call says otherwise."""
        honours_conditions = more.pop("honours_conditions", True)
        return copy(
            locate or self.locate,
            more.pop("destination", self.destination),
            s3=s3 or self.s3,
            rules=rules or LinkRules.parse([], loopback=True),
            expected=Expected(content_types=tuple(content_types), largest_bytes=largest_bytes, sha256=sha256),
            checkpoints=more.pop("checkpoints", self.checkpoints),
            seconds_left=seconds_left,
            options=replace(
                options or CopyOptions(workers=4, part_size_bytes=5 * MIB), honours_conditions=honours_conditions
            ),
            backoff=Backoff(random=lambda: 0.5, sleep=self.waits.append),
            clock=self.clock,
            progress=lambda done, total: self.progress.append((done, total)),
            **more,
        )

    def stored(self, key: str = KEY) -> bytes | None:
        """Return what is stored under the key."""
        try:
            return self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        except self.s3.exceptions.NoSuchKey:
            return None

    def open_uploads(self) -> list[str]:
        return [upload["UploadId"] for upload in self.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]

    def discard_upload(self) -> None:
        """Do what `record_outcome` does for a copy that is given up."""
        checkpoint = self.checkpoints.load()
        if checkpoint is not None:
            abort_upload(self.s3, self.destination, checkpoint.upload_id)
            self.checkpoints.clear(checkpoint.upload_id)

    def statuses(self) -> list[int | None]:
        """Return the status of each request for the artifact, in the order of the responses."""
        return [entry.status for entry in self.providers.requests.of(RequestKind.ARTIFACT)]

    def ranges(self) -> list[str | None]:
        return [entry.range for entry in self.providers.requests.of(RequestKind.ARTIFACT)]


def s3_client(endpoint: str) -> S3Client:
    client: S3Client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=storage_config(),
    )
    return client


class S3Interceptor:
    """Sees every S3 request before it is sent, and may respond in place of S3.

    A plan names an operation and what to do when it is called for the nth time: respond with an
    HTTP status and an S3 error code, or call a function.
    """

    def __init__(self, s3: S3Client) -> None:
        self._plans: list[tuple[str, int, int | None, Callable[[], AWSResponse | None]]] = []
        self._lock = threading.Lock()
        self.calls: list[str] = []
        self._events = s3.meta.events
        self._events.register_first("before-send.s3", self._on_send)  # type: ignore[arg-type]  # the stubs know no handlers that respond

    def respond(self, operation: str, status: int, code: str, *, nth: int = 1, times: int | None = 1) -> None:
        """Respond with an error in place of S3."""
        self._plans.append((operation, nth, times, lambda: _response(status, _error_body(code))))

    def respond_with(
        self, operation: str, body: bytes, *, status: int = 200, nth: int = 1, times: int | None = 1
    ) -> None:
        """Respond with any body in place of S3, such as a page of a proxy, or nothing at all."""
        self._plans.append((operation, nth, times, lambda: _response(status, body)))

    def ignore_conditions(self) -> None:
        """Take If-None-Match away, as a store does that does not know it."""

        def drop(request: AWSPreparedRequest, **_: object) -> None:
            if "If-None-Match" in request.headers:
                del request.headers["If-None-Match"]

        for operation in ("PutObject", "CompleteMultipartUpload"):
            self._events.register_first(f"before-send.s3.{operation}", drop)

    def call(self, operation: str, action: Callable[[], object], *, nth: int = 1) -> None:
        """Call a function just before the request is sent."""

        def run() -> None:
            action()

        self._plans.append((operation, nth, 1, run))

    def call_when(self, operation: str, condition: Callable[[], bool], action: Callable[[], object]) -> None:
        """Call a function before every request while a condition holds."""

        def run() -> None:
            if condition():
                action()

        self._plans.append((operation, 1, None, run))

    def lose_response(self, operation: str, *, nth: int = 1, status: int = 500, body: bytes | None = None) -> None:
        """Let the request have its effect, and respond 500 in place of S3, or with something else."""
        seen = [0]

        def lose(response_dict: dict[str, Any], **_: object) -> None:
            seen[0] += 1
            if seen[0] == nth:
                instead = _error_body("InternalError") if body is None else body
                response_dict.update(status_code=status, headers=HeadersDict(), body=instead)

        self._events.register(f"before-parse.s3.{operation}", lose)

    def _on_send(self, event_name: str, **_: object) -> AWSResponse | None:
        operation = event_name.rpartition(".")[2]
        with self._lock:
            self.calls.append(operation)
            number = self.calls.count(operation)
        for planned, nth, times, act in self._plans:
            if planned == operation and number >= nth and (times is None or number < nth + times):
                response = act()
                if response is not None:
                    return response
        return None


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: object, **__: object) -> list[bytes]:
        return [self._body]


def _error_body(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>simulated</Message></Error>".encode()


def _response(status: int, body: bytes) -> AWSResponse:
    headers = HeadersDict({"content-type": "application/xml"})
    # The stubs require urllib3's class, botocore itself passes this one.
    return AWSResponse("https://s3.amazonaws.com/", status, headers, _Raw(body))  # type: ignore[arg-type]


class Invocation:
    """The time of one invocation: plenty until a test ends it.

    45 seconds are too little to begin a part, and enough to finish those that were begun; 5 are nothing.
    """

    def __init__(self, seconds: float = 900.0) -> None:
        self._seconds = seconds

    def __call__(self) -> float:
        return self._seconds

    def nearly_end(self) -> None:
        self._seconds = 45.0

    def end(self) -> None:
        self._seconds = 5.0
