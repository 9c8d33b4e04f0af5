"""One embedded AWS for many experiments: each starts from an empty state, and runs on virtual time."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import Future
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar, Self
from unittest.mock import patch

from courier.config import secrets as credentials
from courier.config.environment import Environment
from courier.config.settings import SourceSettings
from courier.models import BuildRequest
from courier.usecases import container as wiring
from courier.usecases import poll_builds
from local.chaos.evidence import Evidence, SubmittedRequest, collect
from local.chaos.exchange_hooks import Exchange, exchanges_hooked
from local.chaos.scenario_facts import api_keys, scheduled_ids, scopes_of, signatures_collected
from local.chaos.virtual_time import VirtualTime, pauses_skipped, timeouts_shortened
from local.embedded.async_invocations import AsyncResult
from local.embedded.embedded_aws import EmbeddedAws
from local.embedded.interception import (
    AwsCall,
    CallFault,
    Discard,
    DropResponse,
    Interception,
    Invocation,
    InvocationFault,
    ResponseFault,
)
from local.embedded.results import ReceivedNotice
from local.embedded.scheduler import Scheduler
from local.runs.session import TEMPLATE
from local.simulator import FaultPlan, FaultRule, FaultSample, ManualClock, ProviderName, Scenario, SimulatedProviders

if TYPE_CHECKING:
    from types import TracebackType

    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

# The interval at which the runner checks for idleness, and its timeout. Checking hundreds of executions takes longer
# than the interval and slows down the functions, so it may only take a small share of the time.
_CHECK_SECONDS = 0.001
_CHECK_SHARE = 0.1
_IDLE_TIMEOUT_SECONDS = 600.0
# BatchWriteItem takes no more.
_MAX_BATCH_WRITES = 25
# The longest delay of a simulated provider: twice the timeout of `timeouts_shortened`.
_LONGEST_PAUSE_SECONDS = 1.0
# A request that failed so often fails for good, and stays a dead letter.
_MAX_RESENDS = 5
# The template's schedule of discover_builds.
_DISCOVERY_MINUTES = 5


class FaultInjector(Interception):
    """Injects the faults of one experiment into AWS and the functions; by default none.

    ``redrives``
        Whether failed executions are redriven once everything is idle.
    """

    redrives: ClassVar[bool] = False

    def before(self, exchange: Exchange) -> None:
        """Handle an exchange before its request; see `exchange_hooks.ExchangeHook`."""

    def after(self, exchange: Exchange) -> None:
        """Handle an exchange after its response; see `exchange_hooks.ExchangeHook`."""

    def tick(self, runner: ExperimentRunner) -> None:
        """Act once a minute of virtual time."""


@dataclass(frozen=True, kw_only=True)
class ChaosScenario:
    """Simulated providers, the sources that are configured for them, and the requests to the courier.

    ``sources``
        Returns the configured sources for an endpoint.
    ``requests``
        The initial requests, each with its scope.
    ``history``
        Ids of builds that had ended before the courier started.
    ``faults``, ``sample``, ``outcomes``
        Faults of the providers in every run, fixed or random, and the outcomes that builds may have because of them.
    ``events``
        Changes of the providers or of the configuration, each with the second at which it happens.
    ``repeated_notices``
        How many notices an operator publishes again.
    ``dropped``
        The number of events that are dropped first, by function.
    ``least_minutes``, ``most_minutes``
        By the first all builds have ended and were seen; at the second the experiment is stopped.
    """

    name: str
    simulation: Scenario
    sources: Callable[[str], Sequence[SourceSettings]]
    secrets: Mapping[str, str]
    requests: Sequence[tuple[str, BuildRequest]] = ()
    history: frozenset[str] = frozenset()
    faults: Sequence[FaultRule] = ()
    sample: FaultSample | None = None
    events: Sequence[tuple[float, Callable[[SimulatedProviders, EmbeddedAws], object]]] = ()
    least_minutes: int = 4
    most_minutes: int = 240
    segment_builds: int = poll_builds.SEGMENT_BUILDS
    outcomes: frozenset[str] = frozenset()
    repeated_notices: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)


class ExperimentRunner:
    """An embedded AWS whose functions run on virtual time; up inside a ``with`` block.

    Parameters
    ----------
    parameters
        The template's parameters.
    concurrency_quota
        The most runs of functions at once; by default any number.
    """

    def __init__(self, *, parameters: Mapping[str, str] | None = None, concurrency_quota: int | None = None) -> None:
        self._switch = _InjectorSwitch()
        self._time = VirtualTime(ManualClock())
        self.aws = EmbeddedAws(
            TEMPLATE,
            parameters=parameters,
            interception=self._switch,
            concurrency_quota=concurrency_quota,
            pause=self.pause,
        )
        self._exit = ExitStack()
        self._idle_wait = threading.Event()
        self._first_line = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(exchanges_hooked(self._switch))
            stack.enter_context(pauses_skipped())
            stack.enter_context(self.aws)
            stack.callback(self._stop_time)
            stack.enter_context(wiring.container_factory(self._make_container))
            self._subscription = self.aws.subscribe()
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    @property
    def now(self) -> datetime:
        """The virtual instant."""
        return self._time.clock()

    def run(
        self,
        scenario: ChaosScenario,
        injector: FaultInjector | None = None,
        *,
        faults: Sequence[FaultRule] = (),
        quick_timeouts: bool = False,
    ) -> Evidence:
        """Run a scenario until everything is idle, return its evidence, and reset the embedded AWS.

        Providers pause on the real clock; with ``quick_timeouts`` fractions of a second exceed the timeouts.
        """
        self._time = VirtualTime(ManualClock(datetime.now(UTC)))
        self._switch.to = injector or FaultInjector()
        self._switch.dropping = Counter(scenario.dropped)
        self._dead_letters: list[str] = []
        self._resent = Counter[str]()
        plan = FaultPlan(*scenario.faults, *faults, sample=scenario.sample)
        try:
            with (
                signatures_collected() as links,
                timeouts_shortened() if quick_timeouts else nullcontext(),
                patch.object(poll_builds, "SEGMENT_BUILDS", scenario.segment_builds),
                SimulatedProviders(
                    scenario.simulation, seed=5, clock=self._time.clock, faults=plan, wait=self._wait_briefly
                ) as providers,
            ):
                sources = scenario.sources(providers.url)
                self._configure(sources, scenario.secrets)
                scheduled = frozenset(scheduled_ids(scenario.simulation))
                scopes = scopes_of(scenario.simulation, sources)
                submitted, notices = self._play(scenario, providers, scopes, self._switch.to)
                self._switch.to = FaultInjector()
                return collect(
                    self.aws,
                    providers,
                    notices=notices,
                    dead_letters=[*self._dead_letters, *self.aws.dead_letters()],
                    first_line=self._first_line,
                    sources=scopes,
                    submitted=submitted,
                    scheduled=scheduled,
                    history=scenario.history,
                    secrets=[*api_keys(scenario.simulation), *scenario.secrets.values(), *links],
                )
        finally:
            self._switch.to = FaultInjector()
            self._reset()

    def _play(
        self,
        scenario: ChaosScenario,
        providers: SimulatedProviders,
        scopes: Mapping[tuple[ProviderName, str], str],
        injector: FaultInjector,
    ) -> tuple[list[SubmittedRequest], list[ReceivedNotice]]:
        clock = self._time.clock
        started, notices = clock(), list[ReceivedNotice]()
        scheduler = Scheduler(self.aws, now=clock)
        events = list(scenario.events)
        submitted, futures = self._submit(scenario)
        over_since: int | None = None
        for minute in range(scenario.most_minutes):
            now = started + timedelta(minutes=minute)
            self._time.move_to(now)
            while events and now >= started + timedelta(seconds=events[0][0]):
                events.pop(0)[1](providers, self.aws)
            scheduler.fire_due()
            injector.tick(self)
            self._run_until(now + timedelta(minutes=1))
            notices += self._subscription.notices()
            is_over = minute >= scenario.least_minutes and self._is_over(
                futures, injector, _expected_rows(providers, scopes, scenario.history)
            )
            over_since = (minute if over_since is None else over_since) if is_over else None
            if injector.redrives and minute >= scenario.least_minutes:
                self._redrive()
                futures += self._resend_dead_letters({each.request_id for each in submitted})
            # Discovery has run once more since then, and found nothing new.
            if over_since is not None and minute // _DISCOVERY_MINUTES > over_since // _DISCOVERY_MINUTES:
                break
        return submitted, notices

    def _submit(self, scenario: ChaosScenario) -> tuple[list[SubmittedRequest], list[Future[AsyncResult]]]:
        submitted, futures = [], []
        for number, (scope, request) in enumerate(scenario.requests):
            event = {"id": f"event-{number}", "detail": request.model_dump(mode="json", exclude_none=True)}
            submitted.append(
                SubmittedRequest(
                    request_id=f"event-{number}", source=request.source, scope=scope, existing_build_id=request.build_id
                )
            )
            futures.append(self.aws.invoke_asynchronously("request_build", event))
        return submitted, futures

    def _is_over(
        self, futures: Sequence[Future[AsyncResult]], injector: FaultInjector, expected_rows: Set[str]
    ) -> bool:
        if (
            self._time.waiting > 0
            or self.aws.busy()
            or not all(future.done() for future in futures)
            or (injector.redrives and self.aws.failed_executions())
        ):
            return False
        rows = {str(row["build"]): row for row in self.aws.ledger_rows() if not str(row["build"]).startswith("#")}
        return all("outcome" in row for row in rows.values()) and expected_rows <= rows.keys()

    def _redrive(self) -> None:
        for arn in self.aws.failed_executions():
            self.aws.redrive(arn)

    def _resend_dead_letters(self, request_ids: Set[str]) -> list[Future[AsyncResult]]:
        """Treat dead letters as the runbook says: send requests again; leave ticks, which are harmless."""
        resent = []
        for dead_letter in self.aws.dead_letters():
            payload = json.loads(dead_letter).get("requestPayload")
            request_id = str(payload.get("id")) if isinstance(payload, dict) else ""
            if request_id in request_ids and self._resent[request_id] < _MAX_RESENDS:
                self._resent[request_id] += 1
                resent.append(self.aws.invoke_asynchronously("request_build", payload))
            else:
                self._dead_letters.append(dead_letter)
        return resent

    def _run_until(self, until: datetime) -> None:
        """Advance virtual time to an instant; it moves only while everything is idle."""
        quiet = 0
        began = checked_at = time.monotonic()
        while checked_at - began < _IDLE_TIMEOUT_SECONDS:
            checked_at = time.monotonic()
            quiet = quiet + 1 if self.aws.is_idle(self._time.waiting) else 0
            if quiet > 1:
                wake = self._time.next_wake()
                if wake is None or wake > until:
                    return
                self._time.move_to(wake)
                quiet = 0
            self._idle_wait.wait(max(_CHECK_SECONDS, (time.monotonic() - checked_at) / _CHECK_SHARE))
        raise TimeoutError(f"something is still active after {_IDLE_TIMEOUT_SECONDS} real seconds")

    def _configure(self, sources: Sequence[SourceSettings], secrets: Mapping[str, str]) -> None:
        ssm, manager = self.aws.client("ssm"), self.aws.client("secretsmanager")
        for name, value in secrets.items():
            manager.create_secret(Name=name, SecretString=value)
        for source in sources:
            name = f"{self.aws.outputs['ParameterPath']}/{source.name}"
            ssm.put_parameter(Name=name, Value=source.model_dump_json(), Type="String")

    def _wait_briefly(self, seconds: float) -> None:
        self._idle_wait.wait(min(seconds, _LONGEST_PAUSE_SECONDS))

    def pause(self, seconds: float) -> bool:
        """Wait for so much virtual time; return True when the runner stops."""
        return self._time.pause(seconds)

    def _stop_time(self) -> None:
        self._time.close()

    def _make_container(self) -> wiring.Container:
        # Each invocation is a cold start: on AWS every function has its own process, here all share one.
        self._forget_configuration()
        return wiring.Container(Environment.from_variables(), self._time.clock)

    def _reset(self) -> None:
        """Restore the state after the deployment."""
        self._time.close()
        self.aws.forget_executions()
        s3, bucket = self.aws.client("s3"), self.aws.outputs["BucketName"]
        for upload in self.aws.open_multipart_uploads():
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            versions = page.get("Versions", [])
            doomed: list[ObjectIdentifierTypeDef] = [
                {"Key": each["Key"], "VersionId": each["VersionId"]} for each in versions
            ]
            if doomed:
                s3.delete_objects(Bucket=bucket, Delete={"Objects": doomed, "Quiet": True})
        self._delete_ledger_rows()
        ssm, manager = self.aws.client("ssm"), self.aws.client("secretsmanager")
        pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=self.aws.outputs["ParameterPath"])
        for parameter in [parameter for page in pages for parameter in page["Parameters"]]:
            ssm.delete_parameter(Name=parameter["Name"])
        for secret in manager.list_secrets()["SecretList"]:
            manager.delete_secret(SecretId=secret["ARN"], ForceDeleteWithoutRecovery=True)
        self._subscription.notices()
        self.aws.dead_letters()
        self._first_line = len(self.aws.logs())

    def _delete_ledger_rows(self) -> None:
        table, dynamodb = self.aws.outputs["LedgerTableName"], self.aws.client("dynamodb")
        keys = [{"build": {"S": str(row["build"])}} for row in self.aws.ledger_rows()]
        for first in range(0, len(keys), _MAX_BATCH_WRITES):
            batch = keys[first : first + _MAX_BATCH_WRITES]
            dynamodb.batch_write_item(RequestItems={table: [{"DeleteRequest": {"Key": key}} for key in batch]})

    @staticmethod
    def _forget_configuration() -> None:
        wiring._catalog.cache_clear()  # noqa: SLF001 - there is no public way to clear it, and no function needs one
        credentials._secrets.cache_clear()  # noqa: SLF001 - likewise


class _InjectorSwitch(Interception):
    """Delegates to the fault injector of the current experiment."""

    def __init__(self) -> None:
        self.to = FaultInjector()
        self.dropping: Counter[str] = Counter()

    def before(self, exchange: Exchange) -> None:
        self.to.before(exchange)

    def after(self, exchange: Exchange) -> None:
        self.to.after(exchange)

    def before_call(self, call: AwsCall) -> CallFault | None:
        return self.to.before_call(call)

    def after_call(self, call: AwsCall, status: int) -> ResponseFault | None:
        return self.to.after_call(call, status)

    def before_invocation(self, invocation: Invocation) -> InvocationFault | None:
        if self.dropping[invocation.function] > 0:
            self.dropping[invocation.function] -= 1
            return Discard()
        return self.to.before_invocation(invocation)

    def after_invocation(self, invocation: Invocation, *, error_type: str | None) -> DropResponse | None:
        return self.to.after_invocation(invocation, error_type=error_type)


def _expected_rows(
    providers: SimulatedProviders, scopes: Mapping[tuple[ProviderName, str], str], history: Set[str]
) -> set[str]:
    """Return the ledger keys of ended builds that lists show; discovery has not finished until they exist."""
    return {
        f"{scopes[build.provider, build.scope]}/{build.scope}/{build.build_id}"
        for build in providers.builds
        if build.provider is ProviderName.TREASURE_INSIGHTS
        and build.completed is not None
        and build.build_id not in history
        and (build.provider, build.scope) in scopes
    }
