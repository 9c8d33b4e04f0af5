"""What a poll result means: wait on, or release the build's execution with its outcome.

The decision depends on the status (`decide`), on time (the deadline, a status that does not change), and on how
often a poll has failed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from courier.errors import SourceError
from courier.ledger.pauses import effective_deadline, paused_time
from courier.models import TIMED_OUT_ADVICE, AccountLimits, Build, BuildStatus, News, NextStep, Outcome, Problem
from courier.observability.logger import logger

if TYPE_CHECKING:
    from datetime import datetime

    from courier.builds.executions import Executions
    from courier.clock import Clock
    from courier.config.settings import PollingSettings
    from courier.ledger import BuildLedger, BuildRow
    from courier.ledger.pauses import Pause
    from courier.providers.base import Provider

BUILD_FAILED = "BuildFailed"
# The action of an operator that ends a wait, as the row of the build keeps it.
STOP = "stop"
# One poll may reach a replica that does not know the build yet, and a gateway may answer 404 for as long as a
# redeployment takes (https://github.com/traefik/traefik/issues/5332: more than five minutes). So a build is lost
# after this many such polls in a row, over at least this many times `first_seconds` (by default half an hour).
NOT_FOUND_BEFORE_LOST = 3
NOT_FOUND_PATIENCE = 30
# A build with a completion time and a status that we do not know has ended; a status may follow its time by a moment,
# so this many times `first_seconds` pass before the wait ends.
UNKNOWN_END_PATIENCE = 3
# How long the waiting state waits on after the deadline: see WaitForReport in the definition.
EXECUTION_GRACE = timedelta(hours=1)
# A provider that asks for a longer pause with its answer about a build is polled once an hour all the same.
MAX_RETRY_AFTER_SECONDS = 3600.0


class Decision(NamedTuple):
    """The next step of a build, and its outcome where that is already known."""

    next_step: NextStep
    outcome: Outcome | None
    limits: AccountLimits | None = None
    problem: Problem | None = None


WAIT = Decision(NextStep.WAIT, None)


def decide(build: Build, provider: Provider) -> Decision:
    """Return what the status of a build means; a failed build may cost a request for the account's limits."""
    if build.ended_as is not None:
        return Decision(NextStep.RECORD, build.ended_as, None, _problem_of_end(build))
    match build.status:
        case BuildStatus.SUCCEEDED if build.has_artifact:
            return Decision(NextStep.FETCH, None)
        case BuildStatus.SUCCEEDED:
            return Decision(NextStep.RECORD, Outcome.SUCCEEDED)
        case BuildStatus.CANCELED:
            return Decision(NextStep.RECORD, Outcome.CANCELED)
        case BuildStatus.FAILED:
            limits = _account_limits(provider)
            problem = Problem(
                name=BUILD_FAILED,
                message=build.error_message or "the provider reports that the build failed, without a reason",
                advice=provider.failure_advice(limits),
            )
            return Decision(NextStep.RECORD, Outcome.FAILED, limits, problem)
        case _:
            return WAIT


def _problem_of_end(build: Build) -> Problem:
    """Return what to say of a build that has ended without a file, and without having failed."""
    if build.ended_as is Outcome.EMPTY:
        message = build.error_message or "the provider reports that the build has ended and left nothing to fetch"
        return Problem(name="EmptyBuild", message=message)
    message = build.error_message or "the provider reports that the build, or its file, is no longer there"
    return Problem(name="BuildGone", message=message)


