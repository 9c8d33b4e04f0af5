"""One tick of the poller: look at the builds that are due, and release those that have ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from courier.errors import (
    BuildNotFoundError,
    LedgerError,
    SettingsError,
    SourceError,
    SourceProtocolError,
    SourceThrottledError,
    SourceUnauthorizedError,
)
from courier.health import Refusals, concerns_whole_source
from courier.judging import Judge
from courier.observability import logger
from courier.polling import next_look

if TYPE_CHECKING:
    from courier.clock import Clock
    from courier.discovery import Discovery
    from courier.health import SourceHealth
    from courier.ledger import BuildLedger, BuildRow, DueBuild, SourceLedger
    from courier.lifecycle import Lifecycle
    from courier.models import Build
    from courier.providers.base import Provider
    from courier.settings import SourceSettings

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
        self._judge = Judge(builds, lifecycle, clock)

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
        refusals = Refusals()
        for scope, group in _by_scope(due).items():
            if time_is_up() or refusals.prove_a_dead_key:
                logger.warning("tick stopped early, the rest stays due", source=settings.name)
                break
            try:
                self._serve(provider, scope, group, summary, time_is_up=time_is_up)
            except SourceUnauthorizedError as exc:
                refusals.add(exc, scope)
            except (SourceError, SettingsError) as exc:
                if isinstance(exc, SourceThrottledError) or not summary.looked:
                    self._health.note_failure(settings, state, exc)
                else:
                    logger.warning("source answers, but not always", source=settings.name, reason=str(exc))
                if concerns_whole_source(exc):
                    # The other scopes would fare alike: they stay due, and one timeout a tick is enough.
                    return summary
            else:
                refusals.answered = True
        if refusals.answered:
            self._health.note_answer(settings, state)
        elif refusals.first is not None:
            self._health.note_failure(settings, state, refusals.first)
        return summary

    def _serve(
        self,
        provider: Provider,
        scope: str,
        due: Sequence[DueBuild],
        summary: TickSummary,
        *,
        time_is_up: Callable[[], bool],
    ) -> None:
        """Look at the due builds of one scope: asked for once altogether where that is cheaper, else one by one."""
        history = self._sources.durations(provider.settings.name, scope)
        if not (provider.can_list and len(due) > 1):
            claims = (self._claim(provider.settings, build, history) for build in due)
            self._look_singly(provider, (row for row in claims if row is not None), summary, time_is_up=time_is_up)
            return
        rows = [row for build in due if (row := self._claim(provider.settings, build, history)) is not None]
        try:
            found = self._list(provider, scope)
        except SourceUnauthorizedError:
            raise
        except SourceError as exc:
            for row in rows:
                summary.released += self._judge.miss(provider, row, exc, not_found=False)
            raise
        listed = {build.ref.build_id: build for build in found}
        # Those that the list has cost nothing more. A list without a build proves nothing; the single call does.
        absent = [row for row in rows if row.ref.build_id not in listed]
        for row in rows:
            if row.ref.build_id in listed:
                summary.looked += 1
                summary.released += self._judge.settle(provider, row, listed[row.ref.build_id])
        summary.begun += self._discovery.adopt(provider, found)
        try:
            self._look_singly(provider, (left := iter(absent)), summary, time_is_up=time_is_up)
        finally:
            for row in left:
                self._builds.hurry(row.ref)

    def _claim(self, settings: SourceSettings, build: DueBuild, history: Sequence[float]) -> BuildRow | None:
        """Set a build's next look before anybody is asked; None when there is nothing to look at now."""
        now = self._clock()
        after = next_look(
            now,
            build.created_at or build.first_seen_at,
            settings.polling,
            seed=build.build,
            history=history,
            status=build.status,
            deadline_at=build.deadline_at,
        )
        # Past the deadline this look is the last; should it fail, the next tick tries again.
        after = after or now + timedelta(seconds=settings.polling.first_seconds)
        try:
            row = self._builds.claim(build, next_poll_at=after)
            return row if row is not None and self._lifecycle.resume(row) else None
        except LedgerError as exc:
            logger.error("row cannot be read", reason=str(exc))
            return None

    def _look_singly(
        self, provider: Provider, rows: Iterator[BuildRow], summary: TickSummary, *, time_is_up: Callable[[], bool]
    ) -> None:
        """Ask for each build. An answer that makes no sense is taken for the source's only if none made any."""
        asked = answered = 0
        senseless: SourceError | None = None
        while not (asked and time_is_up()) and (row := next(rows, None)) is not None:
            asked += 1
            try:
                build = provider.get_build(row.ref)
            except BuildNotFoundError as exc:
                answered += 1
                summary.released += self._judge.miss(provider, row, exc, not_found=True)
            except SourceUnauthorizedError:
                # A key that does not work says nothing about the build.
                raise
            except SourceError as exc:
                summary.released += self._judge.miss(provider, row, exc, not_found=False)
                if concerns_whole_source(exc) and not isinstance(exc, SourceProtocolError):
                    raise
                logger.warning("look without an answer", build=row.build, reason=str(exc))
                senseless = exc
            else:
                answered += 1
                summary.looked += 1
                summary.released += self._judge.settle(provider, row, build)
        if senseless is not None and not answered:
            raise senseless

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
