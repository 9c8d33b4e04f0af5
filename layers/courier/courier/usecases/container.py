"""The dependency container: creates what a use case needs, each object at its first use.

Whatever a use case does not need is neither imported nor created. Tests and the embedded AWS pass their own clock.
Use cases receive the container; everything below receives the objects that it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from courier import aws
from courier.clock import Clock, utc_now
from courier.config.environment import Environment

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_ssm import SSMClient

    from courier.builds.actions import BuildActions
    from courier.builds.discovery import Discovery
    from courier.builds.evaluation import StatusEvaluator
    from courier.builds.executions import Executions
    from courier.builds.intake import Intake
    from courier.builds.poller import Poller
    from courier.builds.requests import BuildRequester
    from courier.config.settings import SourceSettings
    from courier.ledger import ActLedger, BuildLedger, RequestLedger, SourceLedger, Table
    from courier.models import Act
    from courier.observability.metrics import Meter
    from courier.outcomes.notices import NoticePublisher
    from courier.outcomes.records import RecordStore
    from courier.providers.base import Provider
    from courier.sources.actions import SourceActions
    from courier.sources.catalog import SourceCatalog
    from courier.sources.health import SourceHealth
    from courier.sources.rate_limit import RateLimit


class Container:
    """The objects of one invocation, over one environment and one clock."""

    def __init__(self, environment: Environment, clock: Clock = utc_now) -> None:
        self.environment = environment
        self.clock = clock
        self._meters: dict[str, Meter] = {}
        self._rate_limits: dict[str, RateLimit] = {}

    @cached_property
    def sources(self) -> SourceCatalog:
        """The configured sources."""
        path = self.environment.required("parameter_path")
        return _catalog(path, aws.client("ssm"), self.environment.secret_prefix)

    @cached_property
    def table(self) -> Table:
        """The ledger's table."""
        from courier.ledger import Table  # noqa: PLC0415

        return Table(self.environment.required("table"), aws.client("dynamodb"))

    @cached_property
    def builds(self) -> BuildLedger:
        """The build rows of the ledger."""
        from courier.ledger import BuildLedger  # noqa: PLC0415

        return BuildLedger(self.table, self.clock)

    @cached_property
    def acts(self) -> ActLedger:
        """The acts of operators in the build rows."""
        from courier.ledger import ActLedger  # noqa: PLC0415

        return ActLedger(self.table, self.clock)

    @cached_property
    def source_ledger(self) -> SourceLedger:
        """The source rows of the ledger."""
        from courier.ledger import SourceLedger  # noqa: PLC0415

        return SourceLedger(self.table, self.clock)

    @cached_property
    def requests(self) -> RequestLedger:
        """The request rows of the ledger."""
        from courier.ledger import RequestLedger  # noqa: PLC0415

        return RequestLedger(self.table, self.clock)

    @cached_property
    def executions(self) -> Executions:
        """Starts and releases executions."""
        from courier.builds.executions import Executions  # noqa: PLC0415

        return Executions(self.environment.required("state_machine"), aws.client("stepfunctions"), self.builds)

    @cached_property
    def notices(self) -> NoticePublisher:
        """Publishes notices about sources."""
        from courier.outcomes.notices import NoticePublisher  # noqa: PLC0415

        return NoticePublisher(self.environment.required("topic"))

    @cached_property
    def health(self) -> SourceHealth:
        """The health of the sources."""
        from courier.sources.health import SourceHealth  # noqa: PLC0415

        return SourceHealth(
            self.source_ledger,
            publish=self.notices.publish,
            stack=self.environment.stack,
            clock=self.clock,
            config_version=self.config_version,
        )

    def config_version(self, settings: SourceSettings) -> str:
        """Return what changes with the settings or the secret of a source."""
        from courier.config.secrets import config_version  # noqa: PLC0415

        return config_version(settings)

    @cached_property
    def evaluator(self) -> StatusEvaluator:
        """Decides what a status means for a build."""
        from courier.builds.evaluation import StatusEvaluator  # noqa: PLC0415

        return StatusEvaluator(
            self.builds,
            self.executions,
            self.clock,
            pauses_of=lambda source: self.source_ledger.state(source).pauses,
        )

    @cached_property
    def intake(self) -> Intake:
        """Registers builds."""
        from courier.builds.intake import Intake  # noqa: PLC0415

        return Intake(sources=self.source_ledger, executions=self.executions, clock=self.clock)

    @cached_property
    def discovery(self) -> Discovery:
        """Finds new builds."""
        from courier.builds.discovery import Discovery  # noqa: PLC0415

        return Discovery(
            builds=self.builds,
            sources=self.source_ledger,
            executions=self.executions,
            intake=self.intake,
            evaluator=self.evaluator,
            clock=self.clock,
        )

    @cached_property
    def requester(self) -> BuildRequester:
        """Requests builds from providers."""
        return self._requester(self.intake)

    def requester_for(self, act: Act) -> BuildRequester:
        """Return what requests builds for an operator: their rows keep the act."""
        from courier.builds.intake import Intake  # noqa: PLC0415

        intake = Intake(sources=self.source_ledger, executions=self.executions, clock=self.clock, acts=(act,))
        return self._requester(intake)

    def _requester(self, intake: Intake) -> BuildRequester:
        from courier.builds.requests import BuildRequester  # noqa: PLC0415

        return BuildRequester(
            requests=self.requests,
            builds=self.builds,
            executions=self.executions,
            intake=intake,
            clock=self.clock,
        )

    @cached_property
    def actions(self) -> BuildActions:
        """What an operator can do to builds."""
        from courier.builds.actions import BuildActions  # noqa: PLC0415

        return BuildActions(
            builds=self.builds,
            acts=self.acts,
            executions=self.executions,
            intake=self.intake,
            evaluator=self.evaluator,
            records=self.records,
            bucket=self.environment.required("bucket"),
            publish=self.notices.publish,
            clock=self.clock,
        )

    @cached_property
    def source_actions(self) -> SourceActions:
        """What an operator can do to sources."""
        from courier.sources.actions import SourceActions  # noqa: PLC0415

        return SourceActions(sources=self.source_ledger, health=self.health, clock=self.clock)

    @cached_property
    def poller(self) -> Poller:
        """Polls due builds."""
        from courier.builds.poller import Poller  # noqa: PLC0415

        return Poller(
            builds=self.builds,
            sources=self.source_ledger,
            health=self.health,
            executions=self.executions,
            discovery=self.discovery,
            evaluator=self.evaluator,
            clock=self.clock,
        )

    @cached_property
    def copy_client(self) -> S3Client:
        """The S3 client of the copy."""
        from courier.transfer.s3_calls import storage_config  # noqa: PLC0415

        return aws.storage_client(storage_config())

    @cached_property
    def records(self) -> RecordStore:
        """Writes records."""
        from courier.outcomes.records import RecordStore  # noqa: PLC0415

        return RecordStore(self.environment.required("bucket"), self.environment.prefix, aws.client("s3"))

    def provider(
        self, settings: SourceSettings, *, call_limit_seconds: float | None = None, fresh_secret: bool = False
    ) -> Provider:
        """Create the provider client of a source, with rate limiting and metrics.

        ``fresh_secret`` does not accept a secret that was read some minutes ago.
        """
        from courier.observability.provider_events import ProviderCallbacks  # noqa: PLC0415
        from courier.providers import open_provider  # noqa: PLC0415

        if fresh_secret:
            from courier.config.secrets import read_secret  # noqa: PLC0415

            read_secret(settings.secret, fresh=True)
        meter = self.meter(settings.name)
        callbacks = ProviderCallbacks(
            before_request=self.rate_limit(settings).take,
            on_request=meter.count_request,
            on_unexpected_value=meter.count_unexpected_value,
        )
        return open_provider(settings, callbacks=callbacks, call_limit_seconds=call_limit_seconds, clock=self.clock)

    def meter(self, source: str) -> Meter:
        """Return the meter of one source, the same for the whole invocation."""
        from courier.observability.metrics import Meter  # noqa: PLC0415

        return self._meters.setdefault(source, Meter(stack=self.environment.stack, source=source))

    def rate_limit(self, settings: SourceSettings) -> RateLimit:
        """Return the rate limit of one source, the same for the whole invocation."""
        from courier.sources.rate_limit import RateLimit  # noqa: PLC0415

        return self._rate_limits.setdefault(settings.name, RateLimit(settings, self.source_ledger, self.clock))

    def write_metrics(self) -> None:
        """Write what the invocation has measured."""
        for meter in self._meters.values():
            meter.write()


@lru_cache(maxsize=1)
def _catalog(path: str, client: SSMClient, secret_prefix: str) -> SourceCatalog:
    """Return a catalog whose cache outlives the invocation in a warm function."""
    from courier.sources.catalog import SourceCatalog  # noqa: PLC0415

    return SourceCatalog(path, client, secret_prefix=secret_prefix)


@contextmanager
def invocation() -> Iterator[Container]:
    """Create the container of one invocation, and write its metrics when the invocation ends, with or without error.

    The container is new each time and cheap; a warm function keeps AWS clients and the source configuration.
    """
    container = _Factory.create()
    try:
        yield container
    finally:
        container.write_metrics()


class _Factory:
    """How this process creates containers."""

    create: Callable[[], Container] = staticmethod(lambda: Container(Environment.from_variables()))


@contextmanager
def container_factory(create: Callable[[], Container]) -> Iterator[None]:
    """Replace how containers are created, for the tests, which pass their own clock."""
    before, _Factory.create = _Factory.create, staticmethod(create)
    try:
        yield
    finally:
        _Factory.create = before