class StatusEvaluator:
    """Turns the poll result of a claimed build into a ledger update or a released execution."""

    def __init__(
        self,
        builds: BuildLedger,
        executions: Executions,
        clock: Clock,
        *,
        pauses_of: Callable[[str], Sequence[Pause]] = lambda _: (),
    ) -> None:
        self._pauses_of = pauses_of
        self._builds = builds
        self._executions = executions
        self._clock = clock

    def apply_status(self, provider: Provider, row: BuildRow, build: Build) -> bool:
        """Apply the status that the provider reports; return True when that released the execution."""
        if build.status is BuildStatus.UNKNOWN:
            logger.warning("unknown status, waiting on", build=row.build)
        if not row.has_token and build.status.is_terminal:
            self._poll_again_for_token(row)
            return False
        decision = decide(build, provider)
        if decision.next_step is NextStep.WAIT:
            decision = self._decide_unknown_end(provider, row, build)
        if decision.next_step is NextStep.WAIT:
            polled = row.with_status(build.status, build.provider_status, now=self._clock())
            decision = self._decide_by_time(provider, polled)
        if decision.next_step is not NextStep.WAIT:
            return self._release(row, build, decision)
        self._builds.set_status(row, build.status, provider_status=build.provider_status)
        self._postpone(row, build)
        return False

    def _postpone(self, row: BuildRow, build: Build) -> None:
        """Move the next poll to where the provider wants it: later, never earlier, and not past the deadline."""
        if build.retry_after_seconds is None:
            return
        wait = timedelta(seconds=min(build.retry_after_seconds, MAX_RETRY_AFTER_SECONDS))
        wanted = min(self._clock() + wait, row.deadline_at)
        self._builds.postpone(row, until=wanted)

    def apply_failure(self, provider: Provider, row: BuildRow, error: SourceError, *, not_found: bool) -> bool:
        """Count a poll that returned no status: a build that stays unknown to the API, or the deadline, end the wait.

        Return True when that released the execution.
        """
        counted = self._builds.count_failure(row, str(error), not_found=not_found)
        if counted is None:
            return False
        if self._is_lost(provider, counted):
            problem = Problem(name=type(error).__name__, message=str(error))
            decision = Decision(NextStep.RECORD, Outcome.LOST, None, problem)
        else:
            decision = self._decide_by_time(provider, counted, has_status=False)
        if decision.next_step is NextStep.WAIT:
            return False
        build = Build(ref=counted.ref, status=counted.status, created_at=counted.created_at)
        return self._release(counted, build, decision)

    def stop(self, provider: Provider | None, row: BuildRow) -> bool:
        """End the wait for a build, as an operator wants; return True when that released the execution.

        Without a provider, or where the provider cannot, the build itself is left alone.
        """
        if not row.has_token:
            self._poll_again_for_token(row)
            return False
        act = next((act for act in reversed(row.acts) if act.action == STOP), None)
        who = f"{act.by}{f' ({act.note})' if act.note else ''}" if act else "an operator"
        is_canceled = row.stop_requested == "cancel" and provider is not None and self._request_cancel(provider, row)
        problem = Problem(
            name="StoppedByOperator",
            message=f"stopped by {who}; {row.last_report}; "
            f"{'the provider was asked to cancel it' if is_canceled else 'the build itself was left alone'}",
            advice=f"To wait for it after all: courier retry {row.ref.build_id}",
        )
        build = Build(ref=row.ref, status=row.status, created_at=row.created_at)
        return self._release(row, build, Decision(NextStep.RECORD, Outcome.CANCELED, None, problem))

    def _is_lost(self, provider: Provider, row: BuildRow) -> bool:
        if row.not_found < NOT_FOUND_BEFORE_LOST or row.not_found_since is None:
            return False
        patience = timedelta(seconds=NOT_FOUND_PATIENCE * provider.settings.polling.first_seconds)
        return self._clock() - row.not_found_since >= patience

    def _decide_unknown_end(self, provider: Provider, row: BuildRow, build: Build) -> Decision:
        """Return what a completion time with an unknown status means: an end, once it has lasted for a while."""
        patience = timedelta(seconds=UNKNOWN_END_PATIENCE * provider.settings.polling.first_seconds)
        is_unknown = build.status is BuildStatus.UNKNOWN and row.status is BuildStatus.UNKNOWN
        if not is_unknown or build.completed_at is None:
            return WAIT
        now = self._clock()
        if now - max(row.status_since or row.first_seen_at, min(build.completed_at, now)) < patience:
            return WAIT
        if build.has_artifact:
            return Decision(NextStep.FETCH, None)
        problem = Problem(
            name="UnknownFinalStatus",
            message=f"the provider reports a completion time and an unknown status, {build.provider_status!r}",
            advice="Check at the provider whether the build succeeded, and report the status to the courier's project.",
        )
        return Decision(NextStep.RECORD, Outcome.LOST, None, problem)

    def _decide_by_time(self, provider: Provider, row: BuildRow, *, has_status: bool = True) -> Decision:
        """Return what time means for a build that has not ended: wait on, or timed out.

        A poll without a status does not know whether the status has changed.
        """
        now, polling = self._clock(), provider.settings.polling
        unchanged = now - (row.status_since or row.first_seen_at)
        if now >= row.deadline_at and now >= self._deadline(polling, row):
            reason = f"the build had not ended after {polling.give_up_after_hours:g} hours"
        elif has_status and self._has_stalled(polling, row, unchanged):
            reason = f"the build's status has not changed for {polling.stall_after_hours or 0:g} hours"
        else:
            return WAIT
        if not row.has_token:
            self._poll_again_for_token(row)
            return WAIT
        remote_job = "the provider was asked to cancel it" if self._cancel(provider, row) else "it was left alone"
        problem = Problem(
            name="BuildTimedOut",
            message=f"{reason}; {row.last_report}; {remote_job}",
            advice=TIMED_OUT_ADVICE,
        )
        return Decision(NextStep.RECORD, Outcome.TIMED_OUT, None, problem)

    def _deadline(self, polling: PollingSettings, row: BuildRow) -> datetime:
        return effective_deadline(
            row.deadline_at,
            row.first_seen_at,
            self._pauses_of(row.ref.source),
            self._clock(),
            longest_wait=timedelta(hours=polling.give_up_after_hours),
        )

    def _has_stalled(self, polling: PollingSettings, row: BuildRow, unchanged: timedelta) -> bool:
        if polling.stall_after_hours is None:
            return False
        patience = timedelta(hours=polling.stall_after_hours)
        # The pauses are read only for the few builds that might be past their time.
        return unchanged >= patience and unchanged >= patience + paused_time(
            self._pauses_of(row.ref.source), row.status_since or row.first_seen_at, self._clock()
        )

    def _cancel(self, provider: Provider, row: BuildRow) -> bool:
        return provider.settings.cancel_on_timeout and self._request_cancel(provider, row)

    def _request_cancel(self, provider: Provider, row: BuildRow) -> bool:
        if not provider.can_cancel:
            return False
        try:
            provider.cancel_build(row.ref)
        except SourceError as exc:
            logger.warning("build not canceled", build=row.build, reason=str(exc))
            return False
        return True

    def _release(self, row: BuildRow, build: Build, decision: Decision) -> bool:
        if not row.has_token:
            self._poll_again_for_token(row)
            return False
        payload = News(
            build=build,
            verdict=decision.next_step,
            outcome=decision.outcome,
            detected_at=self._clock(),
            polls=row.polls,
            limits=decision.limits,
            problem=decision.problem,
        )
        token = self._builds.task_token(row)
        released = token is not None and self._executions.release(token, payload)
        if released:
            logger.info("build ended", build=row.build, status=build.status, outcome=decision.outcome)
        self._builds.mark_released(row)
        return released

    def _poll_again_for_token(self, row: BuildRow) -> None:
        """Poll again at the next tick: the execution was started a moment ago and has no task token yet."""
        if self._clock() < row.deadline_at + EXECUTION_GRACE:
            self._builds.make_due(row.ref)
            return
        # The execution failed before its waiting state, which has raised the alarm; a redrive puts the build back.
        logger.error("execution never waited for its build", build=row.build, execution=row.execution)
        self._builds.take_out_of_flight(row.ref)


def _account_limits(provider: Provider) -> AccountLimits | None:
    try:
        return provider.account_limits()
    except SourceError as exc:
        # A notice without limits is better than a late one.
        logger.warning("account limits not read", reason=str(exc))
        return None
