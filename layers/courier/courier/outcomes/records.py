"""Records: one JSON object in S3 per ended build, and the head record of each scope under ``latest/``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

from pydantic import AwareDatetime, ValidationError

from courier import object_keys as keys
from courier.errors import CourierError
from courier.models import (
    AccountLimits,
    Act,
    Attempt,
    BuildRef,
    FrozenModel,
    Outcome,
    Passage,
    Problem,
    StoredArtifact,
)
from courier.observability.logger import logger

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import PutObjectOutputTypeDef

# A consumer that knows version 1 reads every 1.x record: fields are added, never removed or given another meaning.
SCHEMA_VERSION: Literal["1.0"] = "1.0"
# Writers compete for `latest` only when builds of one scope end at once; each lost race means another build won.
LATEST_ATTEMPTS = 5
_LOST_RACES = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"})


class Timeline(FrozenModel):
    """The instants of one build; the provider reports the first three, the others are ours."""

    created_at: AwareDatetime | None
    started_at: AwareDatetime | None
    completed_at: AwareDatetime | None
    first_seen_at: AwareDatetime
    detected_at: AwareDatetime
    copied_at: AwareDatetime | None


class CourierFacts(FrozenModel):
    """What the courier did: its stack, the execution's ARN, the number of polls."""

    stack: str
    execution: str
    polls: int


class Record(FrozenModel):
    """Everything about one ended build.

    ``attempt``, ``earlier_attempts``
        An operator may retry a build; its record then describes the last attempt, and how the earlier ones ended.
    ``acts``
        What operators did to the build, the last ten at most.
    """

    schema_version: Literal["1.0"] = SCHEMA_VERSION
    build: BuildRef
    provider: str
    outcome: Outcome
    timeline: Timeline
    artifact: StoredArtifact | None
    problem: Problem | None
    limits: AccountLimits | None
    courier: CourierFacts
    attempt: int = 1
    earlier_attempts: tuple[Attempt, ...] = ()
    acts: tuple[Act, ...] = ()

    @property
    def ended_at(self) -> datetime:
        """The completion that the provider reports, else our detection: the date in object keys."""
        return self.timeline.completed_at or self.timeline.detected_at

    @property
    def is_good(self) -> bool:
        """Whether the build succeeded, and its report, if it has one, is stored."""
        return self.outcome in {Outcome.DELIVERED, Outcome.SUCCEEDED}


class LatestTimeline(FrozenModel):
    """The instants that decide which of two records is newer."""

    completed_at: AwareDatetime | None
    detected_at: AwareDatetime


class LatestHead(FrozenModel):
    """The part of the record under ``latest`` that decides whether it is replaced, in every 1.x version."""

    build: BuildRef
    timeline: LatestTimeline

    @property
    def ended_at(self) -> datetime:
        """The same as `Record.ended_at`."""
        return self.timeline.completed_at or self.timeline.detected_at


class _EarlierAttempt(FrozenModel):
    detected_at: AwareDatetime


class _Latest(LatestHead):
    earlier_attempts: tuple[_EarlierAttempt, ...] = ()


def _ordered_by(record: Record | _Latest) -> datetime:
    """Return the instant that orders `latest`: the completion, else our first detection, which a retry leaves alone."""
    attempts = (*record.earlier_attempts, record.timeline)
    return record.timeline.completed_at or attempts[0].detected_at


def make_record(
    passage: Passage, *, provider: str, outcome: Outcome, ended_at: datetime, stack: str, execution: str
) -> Record:
    """Make the record of a passage; ``ended_at`` replaces the detection where no poll detected the end."""
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
        attempt=passage.attempt,
        earlier_attempts=passage.earlier_attempts,
    )


def attempt_of(record: Record) -> Attempt:
    """Return what the record of the next attempt keeps of this one."""
    return Attempt(
        number=record.attempt,
        outcome=record.outcome,
        detected_at=record.timeline.detected_at,
        execution=record.courier.execution,
        polls=record.courier.polls,
        problem=record.problem,
    )


