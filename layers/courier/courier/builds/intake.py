"""The intake: the one way in which a build enters the ledger, whether discovered, requested or named by an operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from courier.builds.evaluation import Decision, decide
from courier.builds.poll_schedule import age_starts_at, next_poll_at
from courier.models import LONGEST_WAIT_SECONDS, Build, NextStep, Passage
from courier.observability.logger import logger

if TYPE_CHECKING:
    from courier.builds.executions import Executions
    from courier.clock import Clock
    from courier.config.settings import PollingSettings
    from courier.ledger import SourceLedger
    from courier.providers.base import Provider


class Intake:
    """Registers builds and starts their executions."""

    def __init__(self, *, sources: SourceLedger, executions: Executions, clock: Clock) -> None:
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
        now = self._clock()
        polling = provider.settings.polling
        passage = Passage(
            provider=provider.name,
            build=build,
            verdict=decision.next_step,
            outcome=decision.outcome,
            leaves_report=provider.leaves_reports,
            first_seen_at=now,
            detected_at=None if decision.next_step is NextStep.WAIT else now,
            wait_seconds=_wait_seconds(polling),
            limits=decision.limits,
            problem=decision.problem,
        )
        first_poll_at = next_poll_at(
            now,
            age_starts_at(build.created_at, now, polling),
            polling,
            seed=str(build.ref),
            history=self._sources.durations(build.ref.source, build.ref.scope),
            status=build.status,
        )
        return self._executions.register_and_start(passage, next_poll_at=first_poll_at or now)


def _wait_seconds(polling: PollingSettings) -> int:
    return max(1, min(LONGEST_WAIT_SECONDS, round(polling.give_up_after_hours * 3600)))
