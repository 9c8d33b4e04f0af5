"""The results folder of a run: what it delivered, what happened, and what the next run continues with."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from courier.errors import SettingsError
from local.embedded.log_capture import LogLine
from local.embedded.results import ExecutionReport, MirroredObject
from local.runs.saved_ledger import Row, SavedLedger, builds_in_flight, read_ledger, source_of

if TYPE_CHECKING:
    from local.runs.session import Session

# What a run writes; any other file in the folder belongs to the user and stays.
BUCKET, NOTICES, EXECUTIONS, USAGE = "bucket", "notices.jsonl", "executions.json", "usage.json"
LEDGER, LOG, LAST_LOG = "ledger.json", "run.log", "run.log.1"
# A log that is longer when a run starts is put aside.
LONGEST_LOG_BYTES = 10_000_000
# The results are stored at most this often during a run, and never for more than a twentieth of its time.
SAVE_SECONDS = 5.0
SAVE_SHARE = 20


class ResultsFolder:
    """The folder of one run, which no other run writes meanwhile; see `open_results`."""

    def __init__(self, folder: Path, log: TextIO) -> None:
        self.folder = folder
        self._log = log
        self._logged = 0
        self._saved: SavedLedger | None = None
        self._unreadable: SettingsError | None = None
        try:
            self._saved = read_ledger(folder / LEDGER)
        except SettingsError as exc:
            self._unreadable = exc
        self._simulated = False
        self._rows_aside: Sequence[Row] = ()
        self._objects: dict[str, MirroredObject] = {}
        self._notices_before = ""
        self._executions_before: list[dict[str, object]] = []
        self._next_save = 0.0

    @property
    def is_simulated(self) -> bool:
        """Whether the results that lie here come from simulated providers."""
        return self._saved is not None and self._saved.simulated

    @property
    def object_count(self) -> int:
        """How many objects earlier runs have delivered here: reports and records."""
        return sum(path.is_file() for path in (self.folder / BUCKET).rglob("*"))

    def delete_results(self) -> None:
        """Delete the results of all earlier runs."""
        if (self.folder / BUCKET).exists():
            shutil.rmtree(self.folder / BUCKET)
        for name in (NOTICES, EXECUTIONS, USAGE, LEDGER, LAST_LOG):
            (self.folder / name).unlink(missing_ok=True)
        self._log.truncate(0)
        self._saved = self._unreadable = None

    def check_ledger(self) -> None:
        """Check that the next run can continue here.

        Raises
        ------
        SettingsError
            The ledger cannot be read.
        """
        if self._unreadable is not None:
            raise self._unreadable

    def continue_in(self, session: Session, sources: Iterable[str], *, simulated: bool) -> None:
        """Restore the ledger and the bucket of the earlier runs, and note what is there from now on."""
        self._simulated = simulated
        self._notices_before = _read(self.folder / NOTICES)
        self._executions_before = _parsed_list(_read(self.folder / EXECUTIONS))
        saved = self._saved or SavedLedger(simulated=simulated)
        names = list(sources)
        rows = saved.rows_of(names)
        self._rows_aside = saved.set_aside(names)
        for key, properties in saved.objects.items():
            path = self.folder / BUCKET / key
            if path.is_file():
                self._objects[key] = session.aws.restore_object(key, path.read_bytes(), properties)
        session.restore(rows)
        self._save_ledger(session)

    def sources_in_flight(self) -> set[str]:
        """Return the sources with builds in flight that an earlier run left."""
        return {ref.source for ref in builds_in_flight(self._saved.rows if self._saved else [])}

    def builds_aside(self) -> list[str]:
        """Return the builds in flight that nothing polls, because their sources are not configured."""
        return [str(ref) for ref in builds_in_flight(self._rows_aside)]

    def save(self, session: Session) -> None:
        """Store the results so far; what is stored is not changed again."""
        self.write_log(session.aws.new_logs(self._logged))
        notices = [
            {"subject": notice.subject, "attributes": notice.attributes, "message": _parsed(notice.message)}
            for notice in session.notices()
        ]
        _write(self.folder / NOTICES, self._notices_before + "".join(f"{json.dumps(notice)}\n" for notice in notices))
        runs = [_execution(run) for run in session.aws.executions()]
        names = {run["name"] for run in runs}
        before = [run for run in self._executions_before if run.get("name") not in names]
        _write_json(self.folder / EXECUTIONS, [*before, *runs])
        invocations = {name: usage.invocations for name, usage in session.aws.usage().items()}
        _write_json(
            self.folder / USAGE, {"lambda_invocations": invocations, "provider_requests": session.provider_requests()}
        )
        self._save_ledger(session)

    def save_if_due(self, session: Session, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Store the results so far, unless that was done a moment ago."""
        started = monotonic()
        if started < self._next_save:
            return
        self.save(session)
        took = monotonic() - started
        self._next_save = started + max(SAVE_SECONDS, SAVE_SHARE * took)

    def write_log(self, lines: Sequence[LogLine]) -> None:
        """Append lines of the functions to the log."""
        self._logged += len(lines)
        self._log.writelines(f"{line.function} {line.text}\n" for line in lines)
        self._log.flush()

    def new_log_lines(self, session: Session) -> Sequence[LogLine]:
        """Return the lines that are not in the log yet, and write them there."""
        lines = session.aws.new_logs(self._logged)
        self.write_log(lines)
        session.aws.publish_logs(lines)
        return lines

    def note(self, text: str) -> None:
        """Append a line about the run itself to the log."""
        self._log.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {text}\n")
        self._log.flush()

    def _save_ledger(self, session: Session) -> None:
        rows = session.rows_to_save()
        # The bucket after the rows, so that it has the record of every build that has one, and the file last, so that
        # it names no object that is not there.
        (self.folder / BUCKET).mkdir(exist_ok=True)
        session.aws.mirror_bucket(self.folder / BUCKET, self._objects)
        kept = [dict(row) for row in (*self._rows_aside, *rows)]
        kept.sort(key=lambda row: (source_of(row), str(row["build"])))
        ledger = SavedLedger(simulated=self._simulated, rows=kept, objects=self._objects)
        _write(self.folder / LEDGER, ledger.model_dump_json(exclude_none=True, indent=1) + "\n")


