"""The dependency container over fake providers, a fake Step Functions and a manual clock; tables are moto's."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from courier.builds.executions import Executions
from courier.builds.poll_run import PollSummary
from courier.builds.poller import Poller
from courier.config.environment import Environment
from courier.config.settings import SourceSettings
from courier.models import Build, BuildRef
from courier.outcomes.notices import Publication
from courier.sources.catalog import Sources
from courier.sources.rate_limit import RateLimit
from courier.usecases.container import Container
from courier.usecases.discover_builds import discover_builds
from courier.usecases.events import Tick
from local.simulator import ManualClock
from tests.support.aws import BUCKET, TABLE
from tests.support.providers import STATE_MACHINE, FakeProvider
from tests.support.step_functions import FakeStepFunctions, start_waiting


class FakeCatalog:
    """The configured sources, without Parameter Store."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources

    def load(self, *, fresh: bool = False) -> Sources:  # noqa: ARG002 - the catalog's
        return self.sources


class FakePublisher:
    """A topic that stores what is published."""

    def __init__(self) -> None:
        self.published: list[Publication] = []

    def publish(self, publication: Publication) -> None:
        self.published.append(publication)


class FakeContainer(Container):
    """The container of an invocation over fake providers.

    ``fake`` is the first provider: most tests have one, and the short methods below are about it.
    """

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
        self.manual_clock = clock
        self.fakes = {fake.settings.name: fake for fake in providers or (FakeProvider(),)}
        self.broken = broken or {}
        self.version = "1"

    @cached_property
    def sources(self) -> FakeCatalog:  # type: ignore[override]  # a fake
        return FakeCatalog(Sources({name: fake.settings for name, fake in self.fakes.items()}, self.broken))

    @cached_property
    def stepfunctions(self) -> FakeStepFunctions:
        return FakeStepFunctions(self.table)

    @cached_property
    def executions(self) -> Executions:
        return Executions(STATE_MACHINE, self.stepfunctions, self.builds)  # type: ignore[arg-type]  # a fake

    @cached_property
    def notices(self) -> FakePublisher:  # type: ignore[override]  # a fake
        return FakePublisher()

    @cached_property
    def poller(self) -> Poller:
        poller = super().poller
        # One call after the other, so that a test knows their order; test_poller_concurrency makes several at once.
        poller.concurrent_requests = 1
        return poller

    def config_version(self, settings: SourceSettings) -> str:  # noqa: ARG002 - the container's
        return self.version

    def provider(self, settings: SourceSettings, **_: object) -> FakeProvider:
        return self.fakes[settings.name]

    @property
    def fake(self) -> FakeProvider:
        return next(iter(self.fakes.values()))

    @property
    def published(self) -> list[Publication]:
        return self.notices.published

    @property
    def settings(self) -> SourceSettings:
        return self.fake.settings

    def use(self, settings: SourceSettings) -> None:
        self.fake.settings = settings

    def discover(self, *, scopes_left: int = 1_000) -> int | None:
        left = [scopes_left]

        def time_is_up() -> bool:
            left[0] -= 1
            return left[0] < 0

        tick = Tick(source=self.settings.name)
        return discover_builds(self, tick, time_is_up=time_is_up).get(self.settings.name)

    def poll(self, *, seconds: float = 0, time_is_up: Callable[[], bool] = lambda: False) -> PollSummary:
        self.manual_clock.advance(seconds)
        return self.poller.poll(
            self.settings,
            self.builds.due(self.settings.name, limit=1_000),
            lambda: self.fake,
            rate_limit=RateLimit(self.settings, self.source_ledger, self.clock),
            time_is_up=time_is_up,
        )

    def wait_for(self, *builds: Build) -> None:
        """Put builds into their providers, and let executions wait for them; they are due now."""
        for build in builds:
            self.fakes[build.ref.source].put(build)
        start_waiting(self.builds, self.stepfunctions, builds, due=self.clock())

    def in_flight(self, ref: BuildRef) -> bool:
        row = self.builds.find(ref)
        return row is not None and row.next_poll_at is not None
