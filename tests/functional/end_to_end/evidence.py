"""What a run of the command leaves behind, in its folder and in the embedded AWS."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from unittest.mock import patch

from courier.config.settings import SourceSettings
from local.chaos.leaks import find_leaks
from local.chaos.scenario_facts import signatures_collected
from local.embedded.interception import Interception
from local.embedded.results import ExecutionReport
from local.runs.session import Session
from tests.support.command import CommandResult

BINARY = frozenset({".pdf"})


@dataclass(frozen=True, kw_only=True)
class Inside:
    """What only the embedded AWS knows."""

    executions: Sequence[ExecutionReport]
    histories: Sequence[str]
    logs: Sequence[str]
    rows: Sequence[Mapping[str, object]]
    dead_letters: Sequence[str]
    envelopes: Sequence[str]
    open_uploads: int
    parameters: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class CommandRun:
    """One run: the results folder, the output, and the state of the embedded AWS."""

    ended: CommandResult
    folder: Path
    inside: Inside

    @property
    def notices(self) -> list[dict[str, Any]]:
        lines = (self.folder / "notices.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    @property
    def payloads(self) -> list[dict[str, Any]]:
        """The data of the notices about builds."""
        return [notice["message"]["data"] for notice in self.notices if "outcome" in notice["message"]["data"]]

    @property
    def executions(self) -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = json.loads((self.folder / "executions.json").read_text(encoding="utf-8"))
        return runs

    @property
    def usage(self) -> dict[str, dict[str, int]]:
        counts: dict[str, dict[str, int]] = json.loads((self.folder / "usage.json").read_text(encoding="utf-8"))
        return counts

    @property
    def records(self) -> dict[str, dict[str, Any]]:
        """All records, by their keys."""
        bucket = self.folder / "bucket"
        return {
            str(path.relative_to(bucket)): json.loads(path.read_text(encoding="utf-8"))
            for path in sorted(bucket.glob("records/**/*.json"))
        }

    @property
    def objects(self) -> dict[str, Path]:
        """All objects, by their keys."""
        bucket = self.folder / "bucket"
        return {str(path.relative_to(bucket)): path for path in sorted(bucket.rglob("*")) if path.is_file()}

    def places(self) -> dict[str, str]:
        """Return every text that a person may read, by its place."""
        inside = self.inside
        files = {f"out/{key}": _text(path) for key, path in self._files()}
        return files | {
            "standard output": self.ended.out,
            "standard error": self.ended.err,
            "logs": "\n".join(inside.logs),
            "histories": "\n".join(inside.histories),
            "inputs": "\n".join(run.input for run in inside.executions),
            "ledger": "\n".join(json.dumps(row, default=str) for row in inside.rows),
            "dead letters": "\n".join(inside.dead_letters),
            "notices": "\n".join(inside.envelopes),
            "parameters": "\n".join(inside.parameters),
        }

    def _files(self) -> Iterator[tuple[str, Path]]:
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                yield str(path.relative_to(self.folder)), path


def leaks(places: Mapping[str, str], secrets: Iterable[str]) -> list[str]:
    """Search as the chaos checker does; reports are binary."""
    binary = [place for place in places if Path(place).suffix in BINARY]
    return find_leaks({place: [text] for place, text in places.items()}, secrets, binary=binary)


def _without_the_topics_own(envelope: str) -> str:
    """Drop what SNS itself puts around every message: the link to unsubscribe, which is no report's."""
    return json.dumps({name: value for name, value in json.loads(envelope).items() if name != "UnsubscribeURL"})


def _text(path: Path) -> str:
    return path.read_text(encoding="latin-1" if path.suffix in BINARY else "utf-8")


class SessionObserver:
    """Reads every session that the command opens, right before it closes; ``signatures`` are those of all links."""

    def __init__(self, signatures: Sequence[str]) -> None:
        self.insides: list[Inside] = []
        self.signatures = signatures

    def observe(self, session: Session, dead_letters: Sequence[str]) -> None:
        aws = session.aws
        path = aws.outputs["ParameterPath"]
        parameters = aws.client("ssm").get_parameters_by_path(Path=path, Recursive=True)["Parameters"]
        self.insides.append(
            Inside(
                executions=aws.executions(),
                histories=aws.history_texts(),
                logs=[line.text for line in aws.logs()],
                rows=aws.ledger_rows(),
                dead_letters=list(dead_letters),
                envelopes=[_without_the_topics_own(notice.envelope) for notice in session.notices()],
                open_uploads=len(aws.open_multipart_uploads()),
                parameters=[parameter["Value"] for parameter in parameters],
            )
        )


@contextmanager
def observed_sessions(interception: Interception | None = None) -> Iterator[SessionObserver]:
    """Observe the runs of the command, and let an interception disturb them."""

    class ObservedSession(Session):
        def __init__(
            self,
            *,
            sources: Sequence[SourceSettings],
            secrets: Mapping[str, str],
            tick_seconds: float,
            secret_prefix: str,
        ) -> None:
            super().__init__(
                sources=sources,
                secrets=secrets,
                tick_seconds=tick_seconds,
                secret_prefix=secret_prefix,
                interception=interception,
            )
            self._letters: list[str] = []
            take = self.aws.dead_letters

            def remember(queue_url: str | None = None) -> list[str]:
                self._letters += (letters := take(queue_url))
                return letters

            self.aws.dead_letters = remember  # type: ignore[method-assign]  # reading empties the queue

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            observer.observe(self, self._letters)
            super().__exit__(kind, error, trace)

    with patch("local.runs.session.Session", ObservedSession), signatures_collected() as signatures:
        observer = SessionObserver(signatures)
        yield observer
