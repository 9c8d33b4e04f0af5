"""The record of one ended build: a JSON object in S3 that says everything about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import AwareDatetime

from courier import keys
from courier.models import AccountLimits, BuildRef, FrozenModel, Outcome, Passage, Problem, StoredArtifact

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_s3 import S3Client

# A consumer that knows version 1 reads every 1.x record: fields are added, never removed or given another meaning.
SCHEMA_VERSION: Literal["1.0"] = "1.0"
# `latest` is contended only when two builds of one scope end at once; each lost race means another build won it.
LATEST_ATTEMPTS = 5


class Timeline(FrozenModel):
    """When what happened; the first three are the provider's words, the others ours."""

    created_at: AwareDatetime | None
    started_at: AwareDatetime | None
    completed_at: AwareDatetime | None
    first_seen_at: AwareDatetime
    detected_at: AwareDatetime
    copied_at: AwareDatetime | None


class CourierFacts(FrozenModel):
    """What the courier did: the execution's ARN, the looks it took, the stack it belongs to."""

    stack: str
    execution: str
    polls: int


class Record(FrozenModel):
    """Everything about one ended build."""

    schema_version: Literal["1.0"] = SCHEMA_VERSION
    build: BuildRef
    provider: str
    outcome: Outcome
    timeline: Timeline
    artifact: StoredArtifact | None
    problem: Problem | None
    limits: AccountLimits | None
    courier: CourierFacts

    @property
    def ended_at(self) -> datetime:
        """The provider's completion, else our detection: the date that keys are made of."""
        return self.timeline.completed_at or self.timeline.detected_at

    @property
    def is_good(self) -> bool:
        """Whether the build gave what it was made for."""
        return self.outcome in {Outcome.DELIVERED, Outcome.SUCCEEDED}


def make_record(
    passage: Passage, *, provider: str, outcome: Outcome, ended_at: datetime, stack: str, execution: str
) -> Record:
    """Put together what the passage brought; ``ended_at`` stands in where nobody detected an end."""
    build = passage.build
    return Record(
        build=build.ref,
        provider=provider,
        outcome=outcome,
        timeline=Timeline(
            created_at=build.created_at,
            started_at=build.started_at,
            completed_at=build.completed_at,
            first_seen_at=passage.first_seen_at,
            detected_at=passage.detected_at or ended_at,
            copied_at=passage.artifact.copied_at if passage.artifact else None,
        ),
        artifact=passage.artifact,
        problem=passage.problem,
        limits=passage.limits,
        courier=CourierFacts(stack=stack, execution=execution, polls=passage.polls),
    )


class RecordStore:
    """The records in the bucket."""

    def __init__(self, bucket: str, prefix: str, client: S3Client) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._client = client

    def key_of(self, record: Record) -> str:
        """Key that this record gets, the same each time it is made."""
        return keys.record_key(self._prefix, record.build, record.ended_at)

    def write(self, record: Record, key: str) -> None:
        """Write the record; repeating it writes the same bytes to the same key."""
        self._put(key, record)

    def write_latest(self, record: Record) -> bool:
        """Make this the newest good build of its scope, unless a newer one is; it never moves back in time."""
        key = keys.latest_key(self._prefix, record.build)
        for _ in range(LATEST_ATTEMPTS):
            current, etag = self._read(key)
            if current is not None and current.ended_at >= record.ended_at and current.build != record.build:
                return False
            if self._put_if(key, record, etag):
                return True
        return False

    def _read(self, key: str) -> tuple[Record | None, str | None]:
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
        except self._client.exceptions.NoSuchKey:
            return None, None
        with answer["Body"] as body:
            return Record.model_validate_json(body.read()), answer["ETag"]

    def _put(self, key: str, record: Record) -> None:
        self._client.put_object(
            Bucket=self._bucket, Key=key, Body=record.model_dump_json(indent=2).encode(), ContentType="application/json"
        )

    def _put_if(self, key: str, record: Record, etag: str | None) -> bool:
        """Write if the key still holds what was read; False when somebody was faster."""
        body = record.model_dump_json(indent=2).encode()
        try:
            if etag is None:
                self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=body, ContentType="application/json", IfNoneMatch="*"
                )
            else:
                self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=body, ContentType="application/json", IfMatch=etag
                )
        except self._client.exceptions.ClientError as exc:
            # 412 lost the race, 409 met another conditional write in flight (S3 user guide, "conditional writes").
            if exc.response["Error"]["Code"] in {"PreconditionFailed", "ConditionalRequestConflict"}:
                return False
            raise
        return True
