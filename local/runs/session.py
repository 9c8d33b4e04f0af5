"""One run of the courier on the embedded AWS: configure it, submit requests, fire the schedules, report the results."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from courier.config.environment import DEFAULT_SECRET_PREFIX
from courier.config.settings import SourceSettings
from courier.ledger.table import encode
from courier.models import BuildRequest, BuildStatus, NextStep
from local.embedded.async_invocations import AsyncResult
from local.embedded.embedded_aws import EmbeddedAws
from local.embedded.function_runtime import HandlerLoader, new_request_id
from local.embedded.interception import Interception
from local.embedded.results import ReceivedNotice
from local.embedded.scheduler import Scheduler
from local.runs.run_report import RunReport, find_never_responded, is_backing_off, read_dead_letter
from local.runs.saved_ledger import Row, is_ended, rows_to_restore, rows_to_save

# An installed package carries the template and all that it names (pyproject.toml); in a checkout it is the real one.
_PACKAGED = Path(__file__).resolve().parents[1] / "stack" / "template.yaml"
TEMPLATE = _PACKAGED if _PACKAGED.exists() else Path(__file__).resolve().parents[2] / "template.yaml"
# The template's schedules count in minutes; a tick is the length of such a minute here.
MINUTE_SECONDS = 60.0
# The bounds of the settings that are scaled (courier.config.settings).
_LONGEST_GAP_SECONDS = 86_400
_MOST_REQUESTS_PER_MINUTE = 10_000
# The interval at which `run` reads the builds, and the time that `finish` gives to active functions.
_REFRESH_SECONDS = 0.5
GRACE_SECONDS = 10.0
# The poller's logical id.
_POLLER = "PollBuildsFunction"
# The displayed state of a build whose outcome is known and not yet recorded.
FINISHING = "ending"


@dataclass(frozen=True, kw_only=True)
class BuildLine:
    """One build, as it is displayed."""

    build: str
    status: str
    outcome: str | None
    polls: int
    seconds: float
    next_poll_at: datetime | None = None

    @property
    def ref(self) -> tuple[str, str, str]:
        """Source, scope and build id."""
        source, _, rest = self.build.partition("/")
        scope, _, build_id = rest.rpartition("/")
        return source, scope, build_id

    @property
    def state(self) -> str:
        """The outcome if there is one, otherwise the status."""
        return self.outcome or self.status


class Session:
    """The embedded AWS with a configured courier, up inside a ``with`` block.

    Parameters
    ----------
    tick_seconds
        The length of one minute of the template's schedules. Polling intervals, rate limits and the pauses of retries
        are scaled with it; deadlines are not.
    load_handler
        Returns the handler of a function; by default that of the checkout's module, in this process.
    secret_prefix
        Beginning of the names of all secrets; the stack's functions may read no other.

    Attributes
    ----------
    requests
        The submitted requests, by the ids of their events.
    """

    def __init__(
        self,
        *,
        sources: Sequence[SourceSettings],
        secrets: Mapping[str, str],
        tick_seconds: float = MINUTE_SECONDS,
        interception: Interception | None = None,
        load_handler: HandlerLoader | None = None,
        secret_prefix: str = DEFAULT_SECRET_PREFIX,
    ) -> None:
        self._scale = tick_seconds / MINUTE_SECONDS
        self._sources = sources
        self._secrets = secrets
        self._submitted: list[tuple[str, Future[AsyncResult]]] = []
        self._notices: list[ReceivedNotice] = []
        self._dead_letters: list[str] = []
        self.aws = EmbeddedAws(
            TEMPLATE,
            parameters={"SecretPrefix": secret_prefix},
            time_scale=min(1.0, self._scale),
            interception=interception,
            load_handler=load_handler,
        )
        self._tick_seconds = tick_seconds
        # The builds that had an outcome before this run, and all that it continues with.
        self._ended_before: frozenset[str] = frozenset()
        self._restored: frozenset[str] = frozenset()
        self.requests: dict[str, BuildRequest] = {}

    def __enter__(self) -> Self:
        """Deploy and configure."""
        self.aws.start()
        try:
            self._configure()
            self._subscription = self.aws.subscribe()
            self._scheduler = Scheduler(self.aws, tick_seconds=self._tick_seconds)
        except BaseException:
            self.aws.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything."""
        self._scheduler.stop()
        self.aws.stop()

    def restore(self, rows: Sequence[Row]) -> None:
        """Continue with the ledger of an earlier run, from `local.runs.saved_ledger`; before the schedules start."""
        table, client = self.aws.outputs["LedgerTableName"], self.aws.client("dynamodb")
        for row in rows_to_restore(rows, now=datetime.now(UTC)):
            client.put_item(TableName=table, Item={name: encode(value) for name, value in row.items()})
        self._restored = frozenset(str(row["build"]) for row in rows)
        self._ended_before = frozenset(str(row["build"]) for row in rows if is_ended(row))

    def rows_to_save(self) -> list[Row]:
        """Return the rows that another run can continue with."""
        # The rows first: an execution that ends in between is only repeated, and none is forgotten.
        rows = self.aws.ledger_rows()
        return rows_to_save(rows, self.aws.executions())

    def submit(self, requests: Sequence[BuildRequest], *, labels: Sequence[str] | None = None) -> None:
        """Send requests to ``request_build`` as EventBridge does: asynchronously, retried on errors.

        ``labels`` name them, one each, in the report of those that were not processed.
        """
        names = labels or [f"request for {request.source}" for request in requests]
        for request, name in zip(requests, names, strict=True):
            event = {"id": new_request_id(), "detail": json.loads(request.model_dump_json(exclude_none=True))}
            self.requests[event["id"]] = request
            self._submitted.append((name, self.aws.invoke_asynchronously("request_build", event)))

    def run(
        self,
        *,
        until_idle: bool,
        timeout_seconds: float | None,
        on_change: Callable[[Sequence[BuildLine]], None],
        pause: Callable[[float], object] | None = None,
        monotonic: Callable[[], float],
        may_end: Callable[[Sequence[BuildLine]], bool] = lambda _: True,
    ) -> bool:
        """Fire the schedules until nothing is in flight, or until the timeout; return False at the timeout.

        Parameters
        ----------
        timeout_seconds
            With None, run until interrupted or idle.
        on_change
            Called about twice a second with all known builds, for display.
        may_end
            Called when nothing is in flight; returns whether the run may end.
        """
        pause = pause or threading.Event().wait
        started = monotonic()
        self._scheduler.start()
        while True:
            lines = self.builds()
            on_change(lines)
            if until_idle and self._seems_idle(lines) and may_end(lines) and self._is_idle():
                return True
            left = _REFRESH_SECONDS if timeout_seconds is None else timeout_seconds - (monotonic() - started)
            if left <= 0:
                return False
            pause(min(_REFRESH_SECONDS, left))

    def finish(self, *, grace_seconds: float = GRACE_SECONDS) -> RunReport:
        """Stop the schedules, wait for active functions within the grace period, and return the report."""
        self._scheduler.stop()
        is_idle = self._wait_until_idle(grace_seconds)
        rows = self._source_rows()
        builds = self.builds()
        discovery = self.aws.usage()["discover_builds"]
        names = {physical: logical for logical, physical in self.aws.resources.items()}
        return RunReport(
            failed_executions=[run for run in self.aws.executions() if run.status not in {"SUCCEEDED", "RUNNING"}],
            dead_letters=[read_dead_letter(text, names) for text in self.dead_letters()],
            unfinished=[line.build for line in builds if line.outcome is None],
            unhealthy=self._health_problems({name for name, row in rows.items() if row.get("illness")}),
            unresponsive={
                name: str(row.get("last_error", ""))
                for name, row in rows.items()
                if not row.get("illness") and is_backing_off(row)
            },
            failing_scopes=self._failing_scopes(rows),
            never_responded=find_never_responded(
                self._sources,
                rows,
                responded=self._sources_with_a_response()
                | {line.ref[0] for line in builds if line.build not in self._restored},
                has_discovered=discovery.invocations > 0,
            ),
            unserved_requests=[name for name, future in self._submitted if not future.done()],
            is_still_running=not is_idle,
        )

    def builds(self) -> list[BuildLine]:
        """Return the builds of this run, in the order in which they were first seen.

        These are all builds in the ledger except those that had an outcome before the run.
        """
        now = datetime.now(UTC)
        # moto creates an item before it fills it, and a scan may run in between.
        rows = [
            row for row in self.aws.ledger_rows() if not str(row["build"]).startswith("#") and "first_seen_at" in row
        ]
        rows.sort(key=lambda row: (str(row.get("first_seen_at")), str(row["build"])))
        return [_line(row, now) for row in rows if row["build"] not in self._ended_before]

    def next_poll_at(self, builds: Sequence[BuildLine]) -> datetime | None:
        """Return the tick at which the first of these builds is polled next; None when none is in flight."""
        due = [build.next_poll_at for build in builds if build.outcome is None and build.next_poll_at is not None]
        return self._scheduler.fire_at_or_after(_POLLER, min(due)) if due else None

    @property
    def command_line_setup(self) -> str:
        """The shell command after which the ``courier`` command works on this run."""
        place = self.aws.location
        variables = {"ENDPOINT": self.aws.endpoint, "REGION": place.region, "STACK": place.stack_name}
        return " ".join(["export", *(f"COURIER_{name}={value}" for name, value in variables.items())])

    def notices(self) -> list[ReceivedNotice]:
        """Return every notice that the subscription has received so far."""
        self._notices += self._subscription.notices()
        return list(self._notices)

    def dead_letters(self) -> list[str]:
        """Return Lambda's document about each asynchronous invocation that failed for good so far."""
        self._dead_letters += self.aws.dead_letters()
        return list(self._dead_letters)

    def failing_sources(self) -> list[str]:
        """Return the names of sources whose last response was not a good one."""
        return [name for name, row in self._source_rows().items() if row.get("illness") or row.get("failures")]

    def provider_requests(self) -> dict[str, int]:
        """Count the requests that the functions made to providers, by kind, from their own metrics."""
        counts: Counter[str] = Counter()
        for line in self.aws.logs():
            if '"ProviderRequests"' in line.text:
                document = json.loads(line.text)
                counts[document["kind"]] += round(sum(document["ProviderRequests"]))
        return dict(sorted(counts.items()))

    def unexpected_values(self) -> dict[str, int]:
        """Count the unexpected values that providers returned, by source and detail, from the functions' logs."""
        counts: Counter[str] = Counter()
        for line in self.aws.logs():
            if '"unexpected":' in line.text:
                document = json.loads(line.text)
                counts[f"{document['source']}: {document['detail']} ({document['unexpected']})"] += 1
        return dict(sorted(counts.items()))

    def _sources_with_a_response(self) -> set[str]:
        documents = (json.loads(line.text) for line in self.aws.logs() if '"ProviderRequests"' in line.text)
        return {document["source"] for document in documents if str(document["answer"]).startswith("2")}

    def _configure(self) -> None:
        for name, value in self._secrets.items():
            self.aws.client("secretsmanager").create_secret(Name=name, SecretString=value)
        path = self.aws.outputs["ParameterPath"]
        for source in self._sources:
            self.aws.client("ssm").put_parameter(
                Name=f"{path}/{source.name}", Value=self._scaled(source).model_dump_json(), Type="String"
            )

    def _scaled(self, source: SourceSettings) -> SourceSettings:
        polling = source.polling
        scaled = polling.model_copy(
            update={
                "first_seconds": min(_LONGEST_GAP_SECONDS, polling.first_seconds * self._scale),
                "longest_seconds": min(_LONGEST_GAP_SECONDS, polling.longest_seconds * self._scale),
            }
        )
        # The limit of a real minute applies to the scaled one; it is never lowered.
        per_minute = max(source.requests_per_minute, round(source.requests_per_minute / self._scale))
        return source.model_copy(
            update={"polling": scaled, "requests_per_minute": min(_MOST_REQUESTS_PER_MINUTE, per_minute)}
        )

    def _seems_idle(self, lines: Sequence[BuildLine]) -> bool:
        """Return whether all requests were processed, every schedule has fired, and every build has an outcome."""
        may_come_back = any(
            row.get("failures") and not row.get("illness") and not is_backing_off(row)
            for row in self._source_rows().values()
        )
        return (
            all(future.done() for _, future in self._submitted)
            and self._scheduler.has_fired_all
            and not may_come_back
            and all(line.outcome is not None for line in lines)
        )

    def _is_idle(self) -> bool:
        """Stop the schedules and check again: an active tick may have found a build in the meantime."""
        self._scheduler.stop()
        if self._wait_until_idle(GRACE_SECONDS) and self._seems_idle(self.builds()):
            return True
        self._scheduler = Scheduler(self.aws, tick_seconds=self._tick_seconds)
        self._scheduler.start()
        return False

    def _wait_until_idle(self, grace_seconds: float) -> bool:
        """Wait for active functions and executions; return whether they ended in time."""
        try:
            self.aws.wait_until_idle(grace_seconds)
        except TimeoutError:
            return False
        return True

    def _source_rows(self) -> dict[str, Mapping[str, object]]:
        rows = {str(row["build"]): row for row in self.aws.ledger_rows()}
        return {key.removeprefix("#source/"): row for key, row in rows.items() if key.startswith("#source/")}

    def _failing_scopes(self, rows: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
        """Return the last error of each scope that cannot be listed, of sources that are not unhealthy as a whole."""
        found: dict[str, str] = {}
        for row in self.aws.ledger_rows():
            source = str(row["build"]).removeprefix("#failing/")
            if source in rows and not rows[source].get("illness"):
                scopes = json.loads(str(row["scopes"]))
                found |= {f"{source}/{scope}": details["message"] for scope, details in scopes.items()}
        return found

    def _health_problems(self, sources: Set[str]) -> dict[str, str]:
        """Return the published problem of each source that is unhealthy now."""
        problems: dict[str, str] = dict.fromkeys(sorted(sources), "unhealthy")
        for notice in self.notices():
            payload = json.loads(notice.message)["data"]
            if payload.get("health") == "unhealthy" and payload["source"] in sources:
                problems[payload["source"]] = " ".join(
                    filter(None, (payload["problem"]["message"], payload["problem"]["advice"]))
                )
        return problems


def _line(row: Mapping[str, object], now: datetime) -> BuildLine:
    seen = datetime.fromisoformat(str(row["first_seen_at"]))
    ended = row.get("ended_at")
    until = datetime.fromisoformat(str(ended)) if ended else now
    outcome = row.get("outcome")
    # The courier does not wait for a build that had ended when it was first seen, nor for a request that led to none.
    # The passage says so until the execution has started, and then the attributes of a build in flight.
    passage = json.loads(str(row.get("passage", "{}")))
    waits = passage["verdict"] == NextStep.WAIT if passage else "due_source" in row or "released_at" in row
    return BuildLine(
        build=str(row["build"]),
        status=str(row.get("status", BuildStatus.UNKNOWN)) if waits else FINISHING,
        outcome=str(outcome) if outcome else None,
        polls=int(str(row.get("polls", 0))),
        seconds=(until - seen).total_seconds(),
        next_poll_at=datetime.fromisoformat(str(row["next_poll_at"])) if row.get("next_poll_at") else None,
    )
