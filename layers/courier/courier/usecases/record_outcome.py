"""The end of every build: its record, `latest`, the ledger's last word, and the notice to publish."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import AwareDatetime

from courier import aws
from courier.errors import MESSAGE_LIMIT_CHARACTERS, CourierError, SettingsError
from courier.models import CaughtError, FrozenModel, Outcome, Passage, Problem
from courier.object_keys import artifact_folder
from courier.observability.logger import logger
from courier.observability.metrics import Metric
from courier.observability.redaction import redact
from courier.outcomes.notices import Publication, build_notice
from courier.outcomes.records import Record, make_record

if TYPE_CHECKING:
    from courier.ledger import BuildRow
    from courier.usecases.container import Parts

TIMEOUT_ERROR = "States.Timeout"
_ERROR_MESSAGE = re.compile(r'^\s*\{.*?"errorMessage"\s*:\s*', re.DOTALL)


class RecordRequest(FrozenModel):
    """What the state machine hands to ``record_outcome``.

    ``entered_at`` is when the state was entered: the same at each retry, so that a retried step
    writes the same record.
    """

    passage: Passage
    execution: str
    entered_at: AwareDatetime


def record(parts: Parts, request: RecordRequest) -> Publication:
    """Record how a build ended, and give the notice about it; repeating it changes nothing."""
    records = parts.records
    settled = _settle(request, stack=parts.environment.stack)
    ended = {} if settled.timeline.completed_at is None else {"completed_at": settled.timeline.completed_at.isoformat()}
    row = parts.builds.close(
        settled.build,
        settled.outcome,
        record_key=records.key_of(settled),
        build={"status": request.passage.build.status, **ended},
    )
    _abort_upload(parts, row)
    if settled.outcome is Outcome.UNDELIVERABLE:
        _sweep_uploads(parts, request.passage)
    key = row.record_key or records.key_of(settled)
    records.write(settled, key)
    if settled.is_good:
        records.write_latest(settled)
    seconds = _duration_seconds(settled)
    if seconds is not None:
        parts.source_ledger.note_duration(settled.build, seconds)
    _measure(parts, settled)
    logger.info("outcome recorded", outcome=settled.outcome, record=key)
    return build_notice(settled, bucket=parts.environment.required("bucket"), key=key)


def _measure(parts: Parts, settled: Record) -> None:
    meter = parts.meter(settled.build.source)
    meter.count_outcome(settled.outcome)
    lag = _positive(parts.clock(), settled.timeline.completed_at) if settled.timeline.completed_at else None
    if lag is not None:
        meter.count(Metric.LAG, lag)


def _abort_upload(parts: Parts, row: BuildRow) -> None:
    """Abort the upload that a copy which was given up left in S3: its parts are billed, and no listing shows them."""
    if row.checkpoint_upload is None or row.checkpoint_key is None:
        return
    from courier.transfer.multipart_cleanup import abort_upload  # noqa: PLC0415 - few builds leave an upload
    from courier.transfer.options import Destination  # noqa: PLC0415

    destination = Destination(bucket=parts.environment.required("bucket"), key=row.checkpoint_key)
    try:
        abort_upload(aws.client("s3"), destination, row.checkpoint_upload)
    except SettingsError as exc:
        # A retry would be refused again, and the record matters more: the bucket's lifecycle rule aborts the upload.
        logger.warning("upload not aborted", reason=str(exc))
        return
    parts.builds.clear_checkpoint(row.ref, row.checkpoint_upload)


def _sweep_uploads(parts: Parts, passage: Passage) -> None:
    """Abort uploads that no checkpoint points to: of copiers that were killed before they could save one."""
    day = passage.build.completed_at or passage.detected_at
    if day is None:
        return
    from courier.transfer.multipart_cleanup import abort_uploads_below  # noqa: PLC0415 - few builds are given up
    from courier.transfer.options import Destination  # noqa: PLC0415

    folder = artifact_folder(parts.environment.prefix, passage.build.ref, day)
    try:
        abort_uploads_below(aws.client("s3"), Destination(bucket=parts.environment.required("bucket"), key=folder))
    except CourierError as exc:
        # It must not cost the record: the bucket's lifecycle rule aborts what is left.
        logger.warning("uploads not swept", reason=str(exc))


def _settle(request: RecordRequest, *, stack: str) -> Record:
    passage = request.passage
    outcome, problem = passage.outcome, passage.problem
    if passage.artifact is not None:
        outcome = Outcome.DELIVERED
    elif passage.caught is not None:
        outcome, problem = _outcome_of_error(passage.caught, passage)
    if outcome is None:
        raise SettingsError(f"the execution of {passage.build.ref} ended without an outcome; its definition is wrong")
    settled = passage.model_copy(update={"problem": problem})
    return make_record(
        settled,
        provider=passage.provider,
        outcome=outcome,
        ended_at=request.entered_at,
        stack=stack,
        execution=request.execution,
    )


def _outcome_of_error(caught: CaughtError, passage: Passage) -> tuple[Outcome, Problem]:
    if caught.Error == TIMEOUT_ERROR and passage.detected_at is None:
        hours = passage.wait_seconds / 3600
        return Outcome.TIMED_OUT, Problem(
            name=caught.Error,
            message=f"the build had not ended after {hours:g} hours; the provider's job was left alone",
            advice="Raise polling.give_up_after_hours of the source if its builds take so long.",
        )
    return Outcome.UNDELIVERABLE, Problem(name=caught.Error, message=_message_of(caught))


def _message_of(caught: CaughtError) -> str:
    """Give the error's own text: Lambda puts it into a JSON document, which Step Functions cuts if it is long."""
    found = _ERROR_MESSAGE.search(caught.Cause)
    # What is no such document may be anything, so it is made fit for a record and a notice.
    words = _text_at(caught.Cause, found.end()) if found else caught.Cause
    return redact(words, limit=MESSAGE_LIMIT_CHARACTERS) or caught.Error


def _text_at(document: str, position: int) -> str:
    try:
        message, _ = json.JSONDecoder().raw_decode(document, position)
    except ValueError:
        # Cut off in the middle of the text.
        return document[position:].lstrip('"')
    return message if isinstance(message, str) else ""


def _duration_seconds(record: Record) -> float | None:
    """How long a build took that ended by itself; None where the provider's times do not tell."""
    times = record.timeline
    if times.created_at is None or times.completed_at is None:
        return None
    return _positive(times.completed_at, times.created_at)


def _positive(end: datetime, start: datetime) -> float | None:
    seconds = (end - start).total_seconds()
    return seconds if seconds >= 0 else None
