"""One tick of the poller: look at the builds that are due, and release those that have ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from courier.endings import Ending, ending_of
from courier.errors import BuildNotFoundError, SourceError, SourceUnauthorizedError
from courier.health import concerns_whole_source
from courier.models import Build, BuildStatus, News, Outcome, Problem, Verdict
from courier.observability import logger
from courier.polling import next_look

if TYPE_CHECKING:
    from courier.clock import Clock
    from courier.discovery import Discovery
    from courier.health import SourceHealth
    from courier.ledger import BuildLedger, BuildRow, DueBuild, SourceLedger
    from courier.lifecycle import Lifecycle
    from courier.providers.base import Provider
    from courier.settings import SourceSettings

# One look may hit a replica that does not know the build yet; so many in a row mean that it is gone.
LOOKS_BEFORE_LOST = 3
# About a day of failed looks at the longest usual gap of 15 minutes.
FAILURES_BEFORE_LOST = 100
# More than a tick can serve at a provider's default budget; the rest stays due and comes first next time.
DUE_LIMIT = 300


@dataclass
class TickSummary:
    """What one tick did, for the log and the metrics."""

    due: int = 0
    looked: int = 0
    released: int = 0
    begun: int = 0


class Watch:
    """Looks at the due builds of one source."""

    def __init__(
        self,
        *,
        builds: BuildLedger,
        sources: SourceLedger,
        health: SourceHealth,
        lifecycle: Lifecycle,
        discovery: Discovery,
        clock: Clock,
    ) -> None:
        self._builds = builds
        self._sources = sources
        self._health = health
        self._lifecycle = lifecycle
        self._discovery = discovery
        self._clock = clock

    def tick(
        self, settings: SourceSettings, open_provider: Callable[[], Provider], *, time_is_up: Callable[[], bool]
    ) -> TickSummary:
        """Serve what is due of one source; what time does not suffice for stays due."""
        summary = TickSummary()
        due = self._builds.due(settings.name, limit=DUE_LIMIT)
        summary.due = len(due)
        if not due:
            return summary
        state = self._health.examine(settings.name)
        if self._health.rests(state):
            logger.info("source rests", source=settings.name, until=str(state.rest_until))
            return summary
        provider = open_provider()
        for scope, group in _by_scope(due).items():
            if time_is_up():
                logger.warning("tick stopped early, the rest stays due", source=settings.name)
                break
            rows = self._claim(settings, scope, group)
            try:
                self._look(provider, scope, rows, summary)
            except SourceError as exc:
                self._health.note_failure(settings, state, exc)
                self._count_failures(provider, rows, exc, summary)
                if concerns_whole_source(exc):
                    # The other scopes would fare alike: they stay due, and one timeout a tick is enough.
                    break
                continue
            self._health.note_answer(settings, state)
            state = self._health.examine(settings.name) if state.illness or state.failures else state
        return summary

    def _claim(self, settings: SourceSettings, scope: str, due: Sequence[DueBuild]) -> list[BuildRow]:
        """Set each build's next look before anybody is asked; keeps those that no other poller took."""
        history = self._sources.durations(settings.name, scope)
        now = self._clock()
        rows = []
        for build in due:
            born = build.created_at or build.first_seen_at
            after = next_look(
                now,
                born,
                settings.polling,
                seed=build.build,
                history=history,
                status=build.status,
                deadline_at=build.deadline_at,
            )
            # Past the deadline this look is the last; should it fail, the next tick tries again.
            after = after or now + timedelta(seconds=settings.polling.first_seconds)
            row = self._builds.claim(build, next_poll_at=after)
            if row is not None:
                rows.append(row)
        return rows

    def _look(self, provider: Provider, scope: str, rows: Sequence[BuildRow], summary: TickSummary) -> None:
        """Ask once for the whole scope where that is cheaper, else once per build."""
        listed: dict[str, Build] = {}
        if provider.can_list and len(rows) > 1:
            found = self._list(provider, scope)
            listed = {build.ref.build_id: build for build in found}
            summary.begun += self._discovery.adopt(provider, found)
        for row in rows:
            self._lifecycle.resume(row)
            build = listed.get(row.ref.build_id)
            try:
                # A list without the build proves nothing; the single call does.
                build = build or provider.get_build(row.ref)
            except BuildNotFoundError as exc:
                self._miss(provider, row, exc, summary, not_found=True)
                continue
            summary.looked += 1
            self._apply(provider, row, build, summary)

    def _list(self, provider: Provider, scope: str) -> Sequence[Build]:
        try:
            return provider.list_builds(scope)
        except BuildNotFoundError:
            # The whole scope is gone; the single calls tell what that means for each build.
            return ()

    def _apply(self, provider: Provider, row: BuildRow, build: Build, summary: TickSummary) -> None:
        if build.status is BuildStatus.UNKNOWN:
            logger.warning("unknown status, waiting on", build=row.build)
        ending = ending_of(build, provider)
        if ending.verdict is Verdict.WAIT:
            ending = self._overdue(provider, row)
        if ending.verdict is Verdict.WAIT:
            self._builds.note_status(row, build.status)
        else:
            self._release(row, build, ending, summary)

    def _overdue(self, provider: Provider, row: BuildRow) -> Ending:
        """Judge a build that has not ended: it may have been waited for long enough."""
        now, polling = self._clock(), provider.settings.polling
        waited = f"the build had not ended after {polling.give_up_after_hours:g} hours"
        stalled_since = row.status_since or row.first_seen_at
        if now < row.deadline_at:
            if polling.stall_after_hours is None:
                return Ending(Verdict.WAIT, None)
            if (now - stalled_since).total_seconds() < polling.stall_after_hours * 3600:
                return Ending(Verdict.WAIT, None)
            waited = f"the build's status has not changed for {polling.stall_after_hours:g} hours"
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

    def _count_failures(
        self, provider: Provider, rows: Sequence[BuildRow], error: SourceError, summary: TickSummary
    ) -> None:
        # A key that does not work says nothing about the builds.
        if isinstance(error, SourceUnauthorizedError):
            return
        for row in rows:
            self._miss(provider, row, error, summary, not_found=False)

    def _miss(
        self, provider: Provider, row: BuildRow, error: SourceError, summary: TickSummary, *, not_found: bool
    ) -> None:
        """Count a look that brought nothing; too many of them in a row, or the deadline, end the waiting."""
        row = self._builds.note_miss(row, not_found=not_found)
        ending = Ending(Verdict.WAIT, None)
        if row.not_found >= LOOKS_BEFORE_LOST or row.failures >= FAILURES_BEFORE_LOST:
            ending = Ending(Verdict.RECORD, Outcome.LOST, None, Problem(name=type(error).__name__, message=str(error)))
        elif self._clock() >= row.deadline_at:
            ending = self._overdue(provider, row)
        if ending.verdict is not Verdict.WAIT:
            build = Build(ref=row.ref, status=row.status, created_at=row.created_at)
            self._release(row, build, ending, summary)

    def _release(self, row: BuildRow, build: Build, ending: Ending, summary: TickSummary) -> None:
        if row.task_token is None:
            # The execution has been started a moment ago and does not wait yet.
            self._builds.hurry(row.ref)
            return
        news = News(
            build=build,
            verdict=ending.verdict,
            outcome=ending.outcome,
            detected_at=self._clock(),
            polls=row.polls,
            limits=ending.limits,
            problem=ending.problem,
        )
        if self._lifecycle.release(row.task_token, news):
            summary.released += 1
            logger.info("build ended", build=row.build, status=build.status, outcome=ending.outcome)
        self._builds.note_released(row.ref)


def _by_scope(due: Sequence[DueBuild]) -> Mapping[str, list[DueBuild]]:
    groups: dict[str, list[DueBuild]] = {}
    for build in due:
        groups.setdefault(build.ref.scope, []).append(build)
    return groups