class RecordStore:
    """Stores records in the bucket."""

    def __init__(self, bucket: str, prefix: str, client: S3Client) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._client = client

    def key_of(self, record: Record) -> str:
        """Return the key of a record, the same each time it is made."""
        return keys.record_key(self._prefix, record.build, record.ended_at)

    def write(self, record: Record, key: str) -> None:
        """Write the record; repeating it writes the same bytes to the same key."""
        self._put(key, record)

    def read(self, key: str) -> Record | None:
        """Return a record of any 1.x version; None when there is no object.

        Raises
        ------
        CourierError
            The object holds no record.
        """
        found = self._read_text(key)
        return None if found is None else _record_in(key, found[0])

    def add_act(self, key: str, act: Act) -> Record:
        """Write what an operator did into a record, and return it; all other fields stay as they are.

        Raises
        ------
        CourierError
            There is no record, or another writer was faster.
        """
        for _ in range(LATEST_ATTEMPTS):
            found = self._read_text(key)
            if found is None:
                raise CourierError(f"there is no record {key}")
            text, etag = found
            record = _record_in(key, text)
            if any(known.id == act.id for known in record.acts):
                return record
            # The document and not the model: a later version may have written fields that this one does not know.
            document = json.loads(text)
            document["acts"] = [*document.get("acts", []), act.model_dump(mode="json")]
            if self._put_if(
                key, f"{json.dumps(document, ensure_ascii=False, separators=(',', ':'))}\n".encode(), etag, last=False
            ):
                return record
        raise CourierError(f"the record {key} is being written by others; try again")

    def write_latest(self, record: Record) -> bool:
        """Make this the newest good build of its scope, unless a newer one is; it never moves back in time."""
        key = keys.latest_key(self._prefix, record.build)
        for attempt in range(1, LATEST_ATTEMPTS + 1):
            current, etag = self._read_latest(key)
            if current is not None and current.build != record.build and _ordered_by(current) >= _ordered_by(record):
                return False
            if self._put_if(key, _line_of(record), etag, last=attempt == LATEST_ATTEMPTS):
                return True
        raise AssertionError("the last attempt either writes or raises")

    def _read_latest(self, key: str) -> tuple[_Latest | None, str | None]:
        found = self._read_text(key)
        if found is None:
            return None, None
        text, etag = found
        try:
            return _Latest.model_validate_json(text), etag
        except ValidationError:
            logger.warning("latest holds no readable record, so it is replaced", key=key)
            return None, etag

    def _read_text(self, key: str) -> tuple[bytes, str] | None:
        try:
            response = self._client.get_object(Bucket=self._bucket, Key=key)
        except self._client.exceptions.NoSuchKey:
            return None
        with response["Body"] as body:
            return body.read(), response["ETag"]

    def _put(self, key: str, record: Record) -> None:
        _check_proof(
            key,
            self._client.put_object(
                Bucket=self._bucket, Key=key, Body=_line_of(record), ContentType="application/json"
            ),
        )

    def _put_if(self, key: str, body: bytes, etag: str | None, *, last: bool) -> bool:
        """Write if the key holds what was read; return False after a lost race, unless this attempt is the last."""
        try:
            if etag is None:
                response = self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=body, ContentType="application/json", IfNoneMatch="*"
                )
            else:
                response = self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=body, ContentType="application/json", IfMatch=etag
                )
        except self._client.exceptions.ClientError as exc:
            # 412 lost the race, 409 met another write in flight, 404 a deletion (S3 user guide, "conditional writes").
            if last or exc.response["Error"]["Code"] not in _LOST_RACES:
                raise
            return False
        _check_proof(key, response)
        return True


def _check_proof(key: str, response: PutObjectOutputTypeDef) -> None:
    """Check that S3 has stored an object: a success without an ETag, such as a proxy's page, proves nothing.

    Raises
    ------
    CourierError
        It has not; the state machine repeats the recording, which writes the same again.
    """
    if not response.get("ETag"):
        raise CourierError(f"S3 reports that {key} is stored and sends no ETag, which proves nothing")


def _record_in(key: str, text: bytes) -> Record:
    try:
        return Record.model_validate_json(text)
    except ValidationError as exc:
        raise CourierError(f"{key} holds no record that this version can read") from exc


def _line_of(record: Record) -> bytes:
    """Serialize a record as one line: Athena reads each line as a document (user guide, "Hive JSON SerDe")."""
    return f"{record.model_dump_json()}\n".encode()
