"""The intake: the one way in which a build enters the ledger, whether discovered, requested or named by an operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from courier.builds.evaluation import Decision, decide
from courier.builds.poll_schedule import age_starts_at, next_poll_at
from courier.models import LONGEST_WAIT_SECONDS, Build, NextStep, Passage
from courier.observability.logger import logger

if TYPE_CHECKING:
    from datetime import datetime

    from courier.builds.executions import Executions
    from courier.clock import Clock
    from courier.config.settings import PollingSettings
    from courier.ledger import SourceLedger
    from courier.models import Act, Attempt
    from courier.providers.base import Provider


class Intake:
    """Registers builds and starts their executions.

    ``acts`` are the acts of an operator that led here; the row of each registered build keeps them.
    """

    def __init__(
        self, *, sources: SourceLedger, executions: Executions, clock: Clock, acts: Sequence[Act] = ()
    ) -> None:
        self._acts = acts
        self._sources = sources
        self._executions = executions
        self._clock = clock

    def register(self, provider: Provider, build: Build) -> bool:
        """Register one build, whatever its age; return False for a build that is already registered."""
        registered = self.register_with(provider, build, decide(build, provider))
        if registered:
            logger.info("build registered", build=str(build.ref), status=build.status)
        return registered

    def register_with(self, provider: Provider, build: Build, decision: Decision) -> bool:
        """Register a build whose decision is made elsewhere, such as a request that the provider refused."""
        return self._executions.register_and_start(
            self.passage(provider, build, decision),
            next_poll_at=self.first_poll_at(provider, build),
            acts=self._acts,
        )

    def passage(
        self,
        provider: Provider,
        build: Build,
        decision: Decision,
        *,
        earlier_attempts: Sequence[Attempt] = (),
        first_seen_at: datetime | None = None,
    ) -> Passage:
        """Return the payload of the execution of a build, or of another attempt at it."""
        now = self._clock()
        return Passage(
            provider=provider.name,
            build=build,
            verdict=decision.next_step,
            outcome=decision.outcome,
            leaves_report=provider.leaves_reports,
            first_seen_at=first_seen_at or now,
            detected_at=None if decision.next_step is NextStep.WAIT else now,
            wait_seconds=_wait_seconds(provider.settings.polling),
            limits=decision.limits,
            problem=decision.problem,
            attempt=earlier_attempts[-1].number + 1 if earlier_attempts else 1,
            earlier_attempts=tuple(earlier_attempts),
        )

    def first_poll_at(self, provider: Provider, build: Build) -> datetime:
        """Return when a build that is registered now is polled first."""
        now, polling = self._clock(), provider.settings.polling
        due = next_poll_at(
            now,
            age_starts_at(build.created_at, now, polling),
            polling,
            seed=str(build.ref),
            history=self._sources.durations(build.ref.source, build.ref.scope),
            status=build.status,
            on_tick=False,
        )
        return due or now


def _wait_seconds(polling: PollingSettings) -> int:
    return max(1, min(LONGEST_WAIT_SECONDS, round(polling.give_up_after_hours * 3600)))
