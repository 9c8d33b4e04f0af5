"""Finding builds that others started: what is new, and how each new build begins."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from courier.builds.evaluation import Judge
from courier.builds.outcome_rules import Ending, ending_of
from courier.builds.poll_schedule import birth, next_look
from courier.errors import LedgerError, SourceError, SourceUnauthorizedError
from courier.ledger.builds import KEEP_ENDED
from courier.models import LONGEST_WAIT_SECONDS, Build, BuildRef, Passage, Verdict
from courier.observability.logger import logger
from courier.sources.health import Refusals, concerns_whole_source

if TYPE_CHECKING:
    from courier.builds.executions import Lifecycle
    from courier.clock import Clock
    from courier.config.settings import SourceSettings
    from courier.ledger import BuildLedger, BuildRow, SourceLedger
    from courier.providers.base import Provider

# An ended build is forgotten after KEEP_ENDED; a provider that still lists it must not make it new again.
HORIZON = KEEP_ENDED / 2

# Builds that ended so long before a list was taken in were in that list: they need not be looked up again each
# time. An hour is more than clocks differ and lists lag.
OVERLAP = timedelta(hours=1)


class Discovery:
    """Begins an execution for each build that is new to the ledger."""

    def __init__(self, *, builds: BuildLedger, sources: SourceLedger, lifecycle: Lifecycle, clock: Clock) -> None:
        self._builds = builds
        self._sources = sources
        self._lifecycle = lifecycle
        self._clock = clock
        self._judge = Judge(builds, lifecycle, clock)

    def discover(self, provider: Provider, *, time_is_up: Callable[[], bool], scheduled: bool = False) -> int | None:
        """Look through all scopes of one source, and give the number of builds begun; None when nothing was heard.

        A scope that time did not suffice for is looked through at the next tick. A scheduled discovery
        leaves out the scopes that the poller lists in the same minute.
        """
        if not provider.can_list:
            return None
        source = provider.settings.name
        begin_at = self._sources.state(source).next_scope
        begun = 0
        refusals = Refusals()
        for scope in _in_turn(provider.scopes(), begin_at):
            if refusals.prove_a_dead_key:
                break
            if time_is_up():
                logger.warning("discovery stopped early, the next tick goes on", scope=scope)
                self._sources.note_next_scope(source, scope)
                break
            if scheduled and not self._sources.claim_list(source, scope, again_after=again_after(provider.settings)):
                # The poller has just listed it, and looked through the list for new builds as well.
                continue
            try:
                listed = provider.list_builds(scope)
            except SourceUnauthorizedError as exc:
                refusals.add(exc, scope)
            except SourceError as exc:
                if concerns_whole_source(exc):
                    raise
                # A model deleted between the two calls.
                logger.warning("scope cannot be listed", scope=scope, reason=str(exc))
            else:
                refusals.answered = True
                begun += self.adopt(provider, listed)
        else:
            if begin_at is not None:
                self._sources.note_next_scope(source, None)
        if refusals.first is not None and not refusals.answered:
            raise refusals.first
        return begun if refusals.answered else None

    def adopt(self, provider: Provider, listed: Sequence[Build], *, settled: Collection[BuildRef] = ()) -> int:
        """Begin those of the listed builds that are new, the oldest first; gives their number.

        The poller names the builds that it has ``settled`` by the same list: what is read of them here may
        be older than that.
        """
        source = provider.settings.name
        first_sight = self._sources.note_sight(source)
        if not listed:
            return 0
        scope = listed[0].ref.scope
        begun_at = self._clock()
        adopted_at = self._sources.adopted_at(source, scope)
        wanted = [build for build in listed if self._is_wanted(build, provider.settings, first_sight, adopted_at)]
        known = self._builds.find_many(build.ref for build in wanted)
        by_ref = {build.ref: build for build in wanted}
        for ref, row in known.items():
            if row is not None and ref not in settled:
                self._follow_up(provider, row, by_ref[ref])
        new = [build for build in wanted if build.ref not in known]
        begun = sum(self.begin(provider, build) for build in _oldest_first(new))
        if adopted_at is None or begun_at - adopted_at > OVERLAP / 2:
            self._sources.note_adopted(source, scope, begun_at)
        return begun

    def _follow_up(self, provider: Provider, row: BuildRow, build: Build) -> None:
        """Do for a known build what a list can: start what was not started, and tell its end."""
        try:
            waits = self._lifecycle.resume(row)
        except LedgerError as exc:
            logger.error("row cannot be read", reason=str(exc))
            return
        if waits and build.status.is_terminal and row.has_token:
            self._judge.settle(provider, row, build)

    def begin(self, provider: Provider, build: Build) -> bool:
        """Begin one build, whatever its age; False when it was known already."""
        begun = self._begin(provider.settings, provider, build, ending_of(build, provider))
        if begun:
            logger.info("build begun", build=str(build.ref), status=build.status)
        return begun

    def begin_ended(self, provider: Provider, build: Build, ending: Ending) -> bool:
        """Begin a build whose end is known otherwise, such as a report that would have been empty."""
        return self._begin(provider.settings, provider, build, ending)

    def _begin(self, settings: SourceSettings, provider: Provider, build: Build, ending: Ending) -> bool:
        now = self._clock()
        passage = Passage(
            provider=provider.name,
            build=build,
            verdict=ending.verdict,
            outcome=ending.outcome,
            leaves_report=provider.leaves_reports,
            first_seen_at=now,
            detected_at=None if ending.verdict is Verdict.WAIT else now,
            wait_seconds=_wait_seconds(settings),
            limits=ending.limits,
            problem=ending.problem,
        )
        look = next_look(
            now,
            birth(build.created_at, now, settings.polling),
            settings.polling,
            seed=str(build.ref),
            history=self._sources.durations(build.ref.source, build.ref.scope),
            status=build.status,
        )
        return self._lifecycle.begin(passage, next_poll_at=look or now)

    def _is_wanted(
        self, build: Build, settings: SourceSettings, first_sight: datetime, adopted_at: datetime | None
    ) -> bool:
        """Tell builds to look after from history: what had ended before we came, or was taken in long ago."""
        # A word that we do not know may be an end too; a time of completion says that it is.
        if not build.status.is_terminal and build.completed_at is None:
            # However old it says it is: it has not ended, and once it has it will be history.
            return True
        born = build.created_at or build.started_at or build.completed_at
        if born is not None and born < self._clock() - HORIZON:
            return False
        if adopted_at is not None and build.completed_at is not None and build.completed_at < adopted_at - OVERLAP:
            return False
        ended = build.completed_at or born
        return ended is None or ended >= first_sight - timedelta(hours=settings.backfill_hours)


def again_after(settings: SourceSettings) -> timedelta:
    """Give how long a list is as good as new: half a beat, so that the next tick's list is never left out."""
    return timedelta(seconds=settings.polling.first_seconds / 2)


def _wait_seconds(settings: SourceSettings) -> int:
    return max(1, min(LONGEST_WAIT_SECONDS, round(settings.polling.give_up_after_hours * 3600)))


def _in_turn(scopes: Sequence[str], begin_at: str | None) -> Sequence[str]:
    """Begin where the last discovery ran out of time, so that every scope has its turn."""
    start = scopes.index(begin_at) if begin_at in scopes else 0
    return [*scopes[start:], *scopes[:start]]


def _oldest_first(builds: Iterable[Build]) -> list[Build]:
    return sorted(builds, key=lambda build: (build.created_at is not None, build.created_at, str(build.ref)))
