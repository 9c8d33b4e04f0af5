"""What subscribers receive: a CloudEvents 1.0 event for machines, a few plain lines for people."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Literal

from pydantic import AwareDatetime

from courier.models import AccountLimits, BuildRef, FrozenModel, Outcome, Problem, StoredArtifact

if TYPE_CHECKING:
    from datetime import datetime

    from courier.outcomes.records import Record

SCHEMA_VERSION: Literal["1.0"] = "1.0"
# SNS: "Subjects must be ASCII text ... less than 100 characters", no line breaks (Publish, API reference).
SUBJECT_LIMIT = 99


class ObjectAddress(FrozenModel):
    """Where an object lies in S3."""

    bucket: str
    key: str


class BuildNews(FrozenModel):
    """The gist of a record; the record itself has the rest."""

    schema_version: Literal["1.0"] = SCHEMA_VERSION
    build: BuildRef
    provider: str
    outcome: Outcome
    record: ObjectAddress
    artifact: StoredArtifact | None
    problem: Problem | None
    limits: AccountLimits | None


class SourceNews(FrozenModel):
    """A source fell ill, or is well again."""

    schema_version: Literal["1.0"] = SCHEMA_VERSION
    source: str
    provider: str
    health: Literal["ill", "well"]
    problem: Problem | None


class Notice(FrozenModel):
    """A CloudEvents 1.0 event (github cloudevents/spec, v1.0.2, "Required attributes").

    ``id`` is the same each time the same outcome of the same build is announced: delivery is at
    least once, and a consumer drops repeats by it.
    """

    specversion: Literal["1.0"] = "1.0"
    id: str
    type: str
    source: str
    subject: str
    time: AwareDatetime
    datacontenttype: Literal["application/json"] = "application/json"
    data: BuildNews | SourceNews


class Publication(FrozenModel):
    """The arguments of one ``sns:Publish``, without the topic; keys are SNS's own.

    ``message`` is an object: Step Functions writes it as text, which ``MessageStructure: json`` wants.
    """

    subject: str
    message: dict[str, str]
    attributes: dict[str, dict[str, str]]


def build_notice(record: Record, *, bucket: str, key: str) -> Publication:
    """Announce the outcome of one build."""
    ref, outcome, stack = record.build, record.outcome, record.courier.stack
    notice = Notice(
        id=_event_id(stack, str(ref), outcome),
        type=f"build-courier.build.{outcome}",
        source=_event_source(stack, ref.source),
        subject=str(ref),
        time=record.timeline.detected_at,
        data=BuildNews(
            build=ref,
            provider=record.provider,
            outcome=outcome,
            record=ObjectAddress(bucket=bucket, key=key),
            artifact=record.artifact,
            problem=record.problem,
            limits=record.limits,
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
    """Announce that a source fell ill (with its problem), or that it is well again (without)."""
    health: Literal["ill", "well"] = "ill" if problem else "well"
    notice = Notice(
        id=_event_id(stack, source, health, since.isoformat()),
        type=f"build-courier.source.{health}",
        source=_event_source(stack, source),
        subject=source,
        time=now,
        data=SourceNews(source=source, provider=provider, health=health, problem=problem),
    )
    lines = [f"The source {source} ({provider}) is {'ill and rests' if problem else 'well again'}."]
    lines += _problem_lines(problem)
    return _publication(
        notice,
        subject=f"source {health}: {source}",
        lines=lines,
        attributes={"source": source, "provider": provider, "health": health},
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
        f"Completed  {times.completed_at.isoformat() if times.completed_at else 'not said by the provider'}",
        f"Detected   {times.detected_at.isoformat()}",
    ]
    if record.artifact:
        stored = record.artifact
        lines += [
            f"Report     s3://{stored.bucket}/{stored.key}",
            f"           {stored.size_bytes} bytes, SHA-256 {stored.sha256}",
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
    return "not said" if size is None else f"{size:g} GB"


def _event_id(*parts: str) -> str:
    return sha256("\n".join(parts).encode()).hexdigest()[:32]


def _event_source(stack: str, source: str) -> str:
    return f"/build-courier/{stack}/{source}"