@contextmanager
def open_results(folder: Path) -> Iterator[ResultsFolder]:
    """Check before a run that its results may be written here, and keep other runs out.

    Raises
    ------
    SettingsError
        The folder is not writable, is used by another run, or has a ``bucket`` that no run created.
    """
    if (folder / BUCKET).exists() and not any((folder / name).exists() for name in (USAGE, LEDGER)):
        raise SettingsError(f"--out {folder}: {folder / BUCKET} is not from an earlier run; name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Only a write shows whether the folder is writable: root, read-only file systems and quotas differ.
        with tempfile.TemporaryFile(dir=folder):
            pass
        if (folder / LOG).exists() and (folder / LOG).stat().st_size > LONGEST_LOG_BYTES:
            (folder / LOG).replace(folder / LAST_LOG)
        log = (folder / LOG).open("a", encoding="utf-8")
    except OSError as exc:
        raise SettingsError(f"--out {folder}: cannot be written to: {exc.strerror or type(exc).__name__}") from exc
    with log:
        try:
            # Held until the process ends, however it ends.
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise SettingsError(f"--out {folder}: another run writes there; name another folder") from exc
        yield ResultsFolder(folder, log)


def _execution(run: ExecutionReport) -> dict[str, object]:
    return {
        "name": run.name,
        "status": run.status,
        "outcome": json.loads(run.output)["outcome"] if run.output else None,
        "states": list(run.states),
        "state_transitions": len(run.states),
        "history_events": run.history_events,
        "seconds": run.seconds,
    }


def _parsed(message: str) -> object:
    try:
        return json.loads(message)
    except ValueError:
        return message


def _parsed_list(text: str) -> list[dict[str, object]]:
    """Parse the list of an earlier run; a file that was edited counts as empty."""
    document = _parsed(text or "[]")
    return [dict(entry) for entry in document if isinstance(entry, Mapping)] if isinstance(document, list) else []


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def _write_json(path: Path, document: object) -> None:
    _write(path, json.dumps(document, indent=2) + "\n")


def _write(path: Path, text: str) -> None:
    """Replace a file whole: a run that is killed meanwhile leaves the earlier content."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)  # noqa: PTH105 - the same, and says that it replaces
