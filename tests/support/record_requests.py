"""Events of ``record_outcome``, and what it leaves in the bucket."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from courier.models import Build, BuildStatus, CaughtError, NextStep, Passage, StoredArtifact
from courier.outcomes.notices import Publication
from courier.usecases.record_outcome import RecordRequest, record_outcome
from tests.support.aws import BUCKET, s3
from tests.support.container import FakeContainer
from tests.support.providers import HOUR, NOON, build_of, passage_of

EXECUTION = (
    "arn:aws:states:eu-central-1:123456789012:execution:build-courier-build-lifecycle:insights-b1-0123456789abcdef"
)
LATER = NOON + timedelta(minutes=1)
ENDED = build_of("b1", BuildStatus.SUCCEEDED, completed=NOON - HOUR, created=NOON - 2 * HOUR)


def artifact(**fields: object) -> StoredArtifact:
    usual = {"bucket": BUCKET, "key": "artifacts/insights/sales/2026/04/15/b1/b1.pdf", "size_bytes": 3}
    known = {"sha256": "0" * 64, "content_type": "application/pdf", "verified": True, "copied_at": LATER}
    return StoredArtifact.model_validate({**usual, **known, **fields})


def ended(build: Build = ENDED, **fields: object) -> Passage:
    return passage_of(build, NextStep.RECORD, detected_at=NOON, **fields)


def caught(error: str, cause: str = "") -> CaughtError:
    return CaughtError(Error=error, Cause=cause)


def lambda_cause(message: str, **more: object) -> str:
    return json.dumps({"errorMessage": message, "errorType": "ArtifactExpiredError", "requestId": "r", **more})


def record(container: FakeContainer, passage: Passage, entered_at: datetime = LATER) -> Publication:
    return record_outcome(container, RecordRequest(passage=passage, execution=EXECUTION, entered_at=entered_at))


def event_of(publication: Publication) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(publication.message["default"])
    return event


def objects() -> dict[str, bytes]:
    client = s3()
    listed = client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {entry["Key"]: client.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read() for entry in listed}
