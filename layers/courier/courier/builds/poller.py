"""The poller: polls the due builds of one source, and releases the executions of those that have ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

from courier.builds.discovery import by_reference, list_max_age
from courier.builds.poll_run import PollCall, PollRun, PollSummary
from courier.builds.poll_schedule import age_starts_at, next_poll_at
from courier.errors import (
    BuildNotFoundError,
    LedgerError,
    SettingsError,
    SourceError,
    SourceExhaustedError,
    SourceThrottledError,
    SourceUnauthorizedError,
    SourceUnavailableError,
)
from courier.ledger.pauses import effective_deadline, pause_at
from courier.observability.logger import logger
from courier.sources.health import FailingScopes

if TYPE_CHECKING:
    from datetime import datetime

    from courier.builds.discovery import Discovery
    from courier.builds.evaluation import StatusEvaluator
    from courier.builds.executions import Executions
    from courier.clock import Clock
    from courier.config.settings import SourceSettings
    from courier.ledger import BuildLedger, BuildRow, DueBuild, SourceLedger, SourceState
    from courier.models import Build
    from courier.providers.base import Provider
    from courier.sources.health import SourceHealth
    from courier.sources.rate_limit import RateLimit

# Concurrent requests to one source. At 150 ms each, eight make about 50 requests a second: a few seconds for a whole
# segment, and few enough connections for any API.
CONCURRENT_REQUESTS = 8


class Poller:
    """Polls the due builds of one source."""

    def __init__(
        self,
        *,
        builds: BuildLedger,
        sources: SourceLedger,
        health: SourceHealth,
        executions: Executions,
        discovery: Discovery,
        evaluator: StatusEvaluator,
        clock: Clock,
    ) -> None:
        self.concurrent_requests = CONCURRENT_REQUESTS
        self._builds = builds
        self._sources = sources
        self._health = health
        self._executions = executions
        self._discovery = discovery
        self._evaluator = evaluator
        self._clock = clock

    def poll(
        self,
        settings: SourceSettings,
        due: Sequence[DueBuild],
        open_provider: Callable[[], Provider],
        *,
        rate_limit: RateLimit,
        time_is_up: Callable[[], bool],
        scheduled_at: datetime | None = None,
    ) -> PollSummary:
        """Poll the due builds of one source; what time or rate limit does not suffice for stays due.

        ``scheduled_at`` is the tick's scheduled time. Next polls are counted from it: counted from a
        clock that is read a moment into the tick, a gap of one minute would miss the next tick.
        """
        summary = PollSummary(due=len(due))
        if not due:
            return summary
        state = self._health.state(settings.name)
        if pause := pause_at(state.pauses, self._clock()):
            logger.info("source is paused", source=settings.name, until=str(pause.until))
            return summary
        if self._health.is_backing_off(settings, state):
            logger.info("source is backing off", source=settings.name, until=str(state.backoff_until))
            return summary
        try:
            provider = open_provider()
        except SettingsError as exc:
            self._health.record_failure(settings, state, exc)
            return summary
        run = PollRun(
            provider=provider,
            rate_limit=rate_limit,
            time_is_up=time_is_up,
            failing=self._health.failing_scopes(settings, state),
            pauses=state.pauses,
            started_at=self._start_of_tick(settings, scheduled_at),
            summary=summary,
        )
        calls = list(self._calls(provider, due, run.failing))
        rate_limit.expect(len(calls))
        self._run(run, calls)
        self._apply_not_found(run)
        self._record_health(run, state)
        return summary

    def _record_health(self, run: PollRun, state: SourceState) -> None:
        settings, results = run.provider.settings, run.results
        if run.error is not None and (isinstance(run.error, SourceThrottledError) or not results.any_success):
            self._health.record_failure(settings, state, run.error)
        elif results.any_success:
            if run.failing.changed:
                self._sources.set_failing_scopes(settings.name, run.failing.all())
            self._health.record_success(settings, state.model_copy(update={"failing_scopes": len(run.failing.all())}))
        elif results.first_failure is not None and not results.failed_scopes <= run.failing.known:
            # Known failing scopes say nothing new; that a source without lists rejects everything, only polls see.
            whole_source = results.source_is_down and not run.provider.can_list
            self._health.record_failure(settings, state, results.first_failure, whole_source=whole_source)

    def _calls(self, provider: Provider, due: Sequence[DueBuild], failing: FailingScopes) -> Iterator[PollCall]:
        """Return the calls to make, those for the builds that have waited longest first."""
        by_scope: dict[str, list[DueBuild]] = {}
        for build in due:
            by_scope.setdefault(build.ref.scope, []).append(build)
        for scope, group in by_scope.items():
            history = self._sources.durations(provider.settings.name, scope)
            if provider.can_list and len(group) > 1 and scope not in failing:
                yield PollCall(scope, group, history, lists=True)
            else:
                yield from (PollCall(scope, (build,), history, lists=False) for build in group)

    def _run(self, run: PollRun, calls: Sequence[PollCall]) -> None:
        """Make the calls, the first one alone: a provider that is down costs one timeout a tick, not eight."""
        first, rest = calls[0], calls[1:]
        self._make_call(run, first)
        failure = run.results.first_failure
        if isinstance(failure, SourceUnavailableError) and first.scope not in run.failing.known:
            run.stop(failure)
        if rest:
            workers = min(self.concurrent_requests, len(rest))
            with ThreadPoolExecutor(workers, thread_name_prefix="polls") as pool:
                # Consumed, so that an unexpected error of a thread is raised here.
                list(pool.map(lambda call: self._make_call(run, call), rest))

    def _make_call(self, run: PollRun, call: PollCall) -> None:
        """Make one call, unless the run has been stopped."""
        if not run.may_start():
            return
        if not run.rate_limit.reserve():
            logger.info("requests_per_minute is used up, the rest stays due", source=run.provider.settings.name)
            run.stop()
            return
        try:
            if call.lists:
                self._poll_scope(run, call)
            else:
                for build in call.due:
                    row = self._claim(run, build, call.history)
                    if row is None:
                        run.rate_limit.release()
                    else:
                        self._poll_build(run, row)
        except (SourceThrottledError, SourceExhaustedError, SettingsError) as exc:
            # The other calls would fail the same way: their builds stay due.
            run.stop(exc)
        except SourceError as exc:
            # A scope whose list fails is polled build by build until discovery has listed it.
            run.results.add_failure(exc, call.scope)
            run.failing.add(call.scope, exc)

    def _poll_scope(self, run: PollRun, call: PollCall) -> None:
        """Make one list call for all due builds of a scope, and pass the list on to discovery."""
        provider = run.provider
        rows = [row for build in call.due if (row := self._claim(run, build, call.history)) is not None]
        if not rows:
            run.rate_limit.release()
            return
        if not self._sources.claim_list(provider.settings.name, call.scope, max_age=list_max_age(provider.settings)):
            # Discovery lists the scope in this very minute, and evaluates the builds in its list.
            run.rate_limit.release()
            return
        found: Sequence[Build] = ()
        try:
            found = provider.list_builds(call.scope)
            run.results.any_success = True
        except BuildNotFoundError:
            pass  # The requests for single builds say what that means for each of them.
        except (SourceUnavailableError, SourceExhaustedError) as exc:
            self._apply_failure(run, rows, exc)
            raise
        except SourceError as exc:
            # One build shows whether only the list is refused, or everything.
            self._poll_build(run, rows[0])
            self._apply_failure(run, rows[1:], exc)
            raise
        listed = by_reference(found)
        # Builds in the list cost no further request. A list without a build proves nothing; a request for it does.
        absent = [row for row in rows if row.ref not in listed]
        for row in rows:
            if row.ref in listed:
                released = self._evaluator.apply_status(provider, row, listed[row.ref])
                run.count(polled=1, released=released)
        run.count(
            batch=len(rows) - len(absent),
            registered=self._discovery.register_new(provider, found, evaluated={row.ref for row in rows}),
        )
        remaining = deque(absent)
        try:
            while remaining and run.may_start() and run.rate_limit.reserve():
                self._poll_build(run, remaining.popleft())
        finally:
            for row in remaining:
                self._builds.make_due(row.ref)

    def _poll_build(self, run: PollRun, row: BuildRow) -> None:
        try:
            build = run.provider.get_build(row.ref)
        except BuildNotFoundError as exc:
            # What it means depends on the other builds: see `_apply_not_found`.
            run.not_found.append((row, exc))
        except (SourceThrottledError, SourceExhaustedError) as exc:
            self._apply_failure(run, [row], exc)
            raise
        except SourceError as exc:
            self._apply_failure(run, [row], exc)
            run.results.add_failure(exc, row.ref.scope)
        else:
            run.results.any_success = True
            run.count(polled=1, released=self._evaluator.apply_status(run.provider, row, build))

    def _apply_not_found(self, run: PollRun) -> None:
        """Count the builds that the API does not know, unless it knows none of several: then it is the source.

        A gateway whose backends are away, or an API that has moved, answers 404 for all builds at once.
        """
        is_source = len(run.not_found) > 1 and not run.results.any_success
        for row, error in run.not_found:
            run.count(released=self._evaluator.apply_failure(run.provider, row, error, not_found=not is_source))
        if is_source:
            error = run.not_found[0][1]
            text = f"none of {len(run.not_found)} builds in flight is known to the API: {error}"
            run.results.add_failure(SourceUnavailableError(text), run.not_found[0][0].ref.scope)

    def _apply_failure(self, run: PollRun, rows: Sequence[BuildRow], error: SourceError) -> None:
        """Count a failed poll, unless the error says nothing about the build: then the poll is repeated."""
        for row in rows:
            if isinstance(error, SourceUnauthorizedError | SourceExhaustedError | SourceThrottledError):
                self._builds.make_due(row.ref)
            else:
                run.count(released=self._evaluator.apply_failure(run.provider, row, error, not_found=False))

    def _start_of_tick(self, settings: SourceSettings, scheduled_at: datetime | None) -> datetime:
        """Return the instant that next polls are counted from: now, for a tick that comes very late."""
        now = self._clock()
        if scheduled_at is None or abs(now - scheduled_at) > timedelta(seconds=settings.polling.first_seconds):
            return now
        return scheduled_at

    def _claim(self, run: PollRun, build: DueBuild, history: Sequence[float]) -> BuildRow | None:
        """Set a build's next poll before the request is made; return None when there is nothing to poll now."""
        polling = run.provider.settings.polling
        due_again_at = next_poll_at(
            run.started_at,
            age_starts_at(build.created_at, build.first_seen_at, polling),
            polling,
            seed=build.build,
            history=history,
            status=build.status,
            deadline_at=effective_deadline(
                build.deadline_at,
                build.first_seen_at,
                run.pauses,
                run.started_at,
                longest_wait=timedelta(hours=polling.give_up_after_hours),
            ),
        )
        # Past the deadline this poll is the last; should it fail, the next tick tries again.
        due_again_at = due_again_at or run.started_at + timedelta(seconds=polling.first_seconds)
        try:
            row = self._builds.claim(build, next_poll_at=due_again_at)
            if row is None or not self._executions.start_missing(row):
                return None
        except LedgerError as exc:
            logger.error("row cannot be read", reason=str(exc))
            return None
        if row.stop_requested is not None:
            # An operator stopped it, and the function that served the command could not end the wait.
            run.count(released=self._evaluator.stop(run.provider, row))
            return None
        return row
