"""Discovery: which of the builds that a provider lists are new."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from courier.errors import LedgerError, SourceError, SourceUnauthorizedError
from courier.ledger.builds import KEEP_ENDED
from courier.observability.logger import logger
from courier.sources.health import AuthFailures, affects_whole_source

if TYPE_CHECKING:
    from courier.builds.evaluation import StatusEvaluator
    from courier.builds.executions import Executions
    from courier.builds.intake import Intake
    from courier.clock import Clock
    from courier.config.settings import SourceSettings
    from courier.ledger import BuildLedger, BuildRow, SourceLedger
    from courier.models import Build, BuildRef
    from courier.providers.base import Provider

# The ledger drops an ended build after KEEP_ENDED; a provider that still lists it must not make it new again.
MAX_BUILD_AGE = KEEP_ENDED / 2

# Builds that ended this long before the last complete list were in that list, so they are not searched for in the
# ledger each time. An hour is more than clocks differ and lists lag.
LIST_OVERLAP = timedelta(hours=1)


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

    def discover(self, provider: Provider, *, time_is_up: Callable[[], bool], scheduled: bool = False) -> int | None:
        """List all scopes of one source; return the number of builds registered, None when no list call succeeded.

        A scope that the time did not suffice for is listed at the next tick. A scheduled discovery
        skips the scopes that the poller lists in the same minute.
        """
        if not provider.can_list:
            return None
        source = provider.settings.name
        first_scope = self._sources.state(source).next_scope
        registered = 0
        auth_failures = AuthFailures()
        for scope in _rotate(provider.scopes(), first_scope):
            if auth_failures.key_is_dead:
                break
            if time_is_up():
                logger.warning("discovery stopped early, the next tick goes on", scope=scope)
                self._sources.set_next_scope(source, scope)
                break
            if scheduled and not self._sources.claim_list(source, scope, max_age=list_max_age(provider.settings)):
                # The poller has just listed it, and has searched the list for new builds as well.
                continue
            try:
                listed = provider.list_builds(scope)
            except SourceUnauthorizedError as exc:
                auth_failures.add(exc, scope)
            except SourceError as exc:
                if affects_whole_source(exc):
                    raise
                # Such as a data model that was deleted between the two calls.
                logger.warning("scope cannot be listed", scope=scope, reason=str(exc))
            else:
                auth_failures.any_success = True
                registered += self.register_new(provider, listed)
        else:
            if first_scope is not None:
                self._sources.set_next_scope(source, None)
        if auth_failures.first is not None and not auth_failures.any_success:
            raise auth_failures.first
        return registered if auth_failures.any_success else None

    def register_new(self, provider: Provider, listed: Sequence[Build], *, evaluated: Collection[BuildRef] = ()) -> int:
        """Register the listed builds that are new, the oldest first; return their number.

        ``evaluated`` are the builds that the poller has already evaluated from the same list.
        """
        source = provider.settings.name
        first_discovery_at = self._sources.first_discovery_at(source)
        if not listed:
            return 0
        scope = listed[0].ref.scope
        started_at = self._clock()
        last_list_at = self._sources.last_list_at(source, scope)
        relevant = [
            build for build in listed if self._is_relevant(build, provider.settings, first_discovery_at, last_list_at)
        ]
        known = self._builds.find_many(build.ref for build in relevant)
        by_ref = {build.ref: build for build in relevant}
        for ref, row in known.items():
            if row is not None and ref not in evaluated:
                self._update_known(provider, row, by_ref[ref])
        new = [build for build in relevant if build.ref not in known]
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
        # A status that we do not know may be terminal too; a time of completion says that it is.
        if not build.status.is_terminal and build.completed_at is None:
            # However old the provider says it is: it has not ended, and once it has ended it is history.
            return True
        created_at = build.created_at or build.started_at or build.completed_at
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


def list_max_age(settings: SourceSettings) -> timedelta:
    """Return for how long a list stays valid: half the polling interval, so that the next tick always lists again."""
    return timedelta(seconds=settings.polling.first_seconds / 2)


def _rotate(scopes: Sequence[str], first: str | None) -> Sequence[str]:
    """Start with the scope where the last discovery ran out of time, so that every scope has its turn."""
    start = scopes.index(first) if first in scopes else 0
    return [*scopes[start:], *scopes[:start]]


def _oldest_first(builds: Iterable[Build]) -> list[Build]:
    return sorted(builds, key=lambda build: (build.created_at is not None, build.created_at, str(build.ref)))
