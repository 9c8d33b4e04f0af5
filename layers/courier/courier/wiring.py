"""Puts the parts together for one function, each at its first use.

A handler asks for the one part that does its work; what that part does not need is neither imported
nor made. Tests and the embedded AWS bring their own clock.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING

from courier import aws
from courier.clock import Clock, utc_now
from courier.settings import Environment

if TYPE_CHECKING:
    from courier.delivery import Delivery
    from courier.discovery import Discovery
    from courier.health import SourceHealth
    from courier.ledger import BuildLedger, RequestLedger, SourceLedger, Table
    from courier.lifecycle import Lifecycle
    from courier.notices import Publication
    from courier.providers.base import Provider
    from courier.records import RecordStore
    from courier.requesting import Requesting
    from courier.settings import SourceSettings
    from courier.sources import SourceCatalog
    from courier.watching import Watch


class Parts:
    """The parts of a function over one environment and one clock."""

    def __init__(self, environment: Environment, clock: Clock = utc_now) -> None:
        self.environment = environment
        self.clock = clock

    @cached_property
    def sources(self) -> SourceCatalog:
        """The configured sources."""
        from courier.sources import SourceCatalog  # noqa: PLC0415

        return SourceCatalog(self.environment.required("parameter_path"), aws.client("ssm"))

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
        from courier.lifecycle import Lifecycle  # noqa: PLC0415

        return Lifecycle(self.environment.required("state_machine"), aws.client("stepfunctions"), self.builds)

    @cached_property
    def health(self) -> SourceHealth:
        """The health of the sources."""
        from courier.health import SourceHealth  # noqa: PLC0415

        return SourceHealth(self.source_ledger, announce=self._announce, stack=self.environment.stack, clock=self.clock)

    @cached_property
    def discovery(self) -> Discovery:
        """Begins builds."""
        from courier.discovery import Discovery  # noqa: PLC0415

        return Discovery(builds=self.builds, sources=self.source_ledger, lifecycle=self.lifecycle, clock=self.clock)

    @cached_property
    def requesting(self) -> Requesting:
        """Asks providers to start builds."""
        from courier.requesting import Requesting  # noqa: PLC0415

        return Requesting(requests=self.requests, builds=self.builds, discovery=self.discovery)

    @cached_property
    def watch(self) -> Watch:
        """Looks at builds that are due."""
        from courier.watching import Watch  # noqa: PLC0415

        return Watch(
            builds=self.builds,
            sources=self.source_ledger,
            health=self.health,
            lifecycle=self.lifecycle,
            discovery=self.discovery,
            clock=self.clock,
        )

    @cached_property
    def delivery(self) -> Delivery:
        """Copies reports."""
        from courier.delivery import Delivery  # noqa: PLC0415

        return Delivery(
            bucket=self.environment.required("bucket"),
            prefix=self.environment.prefix,
            s3=aws.client("s3"),
            builds=self.builds,
            clock=self.clock,
        )

    @cached_property
    def records(self) -> RecordStore:
        """Writes records."""
        from courier.records import RecordStore  # noqa: PLC0415

        return RecordStore(self.environment.required("bucket"), self.environment.prefix, aws.client("s3"))

    def provider(self, settings: SourceSettings) -> Provider:
        """Open one source."""
        from courier.providers import open_provider  # noqa: PLC0415

        return open_provider(settings)

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


class _Current:
    """The parts of this process; a warm function keeps them."""

    parts: Parts | None = None


def parts() -> Parts:
    """Give this function's parts."""
    if _Current.parts is None:
        _Current.parts = Parts(Environment.from_variables())
    return _Current.parts


def use(parts: Parts | None) -> None:
    """Set the parts of this process, or forget them: for tests and the embedded AWS."""
    _Current.parts = parts
