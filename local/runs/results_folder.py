"""The results folder of a run: the objects of the bucket, the notices, the executions, the usage."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from courier.errors import SettingsError
from local.embedded.results import ExecutionReport
from local.runs.session import Session

# What a run writes; any other file in the folder belongs to the user and stays.
BUCKET, NOTICES, EXECUTIONS, USAGE = "bucket", "notices.jsonl", "executions.json", "usage.json"


def write_results(session: Session, folder: Path) -> None:
    """Write the results of a run into a folder, in place of those of an earlier run."""
    notices = [
        {"subject": notice.subject, "attributes": notice.attributes, "message": _parsed(notice.message)}
        for notice in session.notices()
    ]
    _write(folder / NOTICES, "".join(f"{json.dumps(notice)}\n" for notice in notices))
    _write_json(folder / EXECUTIONS, [_execution(run) for run in session.aws.executions()])
    invocations = {name: usage.invocations for name, usage in session.aws.usage().items()}
    _write_json(folder / USAGE, {"lambda_invocations": invocations, "provider_requests": session.provider_requests()})
    # Last, after the files that mark the folder as ours: an interrupted run must not leave a bucket without them.
    bucket = folder / BUCKET
    if bucket.exists():
        shutil.rmtree(bucket)
    bucket.mkdir()
    session.aws.mirror_bucket(bucket)


def check_folder(folder: Path) -> None:
    """Check before a run that its results may be written here.

    Raises
    ------
    SettingsError
        The folder is not writable, or has a ``bucket`` that no run created and that would be replaced.
    """
    if (folder / BUCKET).exists() and not (folder / USAGE).exists():
        raise SettingsError(f"--out {folder}: {folder / BUCKET} is not from an earlier run; name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Only a write shows whether the folder is writable: root, read-only file systems and quotas differ.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as exc:
        raise SettingsError(f"--out {folder}: cannot be written to: {exc.strerror or type(exc).__name__}") from exc


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


def _write_json(path: Path, document: object) -> None:
    _write(path, json.dumps(document, indent=2) + "\n")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
