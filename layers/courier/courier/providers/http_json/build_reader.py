"""Reads a build out of a response: its id, its state and what the definition says of the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from courier.models import Build, BuildRef, BuildStatus, Outcome
from courier.observability.provider_events import UnexpectedKind
from courier.observability.redaction import redact
from courier.providers.http_json.definition import fold
from courier.providers.http_json.expressions import scalar_text
from courier.providers.parsing import PathIdentifier
from courier.providers.times import NO_TIME, ReadTime, read_time

if TYPE_CHECKING:
    from pydantic import JsonValue

    from courier.providers.http_json.caller import Reply
    from courier.providers.http_json.definition import Definition
    from courier.providers.http_json.fields import IdReading, State
    from courier.providers.http_json.files import Files
    from courier.providers.http_json.reader import Reader, Report

_STATUS_LIMIT_CHARACTERS = 40
STATUSES: Mapping[str, BuildStatus] = {
    "queued": BuildStatus.QUEUED,
    "running": BuildStatus.RUNNING,
    "succeeded": BuildStatus.SUCCEEDED,
    "failed": BuildStatus.FAILED,
    "canceled": BuildStatus.CANCELED,
    "empty": BuildStatus.SUCCEEDED,
    # Not UNKNOWN, which never counts as an end: a list would keep the build in flight for ever.
    "gone": BuildStatus.FAILED,
}
_ENDS: Mapping[str, Outcome] = {"empty": Outcome.EMPTY, "gone": Outcome.LOST}
_TIMES = ("created", "started", "completed")
_IDENTIFIER: TypeAdapter[str] = TypeAdapter(PathIdentifier)

TimeOf = Callable[[str, ReadTime], datetime | None]


class BuildReader:
    """Reads builds as one definition says."""

    def __init__(
        self,
        definition: Definition,
        reader: Reader,
        files: Files,
        *,
        report: Report,
        hidden: Callable[[], tuple[str, ...]],
        time_of: TimeOf,
    ) -> None:
        self._fields = definition.build
        self._link = definition.link
        self._reader = reader
        self._files = files
        self._report = report
        self._hidden = hidden
        self._time_of = time_of
        self._states: Mapping[str, State] = dict(definition.words.states())

    def build_id(self, reading: IdReading | None, reply: Reply, place: str) -> str | None:
        """Return the id that a response names; None where it names none that can be used."""
        if reading is None or reading.scope is not None:
            return None
        text = scalar_text(self._reader.value(reading, reply.body, f"{place}.id", headers=reply.headers))
        if text is not None and self._reader.shows_secret(text):
            return None
        try:
            return None if text is None else _IDENTIFIER.validate_python(text.strip(), strict=True)
        except ValidationError:
            return None

    def named_id(self, reply: Reply) -> str | None:
        """Return the id in a status response; None where it names none, which is no mistake."""
        reading = self._fields.id
        if reading is None or reading.read is None:
            return None
        found = self._reader.value(reading.model_copy(update={"match": None}), reply.body, "build.id")
        return None if found is None else self.build_id(reading, reply, "build")

    def state(self, reply: Reply) -> tuple[State | None, str | None, bool]:
        """Return the state, the word for it where that is unknown, and whether the response says anything of it."""
        if reply.state is not None:
            return reply.state, None, True
        found = self._reader.value(self._fields.status, reply.body, "build.status", headers=reply.headers)
        word = scalar_text(found)
        if word is None or not word.strip():
            return None, None, False
        state = self._states.get(fold(word))
        if state is not None:
            return state, None, True
        shown = redact(word, limit=_STATUS_LIMIT_CHARACTERS, secrets=self._hidden())
        self._report(UnexpectedKind.UNKNOWN_STATUS, shown)
        return None, shown, True

    def build(self, ref: BuildRef, reply: Reply, state: State | None, shown: str | None) -> Build:
        """Return the build.

        Parameters
        ----------
        shown
            The vendor's word, where it is unknown.
        """
        status = BuildStatus.UNKNOWN if state is None else STATUSES[state]
        ended_as = None if state is None else _ENDS.get(state)
        has_artifact = False
        if self._link is not None and state == "succeeded":
            has_artifact = not self._files.is_none(reply)
            if not has_artifact:
                ended_as = _ENDS[self._link.none_means or "empty"]
        elif self._link is not None and state is None:
            # A link proves a file, whatever the new word for success may be.
            has_artifact = self._files.has_address(reply)
        read = {name: self._time(name, reply) for name in _TIMES}
        at = {name: self._time_of(name, time) for name, time in read.items()}
        reason = reply.message or self._reader.text(
            self._fields.error, reply.body, "build.error", headers=reply.headers
        )
        return Build(
            ref=ref,
            status=status,
            provider_status=shown,
            has_artifact=has_artifact,
            artifact_bytes=self._files.size(reply) if has_artifact else None,
            created_at=at["created"],
            started_at=at["started"],
            completed_at=at["completed"],
            times_unreadable=any(time.unexpected is UnexpectedKind.UNREADABLE_TIME for time in read.values()),
            ended_as=ended_as,
            retry_after_seconds=reply.retry_after_seconds,
            error_message=reason,
        )

    def kept(self, reply: Reply) -> dict[str, JsonValue]:
        """Return the values of ``build.keep`` that the response holds."""
        values = {
            name: self._reader.value(reading, reply.body, f"build.keep.{name}", headers=reply.headers)
            for name, reading in self._fields.keep.items()
        }
        return {name: value for name, value in values.items() if value is not None}

    def _time(self, name: str, reply: Reply) -> ReadTime:
        reading = getattr(self._fields, name)
        if reading is None:
            return NO_TIME
        return read_time(self._reader.value(reading, reply.body, f"build.{name}", headers=reply.headers))
