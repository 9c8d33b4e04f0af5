"""Notices: a CloudEvents 1.0 event for machines, and a few plain lines for people.

The state machine publishes notices about builds; `NoticePublisher` publishes notices about sources.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

from pydantic import AwareDatetime

from courier import aws
from courier.models import AccountLimits, BuildRef, FrozenModel, Outcome, Problem, StoredArtifact

if TYPE_CHECKING:
    from datetime import datetime

    from courier.outcomes.records import Record

SCHEMA_VERSION: Literal["1.0"] = "1.0"
# SNS: "Subjects must be ASCII text ... less than 100 characters", no line breaks (Publish, API reference).
SUBJECT_LIMIT = 99


class ObjectAddress(FrozenModel):
    """The address of an object in S3."""

    bucket: str
    key: str


class BuildNotice(FrozenModel):
    """The data of a notice about a build; the record holds the rest."""

    schema_version: Literal["1.0"] = SCHEMA_VERSION
    build: BuildRef
    provider: str
    outcome: Outcome
    record: ObjectAddress
    artifact: StoredArtifact | None
    problem: Problem | None
    limits: AccountLimits | None
    attempt: int = 1


class SourceNotice(FrozenModel):
    """The data of a notice about a source that became unhealthy or recovered."""

    schema_version: Literal["1.0"] = SCHEMA_VERSION
    source: str
    provider: str
    health: Literal["unhealthy", "recovered"]
    problem: Problem | None


class Notice(FrozenModel):
    """A CloudEvents 1.0 event (github cloudevents/spec, v1.0.2, "Required attributes").

    ``id`` is the same each time the same outcome of the same attempt at a build is published: delivery is at
    least once, and a consumer drops duplicates by it.
    """

    specversion: Literal["1.0"] = "1.0"
    id: str
    type: str
    source: str
    subject: str
    time: AwareDatetime
    datacontenttype: Literal["application/json"] = "application/json"
    data: BuildNotice | SourceNotice


class Publication(FrozenModel):
    """The arguments of one ``sns:Publish``, without the topic; keys are SNS's own.

    ``message`` is an object: Step Functions serializes it to the text that ``MessageStructure: json`` requires.
    """

    subject: str
    message: dict[str, str]
    attributes: dict[str, dict[str, str]]


def build_notice(record: Record, *, bucket: str, key: str) -> Publication:
    """Make the notice about the outcome of one build."""
    ref, outcome, stack = record.build, record.outcome, record.courier.stack
    notice = Notice(
        # The first attempt has the id that it had before builds could be retried.
        id=_event_id(stack, str(ref), outcome, *([str(record.attempt)] if record.attempt > 1 else [])),
        type=f"build-courier.build.{outcome}",
        source=_event_source(stack, ref.source),
        subject=str(ref),
        time=record.timeline.detected_at,
        data=BuildNotice(
            build=ref,
            provider=record.provider,
            outcome=outcome,
            record=ObjectAddress(bucket=bucket, key=key),
            artifact=record.artifact,
            problem=record.problem,
            limits=record.limits,
            attempt=record.attempt,
        ),
    )
    return _publication(
        notice,
        subject=f"{outcome}: {ref.source} {ref.scope} {ref.build_id}",
        lines=_build_lines(record, bucket=bucket, key=key),
        attributes={
            "source": ref.source,
            "provider": record.provider,
            "scope": ref.scope,
            "outcome": outcome,
        },
    )


def source_notice(
    *, source: str, provider: str, stack: str, since: datetime, problem: Problem | None, now: datetime
) -> Publication:
    """Make the notice that a source is unhealthy (with its problem), or has recovered (without)."""
    health: Literal["unhealthy", "recovered"] = "unhealthy" if problem else "recovered"
    notice = Notice(
        id=_event_id(stack, source, health, since.isoformat()),
        type=f"build-courier.source.{health}",
        source=_event_source(stack, source),
        subject=source,
        time=now,
        data=SourceNotice(source=source, provider=provider, health=health, problem=problem),
    )
    lines = [
        f"Source {source} ({provider}) is unhealthy: polling is paused, and tried again from time to time."
        if problem
        else f"Source {source} ({provider}) has recovered: polling continues."
    ]
    lines += _problem_lines(problem)
    return _publication(
        notice,
        subject=f"source {health}: {source}",
        lines=lines,
        attributes={"source": source, "provider": provider, "health": health},
    )


class NoticePublisher:
    """Publishes notices to the topic of the stack."""

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def publish(self, publication: Publication) -> None:
        """Publish one notice, as the state machine does."""
        aws.client("sns").publish(
            TopicArn=self._topic,
            Subject=publication.subject,
            Message=json.dumps(publication.message),
            MessageStructure="json",
            MessageAttributes={
                name: {"DataType": value["DataType"], "StringValue": value["StringValue"]}
                for name, value in publication.attributes.items()
            },
        )


def _publication(notice: Notice, *, subject: str, lines: list[str], attributes: dict[str, str]) -> Publication:
    readable = "".join(c if c.isascii() and c.isprintable() else "?" for c in f"[build-courier] {subject}")
    return Publication(
        subject=readable[:SUBJECT_LIMIT],
        message={"default": notice.model_dump_json(), "email": "\n".join([*lines, "", f"Event {notice.id}"])},
        attributes={name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()},
    )


def _build_lines(record: Record, *, bucket: str, key: str) -> list[str]:
    ref, times = record.build, record.timeline
    lines = [
        f"Build {ref.build_id} of {ref.scope} ({record.provider}, source {ref.source}): {record.outcome}.",
        "",
        f"Completed  {times.completed_at.isoformat() if times.completed_at else 'not reported by the provider'}",
        f"Detected   {times.detected_at.isoformat()}",
    ]
    if record.artifact:
        stored = record.artifact
        lines += [
            f"Report     s3://{stored.bucket}/{stored.key}",
            f"           {stored.size_bytes} bytes, SHA-256 {stored.sha256}",
            *(
                []
                if stored.verified
                else ["           length unverified: nothing shows whether the report is complete"]
            ),
        ]
    lines.append(f"Record     s3://{bucket}/{key}")
    if record.limits:
        lines.append(
            f"Limits     build size {_gigabytes(record.limits.build_size_gb)}, "
            f"query size {_gigabytes(record.limits.query_size_gb)}"
        )
    return lines + _problem_lines(record.problem)


def _problem_lines(problem: Problem | None) -> list[str]:
    if problem is None:
        return []
    return ["", f"{problem.name}: {problem.message}", *([problem.advice] if problem.advice else [])]


def _gigabytes(size: float | None) -> str:
    return "not reported" if size is None else f"{size:g} GB"


def _event_id(*parts: str) -> str:
    return sha256("\n".join(parts).encode()).hexdigest()[:32]


def _event_source(stack: str, source: str) -> str:
    return f"/build-courier/{stack}/{source}"
