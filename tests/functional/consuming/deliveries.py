"""Builds with every outcome, recorded and announced by the courier's own code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

import boto3

from courier.errors import SourceUnauthorizedError
from courier.models import (
    AccountLimits,
    Build,
    BuildRef,
    BuildStatus,
    NextStep,
    Outcome,
    Passage,
    Problem,
    StoredArtifact,
)
from courier.object_keys import artifact_key
from courier.outcomes.notices import Notice, Publication, build_notice, source_notice
from courier.outcomes.records import Record, RecordStore, make_record
from tests.support.aws import BUCKET
from tests.support.providers import REGION

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

STACK = "build-courier"
EXECUTION = "arn:aws:states:eu-central-1:123456789012:execution:build-courier-build-lifecycle:a-build"
SALES = "5d1d4f1c-1111-4222-8333-444444444444"
STOCK = "5d1d4f1c-2222-4222-8333-444444444444"
MIDNIGHT = datetime(2026, 4, 16, tzinfo=UTC)
REPORT = b"%PDF-1.7\nthe report\n%%EOF\n"
# What the courier reports if the provider gives no reason; shortened in the document.
FAILED = Problem(
    name="BuildFailed",
    message="the provider reports that the build failed, without a reason",
    advice="Build from less data, or ask for a higher limit.",
)


@dataclass(frozen=True)
class Delivery:
    """One announced build."""

    record: Record
    key: str
    publication: Publication

    @property
    def notice(self) -> Notice:
        return Notice.model_validate_json(self.publication.message["default"])

    @property
    def label(self) -> str:
        return f"{self.record.build.source} {self.record.outcome}"


def deliver_all() -> list[Delivery]:
    """Record and announce one build for each outcome, two of them on the next day, and two that failed."""
    s3: S3Client = boto3.client("s3", region_name=REGION)
    insights = ("insights", STOCK, "treasure_insights")
    chatbot = ("red-team", "acme/main/chatbot", "dreadnode_airt")
    other = ("red-team", "acme/lab/agents", "dreadnode_airt")
    return [
        deliver(s3, insights, "0b0f6d0e-5a57-4a53-9a0a-3f1f7a1c0001", Outcome.FAILED, problem=FAILED),
        deliver(s3, ("insights", SALES, "treasure_insights"), "b2", Outcome.SUCCEEDED),
        deliver(s3, insights, "b3", Outcome.CANCELED),
        deliver(s3, insights, "b4", Outcome.TIMED_OUT),
        deliver(s3, insights, "b5", Outcome.LOST),
        deliver(s3, chatbot, "j1", Outcome.DELIVERED),
        deliver(s3, other, "j2", Outcome.DELIVERED, later=timedelta(hours=12)),
        deliver(s3, chatbot, "j3", Outcome.FAILED, problem=FAILED),
        deliver(s3, chatbot, "j4", Outcome.UNDELIVERABLE, later=timedelta(hours=12)),
        deliver(s3, ("sandbox", "acme/main/sandbox", "dreadnode_airt"), "request-1", Outcome.EMPTY),
    ]


def deliver(
    s3: S3Client,
    where: tuple[str, str, str],
    build_id: str,
    outcome: Outcome,
    *,
    later: timedelta = timedelta(),
    problem: Problem | None = None,
) -> Delivery:
    """Record and announce one build, which ended 20 minutes after it was created at noon."""
    source, scope, provider = where
    ref = BuildRef(source=source, scope=scope, build_id=build_id)
    created = MIDNIGHT - timedelta(hours=12) + later
    ended = created + timedelta(minutes=20)
    known = outcome in {Outcome.DELIVERED, Outcome.SUCCEEDED, Outcome.FAILED, Outcome.UNDELIVERABLE}
    passage = Passage(
        provider=provider,
        build=Build(
            ref=ref,
            status=BuildStatus.SUCCEEDED,
            created_at=created,
            completed_at=ended - timedelta(seconds=40) if known else None,
        ),
        verdict=NextStep.RECORD,
        first_seen_at=created,
        detected_at=ended,
        wait_seconds=86_400,
        polls=4,
        problem=problem,
        limits=AccountLimits(build_size_gb=8, query_size_gb=4) if problem else None,
        artifact=_store(s3, ref, ended) if outcome is Outcome.DELIVERED else None,
    )
    record = make_record(passage, provider=provider, outcome=outcome, ended_at=ended, stack=STACK, execution=EXECUTION)
    store = RecordStore(BUCKET, "", s3)
    key = store.key_of(record)
    store.write(record, key)
    if record.is_good:
        store.write_latest(record)
    return Delivery(record, key, build_notice(record, bucket=BUCKET, key=key))


def source_notices() -> list[Publication]:
    """Announce that a source is unhealthy, and that it has recovered."""
    problem = Problem(name=SourceUnauthorizedError.__name__, message="insights: list_builds returned 401")
    about = {"source": "insights", "provider": "treasure_insights", "stack": STACK, "since": MIDNIGHT}
    return [
        source_notice(**about, problem=problem, now=MIDNIGHT),  # type: ignore[arg-type]  # a dict of mixed values
        source_notice(**about, problem=None, now=MIDNIGHT + timedelta(hours=1)),  # type: ignore[arg-type]  # as above
    ]


def publish(topic_arn: str, publication: Publication) -> None:
    """Publish like the state Notify of the state machine."""
    boto3.client("sns", region_name=REGION).publish(
        TopicArn=topic_arn,
        Subject=publication.subject,
        Message=json.dumps(publication.message),
        MessageStructure="json",
        MessageAttributes=publication.attributes,  # type: ignore[arg-type]  # the shape is SNS's own
    )


def _store(s3: S3Client, ref: BuildRef, ended: datetime) -> StoredArtifact:
    key = artifact_key("", ref, ended, f"{ref.build_id}.pdf")
    response = s3.put_object(Bucket=BUCKET, Key=key, Body=REPORT, ContentType="application/pdf")
    return StoredArtifact(
        bucket=BUCKET,
        key=key,
        version_id=response.get("VersionId"),
        size_bytes=len(REPORT),
        sha256=sha256(REPORT).hexdigest(),
        content_type="application/pdf",
        verified=True,
        copied_at=ended,
    )
