"""What a look at a waiting build means: wait on, or release its execution with the news of its end."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from courier.builds.outcome_rules import WAITING, Ending, ending_of
from courier.errors import SourceError
from courier.models import Build, BuildStatus, News, Outcome, Problem, Verdict
from courier.observability.logger import logger

if TYPE_CHECKING:
    from courier.builds.executions import Lifecycle
    from courier.clock import Clock
    from courier.ledger import BuildLedger, BuildRow
    from courier.providers.base import Provider

# One look may hit a replica that does not know the build yet; so many in a row mean that it is gone.
LOOKS_BEFORE_LOST = 3
# About a day of failed looks at the longest usual gap of 15 minutes.
FAILURES_BEFORE_LOST = 100
# As long as the waiting state waits on after the deadline: see WaitForReport in the definition.
EXECUTION_GRACE = timedelta(hours=1)


class Judge:
    """Settles looks at builds that the poller has claimed."""

    def __init__(self, builds: BuildLedger, lifecycle: Lifecycle, clock: Clock) -> None:
        self._builds = builds
        self._lifecycle = lifecycle
        self._clock = clock

    def settle(self, provider: Provider, row: BuildRow, build: Build) -> bool:
        """Act on what the provider says of a build; True when that released its execution."""
        if build.status is BuildStatus.UNKNOWN:
            logger.warning("unknown status, waiting on", build=row.build)
        if not row.has_token and build.status.is_terminal:
            self._await_token(row)
            return False
        ending = ending_of(build, provider)
        if ending.verdict is Verdict.WAIT:
            ending = self._overdue(provider, row, build.status)
        if ending.verdict is not Verdict.WAIT:
            return self._release(row, build, ending)
        self._builds.note_status(row, build.status)
        return False

    def miss(self, provider: Provider, row: BuildRow, error: SourceError, *, not_found: bool) -> bool:
        """Count a look that brought nothing: too many of them, or the deadline, end the waiting.

        True when that released the execution.
        """
        counted = self._builds.note_miss(row, not_found=not_found)
        if counted is None:
            return False
        if counted.not_found >= LOOKS_BEFORE_LOST or counted.failures >= FAILURES_BEFORE_LOST:
            ending = Ending(Verdict.RECORD, Outcome.LOST, None, Problem(name=type(error).__name__, message=str(error)))
        else:
            ending = self._overdue(provider, counted, counted.status)
        if ending.verdict is Verdict.WAIT:
            return False
        return self._release(
            counted, Build(ref=counted.ref, status=counted.status, created_at=counted.created_at), ending
        )

    def _overdue(self, provider: Provider, row: BuildRow, status: BuildStatus) -> Ending:
        """Judge a build that has not ended: it may have been waited for long enough."""
        now, polling = self._clock(), provider.settings.polling
        unchanged = now - (row.status_since or row.first_seen_at)
        if now >= row.deadline_at:
            waited = f"the build had not ended after {polling.give_up_after_hours:g} hours"
        elif (
            polling.stall_after_hours is not None
            and status is row.status
            and unchanged >= timedelta(hours=polling.stall_after_hours)
        ):
            waited = f"the build's status has not changed for {polling.stall_after_hours:g} hours"
        else:
            return WAITING
        if not row.has_token:
            self._await_token(row)
            return WAITING
        left = "the provider was asked to cancel it" if self._cancel(provider, row) else "it was left alone"
        problem = Problem(
            name="BuildTimedOut",
            message=f"{waited}; {left}",
            advice="Raise polling.give_up_after_hours (or stall_after_hours) of the source if its builds take so long.",
        )
        return Ending(Verdict.RECORD, Outcome.TIMED_OUT, None, problem)

    def _cancel(self, provider: Provider, row: BuildRow) -> bool:
        if not (provider.settings.cancel_on_timeout and provider.can_cancel):
            return False
        try:
            provider.cancel_build(row.ref)
        except SourceError as exc:
            logger.warning("build not canceled", build=row.build, reason=str(exc))
            return False
        return True

    def _release(self, row: BuildRow, build: Build, ending: Ending) -> bool:
        if not row.has_token:
            self._await_token(row)
            return False
        news = News(
            build=build,
            verdict=ending.verdict,
            outcome=ending.outcome,
            detected_at=self._clock(),
            polls=row.polls,
            limits=ending.limits,
            problem=ending.problem,
        )
        token = self._builds.token_of(row)
        released = token is not None and self._lifecycle.release(token, news)
        if released:
            logger.info("build ended", build=row.build, status=build.status, outcome=ending.outcome)
        self._builds.note_released(row)
        return released

    def _await_token(self, row: BuildRow) -> None:
        """Look again at the next tick: the execution has been started a moment ago and does not wait yet."""
        if self._clock() < row.deadline_at + EXECUTION_GRACE:
            self._builds.hurry(row.ref)
            return
        # It failed before it came to wait, which has rung the alarm; a redrive puts the build back.
        logger.error("execution never waited for its build", build=row.build, execution=row.execution)
        self._builds.abandon(row.ref)
