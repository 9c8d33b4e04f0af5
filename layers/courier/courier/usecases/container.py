"""Puts the parts together for one function, each at its first use.

A handler asks for the one part that does its work; what that part does not need is neither imported
nor made. Tests and the embedded AWS bring their own clock.
"""

from __future__ import annotations

import json
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

    from courier.builds.discovery import Discovery
    from courier.builds.executions import Lifecycle
    from courier.builds.poller import Watch
    from courier.builds.requests import Requesting
    from courier.config.settings import SourceSettings
    from courier.ledger import BuildLedger, RequestLedger, SourceLedger, Table
    from courier.observability.metrics import Meter
    from courier.outcomes.notices import Publication
    from courier.outcomes.records import RecordStore
    from courier.providers.base import Provider
    from courier.sources.catalog import SourceCatalog
    from courier.sources.health import SourceHealth
    from courier.sources.rate_limit import RequestBudget


class Parts:
    """The parts of one invocation over one environment and one clock."""

    def __init__(self, environment: Environment, clock: Clock = utc_now) -> None:
        self.environment = environment
        self.clock = clock
        self._meters: dict[str, Meter] = {}
        self._budgets: dict[str, RequestBudget] = {}

    @cached_property
    def sources(self) -> SourceCatalog:
        """The configured sources."""
        return _catalog(self.environment.required("parameter_path"), aws.client("ssm"))

    @cached_property
    def table(self) -> Table:
        """The ledger's table."""
        from courier.ledger import Table  # noqa: PLC0415

        return Table(self.environment.required("table"), aws.client("dynamodb"))

    @cached_property
    def builds(self) -> BuildLedger:
        """The builds in the ledger."""
        from courier.ledger import BuildLedger  # noqa: PLC0415

        return BuildLedger(self.table, self.clock)

    @cached_property
    def source_ledger(self) -> SourceLedger:
        """The sources in the ledger."""
        from courier.ledger import SourceLedger  # noqa: PLC0415

        return SourceLedger(self.table, self.clock)

    @cached_property
    def requests(self) -> RequestLedger:
        """The requests in the ledger."""
        from courier.ledger import RequestLedger  # noqa: PLC0415

        return RequestLedger(self.table, self.clock)

    @cached_property
    def lifecycle(self) -> Lifecycle:
        """Starts and releases executions."""
        from courier.builds.executions import Lifecycle  # noqa: PLC0415

        return Lifecycle(self.environment.required("state_machine"), aws.client("stepfunctions"), self.builds)

    @cached_property
    def health(self) -> SourceHealth:
        """The health of the sources."""
        from courier.sources.health import SourceHealth  # noqa: PLC0415

        return SourceHealth(self.source_ledger, announce=self._announce, stack=self.environment.stack, clock=self.clock)

    @cached_property
    def discovery(self) -> Discovery:
        """Begins builds."""
        from courier.builds.discovery import Discovery  # noqa: PLC0415

        return Discovery(builds=self.builds, sources=self.source_ledger, lifecycle=self.lifecycle, clock=self.clock)

    @cached_property
    def requesting(self) -> Requesting:
        """Asks providers to start builds."""
        from courier.builds.requests import Requesting  # noqa: PLC0415

        return Requesting(
            requests=self.requests,
            builds=self.builds,
            lifecycle=self.lifecycle,
            discovery=self.discovery,
            clock=self.clock,
        )

    @cached_property
    def watch(self) -> Watch:
        """Looks at builds that are due."""
        from courier.builds.poller import Watch  # noqa: PLC0415

        return Watch(
            builds=self.builds,
            sources=self.source_ledger,
            health=self.health,
            lifecycle=self.lifecycle,
            discovery=self.discovery,
            clock=self.clock,
        )

    @cached_property
    def storage(self) -> S3Client:
        """The S3 client of the copy."""
        from courier.transfer.s3_object import storage_config  # noqa: PLC0415

        return aws.storage_client(storage_config())

    @cached_property
    def records(self) -> RecordStore:
        """Writes records."""
        from courier.outcomes.records import RecordStore  # noqa: PLC0415

        return RecordStore(self.environment.required("bucket"), self.environment.prefix, aws.client("s3"))

    def provider(self, settings: SourceSettings, *, call_limit_seconds: float | None = None) -> Provider:
        """Open one source, within its budget and under the eyes of its meter."""
        from courier.observability.provider_events import ProviderCallbacks  # noqa: PLC0415
        from courier.providers import open_provider  # noqa: PLC0415

        meter = self.meter(settings.name)
        callbacks = ProviderCallbacks(
            before_request=self.budget(settings).take,
            on_request=meter.count_request,
            on_unexpected_value=meter.count_unexpected_value,
        )
        return open_provider(settings, callbacks=callbacks, call_limit_seconds=call_limit_seconds)

    def meter(self, source: str) -> Meter:
        """Give the meter of one source, the same for the whole invocation."""
        from courier.observability.metrics import Meter  # noqa: PLC0415

        return self._meters.setdefault(source, Meter(stack=self.environment.stack, source=source))

    def budget(self, settings: SourceSettings) -> RequestBudget:
        """Give the request budget of one source, the same for the whole invocation."""
        from courier.sources.rate_limit import RequestBudget  # noqa: PLC0415

        return self._budgets.setdefault(settings.name, RequestBudget(settings, self.source_ledger, self.clock))

    def dispatcher(self, function: str) -> Callable[[str], None]:
        """Give what hands an event, as JSON text, to another invocation of a function."""

        def dispatch(event: str) -> None:
            aws.client("lambda").invoke(FunctionName=function, InvocationType="Event", Payload=event.encode())

        return dispatch

    def finish(self) -> None:
        """Write what was measured."""
        for meter in self._meters.values():
            meter.write()

    def _announce(self, publication: Publication) -> None:
        aws.client("sns").publish(
            TopicArn=self.environment.required("topic"),
            Subject=publication.subject,
            Message=json.dumps(publication.message),
            MessageStructure="json",
            MessageAttributes={
                name: {"DataType": value["DataType"], "StringValue": value["StringValue"]}
                for name, value in publication.attributes.items()
            },
        )


@lru_cache(maxsize=1)
def _catalog(path: str, client: SSMClient) -> SourceCatalog:
    """Keep what was read of the configuration for the warm function's next invocations."""
    from courier.sources.catalog import SourceCatalog  # noqa: PLC0415

    return SourceCatalog(path, client)


@contextmanager
def invocation() -> Iterator[Parts]:
    """Give the parts for one invocation, and write what it measured when it ends, well or not.

    The parts are new each time and cheap; AWS clients and what was read of the configuration are kept
    by a warm function.
    """
    parts = _Making.make()
    try:
        yield parts
    finally:
        parts.finish()


class _Making:
    """How this process makes parts."""

    make: Callable[[], Parts] = staticmethod(lambda: Parts(Environment.from_variables()))


@contextmanager
def parts_made_by(make: Callable[[], Parts]) -> Iterator[None]:
    """Make parts otherwise for a while: for tests, which bring their own clock."""
    before, _Making.make = _Making.make, staticmethod(make)
    try:
        yield
    finally:
        _Making.make = before
