"""One run of the courier on the embedded AWS: configure it, ask, let the schedules fire, and keep what came out."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from courier.models import BuildRef, BuildRequest
from courier.settings import SourceSettings
from local.asynchronous import Delivery
from local.embedded_aws import EmbeddedAws
from local.interception import Interception
from local.results import ExecutionReport, Notice
from local.schedules import Rate
from local.ticker import Ticker

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "template.yaml"
# The template's schedules count in minutes; a tick is how long one of them lasts here.
MINUTE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class BuildLine:
    """One build as a person wants to see it."""

    build: str
    status: str
    outcome: str | None
    looks: int
    seconds: float

    @property
    def parts(self) -> tuple[str, str, str]:
        """Source, scope and build id."""
        source, _, rest = self.build.partition("/")
        scope, _, build_id = rest.rpartition("/")
        return source, scope, build_id

    @property
    def state(self) -> str:
        """The outcome once there is one, the status until then."""
        return self.outcome or self.status


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What a run is asked for, beside what the sources' schedules find by themselves."""

    requests: Sequence[BuildRequest] = ()
    watches: Sequence[BuildRef] = ()


@dataclass(kw_only=True)
class Verdict:
    """How a run went; empty lists are good news."""

    failed_executions: list[ExecutionReport] = field(default_factory=list)
    dead_letters: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether every build reached an outcome and the courier failed nowhere."""
        return not (self.failed_executions or self.dead_letters or self.unfinished)


class Session:
    """The embedded AWS with a configured courier in it, up between ``with`` and its end.

    Parameters
    ----------
    tick_seconds
        How long one minute of the template's schedules lasts. The sources' beat and the pauses of
        retries shrink or grow with it; deadlines do not.
    """

    def __init__(
        self,
        *,
        sources: Sequence[SourceSettings],
        secrets: Mapping[str, str],
        tick_seconds: float = MINUTE_SECONDS,
        interception: Interception | None = None,
    ) -> None:
        self._scale = tick_seconds / MINUTE_SECONDS
        self._sources = sources
        self._secrets = secrets
        self._asked: list[Future[Delivery]] = []
        self._notices: list[Notice] = []
        self.aws = EmbeddedAws(TEMPLATE, second_lasts=min(1.0, self._scale), interception=interception)
        self._tick_seconds = tick_seconds

    def __enter__(self) -> Self:
        """Deploy and configure."""
        self.aws.start()
        try:
            self._configure()
            self._subscription = self.aws.subscribe()
            self._ticker = Ticker(self.aws, tick_seconds=self._tick_seconds)
        except BaseException:
            self.aws.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take everything down."""
        self._ticker.stop()
        self.aws.stop()

    def ask(self, wishes: Wishes) -> None:
        """Hand requests and watches to ``request_build``, as EventBridge would: asynchronously, repeated on errors."""
        for request in wishes.requests:
            self._request(request)
        for ref in wishes.watches:
            self._request(BuildRequest(source=ref.source, scope=ref.scope, build_id=ref.build_id))

    def run(
        self,
        *,
        until_idle: bool,
        timeout_seconds: float | None,
        on_change: Callable[[Sequence[BuildLine]], None],
        pause: Callable[[float], object] | None = None,
        monotonic: Callable[[], float],
    ) -> Verdict:
        """Let the schedules fire until nothing is in flight, or the time is up.

        Parameters
        ----------
        timeout_seconds
            None runs until it is interrupted, or idle.
        on_change
            Called about twice a second with all builds known, for a display.
        """
        pause = pause or threading.Event().wait
        started = monotonic()
        self._ticker.start()
        while True:
            lines = self.builds()
            on_change(lines)
            if until_idle and self._is_idle(lines):
                break
            if timeout_seconds is not None and monotonic() - started >= timeout_seconds:
                break
            pause(0.5)
        self._ticker.stop()
        self._drain()
        lines = self.builds()
        on_change(lines)
        return Verdict(
            failed_executions=[run for run in self.aws.executions() if run.status not in {"SUCCEEDED", "RUNNING"}],
            dead_letters=self.aws.dead_letters(),
            unfinished=[line.build for line in lines if line.outcome is None],
        )

    def builds(self) -> list[BuildLine]:
        """Give every build that the ledger knows, in the order of first sight."""
        now = datetime.now(UTC)
        # moto makes an item before it fills it, and a scan may fall in between.
        rows = [
            row for row in self.aws.ledger_rows() if not str(row["build"]).startswith("#") and "first_seen_at" in row
        ]
        rows.sort(key=lambda row: (str(row.get("first_seen_at")), str(row["build"])))
        return [_line(row, now) for row in rows]

    def notices(self) -> list[Notice]:
        """Give every notice that a subscriber has received so far."""
        self._notices += self._subscription.notices()
        return list(self._notices)

    def provider_requests(self) -> dict[str, int]:
        """Count the requests that the functions made to providers, by kind, from their own metrics."""
        counts: Counter[str] = Counter()
        for line in self.aws.logs():
            if '"ProviderRequests"' in line.text:
                document = json.loads(line.text)
                counts[document["kind"]] += round(sum(document["ProviderRequests"]))
        return dict(sorted(counts.items()))

    def _configure(self) -> None:
        for name, value in self._secrets.items():
            self.aws.client("secretsmanager").create_secret(Name=name, SecretString=value)
        path = self.aws.outputs["ParameterPath"]
        for source in self._sources:
            self.aws.client("ssm").put_parameter(
                Name=f"{path}/{source.name}", Value=self._scaled(source).model_dump_json(), Type="String"
            )

    def _scaled(self, source: SourceSettings) -> SourceSettings:
        beat = source.polling
        scaled = beat.model_copy(
            update={
                "first_seconds": beat.first_seconds * self._scale,
                "longest_seconds": beat.longest_seconds * self._scale,
            }
        )
        return source.model_copy(update={"polling": scaled})

    def _request(self, request: BuildRequest) -> None:
        event = json.loads(request.model_dump_json(exclude_none=True))
        self._asked.append(self.aws.invoke_asynchronously("request_build", event))

    def _is_idle(self, lines: Sequence[BuildLine]) -> bool:
        """Whether all requests were served, every source was looked through, and no build waits for anything."""
        return (
            all(future.done() for future in self._asked)
            and self._has_looked_around()
            and all(line.outcome is not None for line in lines)
            and not self.aws.busy()
        )

    def _has_looked_around(self) -> bool:
        """Whether discovery has run, and no source failed at it that may still come back by itself."""
        fired = self._ticker.usage()
        regular = [plan.logical_id for plan in self.aws.schedules() if plan.enabled and isinstance(plan.timing, Rate)]
        down = any(
            row.get("failures") and not row.get("illness")
            for row in self.aws.ledger_rows()
            if str(row["build"]).startswith("#source/")
        )
        return all(fired[name].fires for name in regular) and not down

    def _drain(self) -> None:
        """Let what is under way come to its end: a notice follows its record by a moment."""
        waited = threading.Event()
        for _ in range(100):
            if not any(
                run.status == "RUNNING" and run.states[-1:] != ("WaitForBuild",) for run in self.aws.executions()
            ):
                return
            waited.wait(0.1)


def _line(row: Mapping[str, object], now: datetime) -> BuildLine:
    seen = datetime.fromisoformat(str(row["first_seen_at"]))
    ended = row.get("ended_at")
    until = datetime.fromisoformat(str(ended)) if ended else now
    outcome = row.get("outcome")
    return BuildLine(
        build=str(row["build"]),
        status=str(row.get("status", "unknown")),
        outcome=str(outcome) if outcome else None,
        looks=int(str(row.get("polls", 0))),
        seconds=(until - seen).total_seconds(),
    )
