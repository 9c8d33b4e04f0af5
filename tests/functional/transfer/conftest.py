from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests
from moto.s3.exceptions import NoSuchUpload
from moto.s3.models import FakeKey, S3Backend
from moto.s3.responses import S3Response
from moto.server import ThreadedMotoServer
from typing_extensions import override

from courier.transfer.options import MIB
from local.simulator import (
    AirtAccount,
    FaultPlan,
    JobPlan,
    LinkPolicy,
    ManualClock,
    Project,
    Scenario,
    ScheduledJob,
    SimulatedProviders,
)
from tests.functional.transfer.harness import BUCKET, CopyHarness, s3_client

JOB = "2489e9ad-2ee2-4e00-8ec9-32d5f69181c0"
NewHarness = Callable[..., CopyHarness]


class Backend(S3Backend):
    """moto responds 500 for an upload that is gone; S3 responds 404 NoSuchUpload."""

    moto_upload_part = S3Backend.upload_part
    moto_complete = S3Backend.complete_multipart_upload

    @override
    def upload_part(self, bucket_name: str, multipart_id: str, part_id: int, value: bytes) -> FakeKey:
        Backend.check(self, bucket_name, multipart_id)
        return Backend.moto_upload_part(self, bucket_name, multipart_id, part_id, value)

    @override
    def complete_multipart_upload(
        self, bucket_name: str, multipart_id: str, body: Iterator[tuple[int, str]]
    ) -> FakeKey | None:
        Backend.check(self, bucket_name, multipart_id)
        return Backend.moto_complete(self, bucket_name, multipart_id, body)

    def check(self, bucket_name: str, multipart_id: str) -> None:
        if multipart_id not in self.get_bucket(bucket_name).multiparts:
            raise NoSuchUpload(upload_id=multipart_id)


class Response(S3Response):
    """moto checks whether a key exists, then creates it; S3 does both atomically."""

    moto_response = S3Response.key_response
    one_at_a_time = threading.RLock()

    @override
    def key_response(self, *args: Any, **kwargs: Any) -> Any:
        with Response.one_at_a_time:
            return Response.moto_response(self, *args, **kwargs)


@pytest.fixture(scope="session")
def aws_endpoint() -> Iterator[str]:
    """S3 behind real HTTP."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(S3Backend, "upload_part", Backend.upload_part)
        patch.setattr(S3Backend, "complete_multipart_upload", Backend.complete_multipart_upload)
        patch.setattr(S3Response, "key_response", Response.key_response)
        yield from _serve()


def _serve() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def new_harness(aws_endpoint: str) -> Iterator[NewHarness]:
    """A harness for a report of a size; at the end, the report is whole or absent, and no upload is open."""
    with ExitStack() as stack:
        requests.post(f"{aws_endpoint}/moto-api/reset", timeout=5).raise_for_status()
        harnesses: list[CopyHarness] = []

        def open_one(
            size_bytes: int = 12 * MIB, *, url_policy: LinkPolicy = LinkPolicy.FRESH, tls: bool = False
        ) -> CopyHarness:
            clock, faults = ManualClock(), FaultPlan()
            job = ScheduledJob(JOB, JobPlan(artifact_bytes=size_bytes), created_offset_seconds=-600)
            project = Project(slug="chatbot", uuid=JOB, jobs=(job,))
            scenario = Scenario(airt=AirtAccount(projects=(project,), url_policy=url_policy))
            providers = stack.enter_context(SimulatedProviders(scenario, clock=clock, faults=faults, tls=tls))
            s3 = s3_client(aws_endpoint)
            s3.create_bucket(Bucket=BUCKET)
            harnesses.append(CopyHarness(providers=providers, s3=s3, clock=clock, job_id=JOB, faults=faults))
            return harnesses[-1]

        yield open_one
        for harness in harnesses:
            assert harness.stored() in harness.allowed_contents()
            assert harness.open_uploads() == []
            assert harness.checkpoints.load() is None
