"""The end of every build: its record, `latest`, the ledger's last word, and the notice to publish."""

from __future__ import annotations

import json
from datetime import datetime

from pydantic import AwareDatetime

from courier.errors import SettingsError
from courier.ledger import BuildLedger, SourceLedger
from courier.models import CaughtError, FrozenModel, Outcome, Passage, Problem
from courier.notices import Publication, build_notice
from courier.observability import logger
from courier.records import Record, RecordStore, make_record

TIMEOUT_ERROR = "States.Timeout"


class RecordRequest(FrozenModel):
    """What the state machine hands to ``record_outcome``.

    ``entered_at`` is when the state was entered: the same at each retry, so that a retried step
    writes the same record.
    """

    passage: Passage
    execution: str
    entered_at: AwareDatetime


def record_outcome(  # what the step touches, by name
    request: RecordRequest,
    *,
    stack: str,
    bucket: str,
    records: RecordStore,
    builds: BuildLedger,
    sources: SourceLedger,
) -> Publication:
    """Record how a build ended, and give the notice about it; repeating it changes nothing."""
    record = _settle(request, stack=stack)
    ended = {} if record.timeline.completed_at is None else {"completed_at": record.timeline.completed_at.isoformat()}
    row = builds.close(
        record.build,
        record.outcome,
        record_key=records.key_of(record),
        build={"status": request.passage.build.status, **ended},
    )
    key = row.record_key or records.key_of(record)
    records.write(record, key)
    if record.is_good:
        records.write_latest(record)
    seconds = _duration_seconds(record)
    if seconds is not None:
        sources.note_duration(record.build, seconds)
    logger.info("outcome recorded", outcome=record.outcome, record=key)
    return build_notice(record, bucket=bucket, key=key)


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
    """Give the error's own text: Lambda hands it over inside a JSON document."""
    try:
        cause = json.loads(caught.Cause)
    except ValueError:
        return caught.Cause or caught.Error
    message = cause.get("errorMessage") if isinstance(cause, dict) else None
    return message if isinstance(message, str) else caught.Error


def _duration_seconds(record: Record) -> float | None:
    """How long a build took that ended by itself; None where the provider's times do not tell."""
    times = record.timeline
    if times.created_at is None or times.completed_at is None:
        return None
    return _positive(times.completed_at, times.created_at)


def _positive(end: datetime, start: datetime) -> float | None:
    seconds = (end - start).total_seconds()
    return seconds if seconds >= 0 else None
