"""The core of the courier, wired as in a function, over one table, one fake provider and one clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from courier.builds.discovery import Discovery
from courier.builds.executions import Lifecycle
from courier.builds.poll_run import TickSummary
from courier.builds.poller import Watch
from courier.builds.requests import Requesting
from courier.config.environment import Environment
from courier.config.settings import SourceSettings
from courier.ledger import BuildLedger, RequestLedger, SourceLedger, Table
from courier.models import Build, BuildRef
from courier.outcomes.notices import Publication
from courier.sources.catalog import Sources
from courier.sources.health import SourceHealth
from courier.sources.rate_limit import RequestBudget
from courier.usecases.container import Parts
from local.simulator import ManualClock
from tests.aws import BUCKET, TABLE
from tests.fakes import STATE_MACHINE, FakeProvider, FakeStepFunctions, begin_waiting


@dataclass
class World:
    """The parts, and short words for what tests do with them."""

    table: Table
    clock: ManualClock
    provider: FakeProvider = field(default_factory=FakeProvider)
    published: list[Publication] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.builds = BuildLedger(self.table, self.clock)
        self.sources = SourceLedger(self.table, self.clock)
        self.requests = RequestLedger(self.table, self.clock)
        self.stepfunctions = FakeStepFunctions(self.table)
        self.lifecycle = Lifecycle(STATE_MACHINE, self.stepfunctions, self.builds)  # type: ignore[arg-type]  # a fake
        self.health = SourceHealth(self.sources, announce=self.announce, stack="test", clock=self.clock)
        self.discovery = Discovery(builds=self.builds, sources=self.sources, lifecycle=self.lifecycle, clock=self.clock)
        self.requesting = Requesting(
            requests=self.requests,
            builds=self.builds,
            lifecycle=self.lifecycle,
            discovery=self.discovery,
            clock=self.clock,
        )
        self.watch = Watch(
            builds=self.builds,
            sources=self.sources,
            health=self.health,
            lifecycle=self.lifecycle,
            discovery=self.discovery,
            clock=self.clock,
            # One after the other, so that a test can tell what came first; test_watching_at_once has several.
            requests_at_once=1,
        )

    def announce(self, publication: Publication) -> None:
        self.published.append(publication)

    @property
    def settings(self) -> SourceSettings:
        return self.provider.settings

    def use(self, settings: SourceSettings) -> None:
        self.provider.settings = settings

    def discover(self, *, scopes_left: int = 1_000) -> int | None:
        left = [scopes_left]

        def time_is_up() -> bool:
            left[0] -= 1
            return left[0] < 0

        return self.discovery.discover(self.provider, time_is_up=time_is_up)

    def tick(self, *, seconds: float = 0, time_is_up: Callable[[], bool] = lambda: False) -> TickSummary:
        self.clock.advance(seconds)
        return self.watch.tick(
            self.settings,
            self.builds.due(self.settings.name, limit=1_000),
            lambda: self.provider,
            budget=RequestBudget(self.settings, self.sources, self.clock),
            time_is_up=time_is_up,
        )

    def wait_for(self, *builds: Build) -> None:
        """Let the provider know the builds, and executions wait for them; they are due now."""
        self.provider.put(*builds)
        begin_waiting(self.builds, self.stepfunctions, builds, due=self.clock())

    def in_flight(self, ref: BuildRef) -> bool:
        row = self.builds.find(ref)
        return row is not None and row.next_poll_at is not None


class FakeCatalog:
    """The configured sources, without Parameter Store."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources

    def load(self) -> Sources:
        return self.sources


class FakeParts(Parts):
    """The parts of an invocation over fake providers; tables and buckets are moto's."""

    def __init__(self, clock: ManualClock, *providers: FakeProvider, broken: dict[str, str] | None = None) -> None:
        environment = Environment(
            stack="test",
            table=TABLE,
            bucket=BUCKET,
            prefix="",
            parameter_path="/test/sources",
            state_machine=STATE_MACHINE,
            topic="arn:aws:sns:eu-central-1:123456789012:outcomes",
        )
        super().__init__(environment, clock)
        self.providers = {provider.settings.name: provider for provider in providers}
        self.broken = broken or {}
        self.published: list[Publication] = []

    @cached_property
    def sources(self) -> FakeCatalog:  # type: ignore[override]  # it loads the same
        usable = {name: provider.settings for name, provider in self.providers.items()}
        return FakeCatalog(Sources(usable, self.broken))

    @cached_property
    def stepfunctions(self) -> FakeStepFunctions:
        return FakeStepFunctions(self.table)

    @cached_property
    def lifecycle(self) -> Lifecycle:
        return Lifecycle(STATE_MACHINE, self.stepfunctions, self.builds)  # type: ignore[arg-type]  # a fake

    def provider(self, settings: SourceSettings, **_: object) -> FakeProvider:
        return self.providers[settings.name]

    def _announce(self, publication: Publication) -> None:
        self.published.append(publication)
