"""Discovery: which of the builds that a provider lists are new."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from courier.errors import LedgerError, SourceError, SourceExhaustedError, SourceThrottledError
from courier.ledger.builds import KEEP_ENDED
from courier.models import BuildStatus
from courier.observability.logger import logger
from courier.sources.health import CallResults

if TYPE_CHECKING:
    from courier.builds.evaluation import StatusEvaluator
    from courier.builds.executions import Executions
    from courier.builds.intake import Intake
    from courier.clock import Clock
    from courier.config.settings import SourceSettings
    from courier.ledger import BuildLedger, BuildRow, SourceLedger, SourceState
    from courier.models import Build, BuildRef
    from courier.providers.base import Provider
    from courier.sources.health import FailingScopes

# The ledger drops an ended build after KEEP_ENDED; a provider that still lists it must not make it new again.
MAX_BUILD_AGE = KEEP_ENDED / 2

# Builds that ended this long before the last complete list were in that list, so they are not searched for in the
# ledger each time. An hour is more than clocks differ and lists lag.
LIST_OVERLAP = timedelta(hours=1)


@dataclass
class DiscoveryRun:
    """What one run over the scopes of a source did; a partial run did not call every scope.

    ``error`` is what stopped it, such as the rate limit; ``unlisted`` scopes are left for the next run of the round,
    which has taken ``round_seconds`` so far.
    """

    registered: int = 0
    is_partial: bool = False
    scopes: int = 0
    unlisted: int = 0
    round_seconds: float = 0.0
    results: CallResults = field(default_factory=CallResults)
    error: SourceError | None = None


class Discovery:
    """Registers each listed build that the ledger does not know."""

    def __init__(
        self,
        *,
        builds: BuildLedger,
        sources: SourceLedger,
        executions: Executions,
        intake: Intake,
        evaluator: StatusEvaluator,
        clock: Clock,
    ) -> None:
        self._builds = builds
        self._sources = sources
        self._executions = executions
        self._intake = intake
        self._evaluator = evaluator
        self._clock = clock

    def discover(
        self,
        provider: Provider,
        state: SourceState,
        failing: FailingScopes,
        *,
        time_is_up: Callable[[], bool],
        scheduled: bool = False,
    ) -> DiscoveryRun:
        """List the scopes of one source, and register their new builds.

        Whatever stops a run (time, rate limit, an error), the next one continues where it stopped. A scope that
        cannot be listed does not stop the others: it is tried again later. A scheduled discovery skips the scopes
        that the poller lists in the same minute.

        Raises
        ------
        SourceError
            The scopes themselves cannot be listed.
        """
        run = DiscoveryRun()
        source = provider.settings.name
        scopes = provider.scopes()
        failing.keep_only(scopes)
        first = scopes.index(state.next_scope) if state.next_scope in scopes else 0
        next_position = len(scopes)
        for position, scope in enumerate(scopes[first:], start=first):
            if time_is_up():
                next_position = position
                break
            if failing.is_paused(scope):
                run.is_partial = True
                continue
            if scheduled and not self._sources.claim_list(source, scope, max_age=list_max_age(provider.settings)):
                # The poller has just listed it, and has searched the list for new builds as well.
                run.is_partial = True
                continue
            try:
                listed = provider.list_builds(scope)
            except (SourceThrottledError, SourceExhaustedError) as exc:
                # A scope that stops two runs in a row must not block those after it; our own limit stops any scope.
                again = scope == state.next_scope and not (isinstance(exc, SourceThrottledError) and exc.own_limit)
                run.error, next_position = exc, position + again
                break
            except SourceError as exc:
                run.results.add_failure(exc, scope, is_known=scope in failing.known)
                failing.add(scope, exc)
                if run.results.source_is_down:
                    # The next run starts after the scopes that failed, for the others may work.
                    next_position = position + 1
                    break
            else:
                run.results.any_success = True
                failing.remove(scope)
                run.registered += self.register_new(provider, listed)
        self._save_progress(provider.settings, state, scopes, next_position, run)
        return run

    def _save_progress(
        self, settings: SourceSettings, state: SourceState, scopes: Sequence[str], position: int, run: DiscoveryRun
    ) -> None:
        """Store where the next run continues; writes only what has changed."""
        now = self._clock()
        run.scopes, run.unlisted = len(scopes), len(scopes) - position
        run.is_partial = run.is_partial or state.next_scope in scopes or position < len(scopes)
        started_at = state.round_started_at or now
        run.round_seconds = (now - started_at).total_seconds()
        next_scope = scopes[position] if position < len(scopes) else None
        if next_scope is not None:
            logger.warning(
                "discovery stopped before the last scope, the next run continues",
                source=settings.name,
                next_scope=next_scope,
                unlisted=run.unlisted,
                scopes=run.scopes,
                reason=str(run.error or run.results.first_failure or "the time is up"),
            )
        if next_scope != state.next_scope or run.unlisted != state.unlisted_scopes:
            self._sources.set_progress(
                settings.name,
                next_scope=next_scope,
                round_started_at=started_at if next_scope is not None else None,
                scopes=run.scopes,
                unlisted=run.unlisted,
            )

    def register_new(self, provider: Provider, listed: Sequence[Build], *, evaluated: Collection[BuildRef] = ()) -> int:
        """Register the listed builds that are new, the oldest first; return their number.

        ``evaluated`` are the builds that the poller has already evaluated from the same list.
        """
        source = provider.settings.name
        if not listed:
            return 0
        first_discovery_at = self._sources.first_discovery_at(source)
        scope = listed[0].ref.scope
        started_at = self._clock()
        last_list_at = self._sources.last_list_at(source, scope)
        relevant = [
            build for build in listed if self._is_relevant(build, provider.settings, first_discovery_at, last_list_at)
        ]
        by_ref = by_reference(relevant)
        known = self._builds.find_many(by_ref)
        for ref, row in known.items():
            if row is not None and ref not in evaluated:
                self._update_known(provider, row, by_ref[ref])
        new = [build for build in relevant if build.ref not in known and build.spelled_ref not in known]
        registered = sum(self._intake.register(provider, build) for build in _oldest_first(new))
        if last_list_at is None or started_at - last_list_at > LIST_OVERLAP / 2:
            self._sources.set_last_list_at(source, scope, started_at)
        return registered

    def _update_known(self, provider: Provider, row: BuildRow, build: Build) -> None:
        """Start the execution of a known build if it is missing, and apply a terminal status."""
        try:
            waits = self._executions.start_missing(row)
        except LedgerError as exc:
            logger.error("row cannot be read", reason=str(exc))
            return
        if waits and build.status.is_terminal and row.has_token:
            self._evaluator.apply_status(provider, row, build)

    def _is_relevant(
        self, build: Build, settings: SourceSettings, first_discovery_at: datetime, last_list_at: datetime | None
    ) -> bool:
        """Return False for history: builds that ended before the first discovery, or were in an earlier list."""
        # A status that we do not know may be terminal too; a time of completion says that it is, readable or not.
        is_unclear = build.status is BuildStatus.UNKNOWN and build.times_unreadable
        if not build.status.is_terminal and build.completed_at is None and not is_unclear:
            # However old the provider says it is: it has not ended, and once it has ended it is history.
            return True
        created_at = build.created_at or build.started_at or build.completed_at
        if created_at is None and build.times_unreadable:
            # The provider client has reported it. Taken for new, the whole history would be.
            return False
        if created_at is not None and created_at < self._clock() - MAX_BUILD_AGE:
            return False
        if (
            last_list_at is not None
            and build.completed_at is not None
            and build.completed_at < last_list_at - LIST_OVERLAP
        ):
            return False
        ended_at = build.completed_at or created_at
        return ended_at is None or ended_at >= first_discovery_at - timedelta(hours=settings.backfill_hours)


def by_reference(listed: Iterable[Build]) -> dict[BuildRef, Build]:
    """Return builds by their references, and by the spelling under which an earlier version may have stored them."""
    builds = {}
    for build in listed:
        builds[build.ref] = build
        if build.spelled_ref is not None:
            builds[build.spelled_ref] = build.model_copy(update={"ref": build.spelled_ref, "spelled_ref": None})
    return builds


def list_max_age(settings: SourceSettings) -> timedelta:
    """Return for how long a list stays valid: half the polling interval, so that the next tick always lists again."""
    return timedelta(seconds=settings.polling.first_seconds / 2)


def _oldest_first(builds: Iterable[Build]) -> list[Build]:
    return sorted(builds, key=lambda build: (build.created_at is not None, build.created_at, str(build.ref)))
