"""One tick of the poller: look at the builds that are due, and release those that have ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from courier.builds.discovery import again_after
from courier.builds.evaluation import Judge
from courier.builds.poll_run import TickSummary, Visit
from courier.builds.poll_schedule import birth, next_look
from courier.errors import (
    BuildNotFoundError,
    LedgerError,
    SettingsError,
    SourceError,
    SourceExhaustedError,
    SourceProtocolError,
    SourceThrottledError,
    SourceUnauthorizedError,
)
from courier.observability.logger import logger
from courier.sources.health import concerns_whole_source

if TYPE_CHECKING:
    from datetime import datetime

    from courier.builds.discovery import Discovery
    from courier.builds.executions import Lifecycle
    from courier.clock import Clock
    from courier.config.settings import SourceSettings
    from courier.ledger import BuildLedger, BuildRow, DueBuild, SourceLedger
    from courier.models import Build
    from courier.providers.base import Provider
    from courier.sources.health import SourceHealth
    from courier.sources.rate_limit import RequestBudget

# Requests of one source under way at once. At 150 ms each, eight make some 50 a second: a tick of a few
# seconds for as many builds as a segment holds, and few enough connections for any API.
REQUESTS_AT_ONCE = 8


@dataclass(frozen=True)
class Errand:
    """One request to make: the list of a scope for several of its builds, or one build."""

    scope: str
    due: Sequence[DueBuild]
    history: Sequence[float]
    lists: bool


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
        requests_at_once: int = REQUESTS_AT_ONCE,
    ) -> None:
        self._requests_at_once = requests_at_once
        self._builds = builds
        self._sources = sources
        self._health = health
        self._lifecycle = lifecycle
        self._discovery = discovery
        self._clock = clock
        self._judge = Judge(builds, lifecycle, clock)

    def tick(
        self,
        settings: SourceSettings,
        due: Sequence[DueBuild],
        open_provider: Callable[[], Provider],
        *,
        budget: RequestBudget,
        time_is_up: Callable[[], bool],
        scheduled_at: datetime | None = None,
    ) -> TickSummary:
        """Serve the due builds of one source; what time or budget does not suffice for stays due.

        ``scheduled_at`` is when the tick was to begin. Next looks are reckoned from it: reckoned from a
        clock that is read a moment into the tick, a gap of one minute would miss the next tick.
        """
        summary = TickSummary(due=len(due))
        if not due:
            return summary
        state = self._health.examine(settings.name)
        if self._health.rests(state):
            logger.info("source rests", source=settings.name, until=str(state.rest_until))
            return summary
        try:
            provider = open_provider()
        except SettingsError as exc:
            self._health.note_failure(settings, state, exc)
            return summary
        visit = Visit(provider, budget, summary, time_is_up, self._beat_of(settings, scheduled_at))
        errands = list(self._errands(provider, due))
        budget.expect(len(errands))
        self._run(visit, iter(errands))
        if visit.error is not None:
            if isinstance(visit.error, SourceThrottledError) or not summary.looked:
                self._health.note_failure(settings, state, visit.error)
            else:
                logger.warning("source answers, but not always", source=settings.name, reason=str(visit.error))
        elif visit.refusals.answered:
            self._health.note_answer(settings, state)
        elif (failure := visit.refusals.first or visit.senseless) is not None:
            self._health.note_failure(settings, state, failure)
        return summary

    def _errands(self, provider: Provider, due: Sequence[DueBuild]) -> Iterator[Errand]:
        """Give the requests to make, those for the builds that wait longest first."""
        for scope, group in _by_scope(due).items():
            history = self._sources.durations(provider.settings.name, scope)
            if provider.can_list and len(group) > 1:
                yield Errand(scope, group, history, lists=True)
            else:
                yield from (Errand(scope, (build,), history, lists=False) for build in group)

    def _run(self, visit: Visit, errands: Iterator[Errand]) -> None:
        """Run the errands, the first one alone: one dead provider costs one timeout a tick, not eight."""
        first = next(errands, None)
        if first is None or not self._try(visit, first):
            return
        rest = list(errands)
        if not rest:
            return
        taking = threading.Lock()
        left = iter(rest)

        def work() -> None:
            while True:
                with taking:
                    errand = next(left, None)
                if errand is None or not self._try(visit, errand):
                    return

        workers = min(self._requests_at_once, len(rest))
        with ThreadPoolExecutor(workers, thread_name_prefix="looks") as pool:
            for future in [pool.submit(work) for _ in range(workers)]:
                future.result()

    def _try(self, visit: Visit, errand: Errand) -> bool:
        """Run one errand; False when no further one may begin."""
        if not visit.may_begin():
            return False
        if not visit.budget.reserve():
            logger.info("requests_per_minute is spent, the rest stays due", source=visit.provider.settings.name)
            visit.stop()
            return False
        try:
            if errand.lists:
                self._look_at_scope(visit, errand)
            else:
                for build in errand.due:
                    row = self._claim(visit, build, errand.history)
                    if row is None:
                        visit.budget.give_back()
                    else:
                        self._look_at_build(visit, row)
        except SourceUnauthorizedError as exc:
            visit.refused(exc, errand.scope)
        except (SourceError, SettingsError) as exc:
            if concerns_whole_source(exc):
                # The other errands would fare alike: their builds stay due.
                visit.stop(exc)
            else:
                logger.warning("scope cannot be looked at", scope=errand.scope, reason=str(exc))
        return True

    def _look_at_scope(self, visit: Visit, errand: Errand) -> None:
        """Ask once for all due builds of a scope, and let discovery see the same list."""
        provider = visit.provider
        rows = [row for build in errand.due if (row := self._claim(visit, build, errand.history)) is not None]
        if not rows:
            visit.budget.give_back()
            return
        settings = provider.settings
        if not self._sources.claim_list(settings.name, errand.scope, again_after=again_after(settings)):
            # Discovery lists the scope in this very minute, and tells the end of the builds in its list.
            visit.budget.give_back()
            return
        try:
            found = self._list(provider, errand.scope)
        except SourceError as exc:
            self._no_answer(visit, rows, exc)
            raise
        visit.answered()
        listed = {build.ref.build_id: build for build in found}
        # Those that the list has cost nothing more. A list without a build proves nothing; the single call does.
        absent = [row for row in rows if row.ref.build_id not in listed]
        for row in rows:
            if row.ref.build_id in listed:
                visit.count(looked=1, released=self._judge.settle(provider, row, listed[row.ref.build_id]))
        visit.count(
            batch=len(rows) - len(absent),
            begun=self._discovery.adopt(provider, found, settled={row.ref for row in rows}),
        )
        waiting = iter(absent)
        try:
            for row in waiting:
                if not (visit.may_begin() and visit.budget.reserve()):
                    self._builds.hurry(row.ref)
                    break
                self._look_at_build(visit, row)
        finally:
            for row in waiting:
                self._builds.hurry(row.ref)

    def _look_at_build(self, visit: Visit, row: BuildRow) -> None:
        provider = visit.provider
        try:
            build = provider.get_build(row.ref)
        except BuildNotFoundError as exc:
            visit.answered()
            visit.count(released=self._judge.miss(provider, row, exc, not_found=True))
        except SourceError as exc:
            self._no_answer(visit, [row], exc)
            if concerns_whole_source(exc) and not isinstance(exc, SourceProtocolError):
                raise
            # An answer that makes no sense is taken for the source's only if none made any.
            logger.warning("look without an answer", build=row.build, reason=str(exc))
            visit.senseless = exc
        else:
            visit.answered()
            visit.count(looked=1, released=self._judge.settle(provider, row, build))

    def _no_answer(self, visit: Visit, rows: Sequence[BuildRow], error: SourceError) -> None:
        """Count a look without an answer, unless it says nothing about the build: then the look is still to be made."""
        for row in rows:
            if isinstance(error, SourceUnauthorizedError | SourceExhaustedError | SourceThrottledError):
                self._builds.hurry(row.ref)
            else:
                visit.count(released=self._judge.miss(visit.provider, row, error, not_found=False))

    def _beat_of(self, settings: SourceSettings, scheduled_at: datetime | None) -> datetime:
        """Give the instant that this tick's looks count from: a tick that comes very late counts from now."""
        now = self._clock()
        if scheduled_at is None or abs(now - scheduled_at) > timedelta(seconds=settings.polling.first_seconds):
            return now
        return scheduled_at

    def _claim(self, visit: Visit, build: DueBuild, history: Sequence[float]) -> BuildRow | None:
        """Set a build's next look before anybody is asked; None when there is nothing to look at now."""
        settings = visit.provider.settings
        after = next_look(
            visit.beat,
            birth(build.created_at, build.first_seen_at, settings.polling),
            settings.polling,
            seed=build.build,
            history=history,
            status=build.status,
            deadline_at=build.deadline_at,
        )
        # Past the deadline this look is the last; should it fail, the next tick tries again.
        after = after or visit.beat + timedelta(seconds=settings.polling.first_seconds)
        try:
            row = self._builds.claim(build, next_poll_at=after)
            return row if row is not None and self._lifecycle.resume(row) else None
        except LedgerError as exc:
            logger.error("row cannot be read", reason=str(exc))
            return None

    def _list(self, provider: Provider, scope: str) -> Sequence[Build]:
        try:
            return provider.list_builds(scope)
        except BuildNotFoundError:
            # The whole scope is gone; the single calls tell what that means for each build.
            return ()


def _by_scope(due: Sequence[DueBuild]) -> Mapping[str, list[DueBuild]]:
    groups: dict[str, list[DueBuild]] = {}
    for build in due:
        groups.setdefault(build.ref.scope, []).append(build)
    return groups
