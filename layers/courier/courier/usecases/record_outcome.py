"""``record_outcome``: write the record of an ended build, close its ledger row, and return the notice."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING

from pydantic import AwareDatetime

from courier import aws
from courier.errors import MESSAGE_LIMIT_CHARACTERS, CourierError, SettingsError
from courier.ledger.pauses import effective_deadline, pause_at
from courier.models import (
    LONGEST_WAIT_SECONDS,
    TIMED_OUT_ADVICE,
    CaughtError,
    FrozenModel,
    Outcome,
    Passage,
    Problem,
)
from courier.object_keys import artifact_folder
from courier.observability.logger import logger
from courier.observability.metrics import Metric
from courier.observability.redaction import redact
from courier.outcomes.notices import Publication, build_notice
from courier.outcomes.records import Record, make_record

if TYPE_CHECKING:
    from courier.ledger import BuildRow
    from courier.usecases.container import Container

TIMEOUT_ERROR = "States.Timeout"
_ERROR_MESSAGE = re.compile(r'^\s*\{.*?"errorMessage"\s*:\s*', re.DOTALL)


class RecordRequest(FrozenModel):
    """The event that the state machine sends to ``record_outcome``.

    ``entered_at`` is the instant at which the state was entered: the same at each retry, so that a retried step
    writes the same record.
    """

    passage: Passage
    execution: str
    entered_at: AwareDatetime


def waits_on(container: Container, request: RecordRequest) -> bool:
    """Let a build wait on whose wait the state machine ended too early; return False for all others.

    The timeout of the state machine does not know that the source was paused, and that the deadline stood still. The
    row gets the passage of another execution, which the poller starts as it starts any that is missing: when the source
    is called again.
    """
    passage = request.passage
    if passage.caught is None or passage.caught.Error != TIMEOUT_ERROR or passage.detected_at is not None:
        return False
    row, now = container.builds.find(passage.build.ref), container.clock()
    pauses = container.source_ledger.state(passage.build.ref.source).pauses
    if row is None or row.outcome is not None or not pauses:
        return False
    wait = timedelta(seconds=passage.wait_seconds)
    left = effective_deadline(row.deadline_at, row.first_seen_at, pauses, now, longest_wait=wait) - now
    if left <= timedelta() and not pause_at(pauses, now):
        return False
    seconds = max(1, min(LONGEST_WAIT_SECONDS, ceil(left.total_seconds())))
    update = {"wait_seconds": seconds, "caught": None, "waits": passage.waits + 1}
    container.builds.wait_on(passage.model_copy(update=update), after=request.execution)
    logger.info("the source was paused, so the build waits on", wait_seconds=seconds)
    return True


def record_outcome(container: Container, request: RecordRequest) -> Publication:
    """Record how a build ended, and return the notice about it; repeating it changes nothing."""
    records = container.records
    record = _make_record(container, request)
    completed_at = record.timeline.completed_at
    completion = {} if completed_at is None else {"completed_at": completed_at.isoformat()}
    # Without a detected end, the row knows a later status than the passage.
    status = {} if request.passage.detected_at is None else {"status": str(request.passage.build.status)}
    row = container.builds.close(
        record.build,
        record.outcome,
        record_key=records.key_of(record),
        build={**status, **completion},
        attempt=record.attempt,
    )
    if row is None:
        # An operator has retried the build meanwhile: the row and the record belong to that attempt.
        logger.warning("a later attempt has begun, only the notice is repeated", outcome=record.outcome)
        later = container.builds.find(record.build)
        key = (later and later.record_key) or records.key_of(record)
        return build_notice(record, bucket=container.environment.required("bucket"), key=key)
    record = record.model_copy(update={"acts": row.acts})
    _abort_upload(container, row)
    if record.outcome is Outcome.UNDELIVERABLE:
        _sweep_uploads(container, request.passage)
    key = row.record_key or records.key_of(record)
    records.write(record, key)
    if record.is_good:
        records.write_latest(record)
    seconds = _duration_seconds(record)
    if seconds is not None:
        container.source_ledger.store_duration(record.build, seconds)
    _measure(container, record)
    logger.info("outcome recorded", outcome=record.outcome, record=key)
    return build_notice(record, bucket=container.environment.required("bucket"), key=key)


def _measure(container: Container, record: Record) -> None:
    meter = container.meter(record.build.source)
    meter.count_outcome(record.outcome)
    lag = _positive(container.clock(), record.timeline.completed_at) if record.timeline.completed_at else None
    if lag is not None:
        meter.count(Metric.LAG, lag)


def _abort_upload(container: Container, row: BuildRow) -> None:
    """Abort the upload that a copy which was given up left in S3: its parts are billed, and no listing shows them."""
    if row.checkpoint_upload is None or row.checkpoint_key is None:
        return
    from courier.transfer.options import Destination  # noqa: PLC0415
    from courier.transfer.upload_cleanup import abort_upload  # noqa: PLC0415 - few builds leave an upload

    destination = Destination(bucket=container.environment.required("bucket"), key=row.checkpoint_key)
    try:
        abort_upload(aws.client("s3"), destination, row.checkpoint_upload)
    except SettingsError as exc:
        # A retry would be refused again, and the record matters more: the bucket's lifecycle rule aborts the upload.
        logger.warning("upload not aborted", reason=str(exc))
        return
    container.builds.clear_checkpoint(row.ref, row.checkpoint_upload)


def _sweep_uploads(container: Container, passage: Passage) -> None:
    """Abort uploads that no checkpoint points to: of copiers that were killed before they could save one."""
    day = passage.build.completed_at or passage.detected_at
    if day is None:
        return
    from courier.transfer.options import Destination  # noqa: PLC0415
    from courier.transfer.upload_cleanup import abort_uploads_below  # noqa: PLC0415 - few builds are given up

    folder = artifact_folder(container.environment.prefix, passage.build.ref, day)
    try:
        abort_uploads_below(aws.client("s3"), Destination(bucket=container.environment.required("bucket"), key=folder))
    except CourierError as exc:
        # It must not cost the record: the bucket's lifecycle rule aborts what is left.
        logger.warning("uploads not swept", reason=str(exc))


def _make_record(container: Container, request: RecordRequest) -> Record:
    passage = request.passage
    outcome, problem = passage.outcome, passage.problem
    if passage.artifact is not None:
        outcome = Outcome.DELIVERED
    elif passage.caught is not None:
        outcome, problem = _outcome_of_error(container, passage.caught, passage)
    if outcome is None:
        raise SettingsError(f"{passage.build.ref} ended without an outcome; the state machine does not fit this code")
    return make_record(
        passage.model_copy(update={"problem": problem}),
        provider=passage.provider,
        outcome=outcome,
        ended_at=request.entered_at,
        stack=container.environment.stack,
        execution=request.execution,
    )


def _outcome_of_error(container: Container, caught: CaughtError, passage: Passage) -> tuple[Outcome, Problem]:
    if caught.Error == TIMEOUT_ERROR and passage.detected_at is None:
        row = container.builds.find(passage.build.ref)
        reports = [row.last_report] if row is not None and (row.polls or row.last_error) else []
        message = "; ".join([f"the build had not ended after {passage.wait_seconds / 3600:g} hours", *reports])
        return Outcome.TIMED_OUT, Problem(
            name=caught.Error, message=f"{message}; it was left alone", advice=TIMED_OUT_ADVICE
        )
    return Outcome.UNDELIVERABLE, Problem(name=caught.Error, message=_message_of(caught))


def _message_of(caught: CaughtError) -> str:
    """Return the error's own text: Lambda wraps it into a JSON document, which Step Functions truncates."""
    found = _ERROR_MESSAGE.search(caught.Cause)
    # A cause of another form may hold anything, so it is redacted before it goes into a record and a notice.
    text = _text_at(caught.Cause, found.end()) if found else caught.Cause
    return redact(text, limit=MESSAGE_LIMIT_CHARACTERS) or caught.Error


def _text_at(document: str, position: int) -> str:
    try:
        message, _ = json.JSONDecoder().raw_decode(document, position)
    except ValueError:
        # The document ends in the middle of the text.
        return document[position:].lstrip('"')
    return message if isinstance(message, str) else ""


def _duration_seconds(record: Record) -> float | None:
    """Return how long the build took; None where the provider does not report the times."""
    times = record.timeline
    if times.created_at is None or times.completed_at is None:
        return None
    return _positive(times.completed_at, times.created_at)


def _positive(end: datetime, start: datetime) -> float | None:
    seconds = (end - start).total_seconds()
    return seconds if seconds >= 0 else None
