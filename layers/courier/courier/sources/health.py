"""Source health, a circuit breaker: when a source may be called, and what one failed request implies for its builds.

A provider that is down costs one timeout a tick, not one per build; a revoked API key costs one notice.

A source is *healthy*; *backing off* after failures, longer each time; or *unhealthy* when only an operator can fix it
(API key, configuration, credits). An unhealthy source is polled as seldom as its settings allow, and becomes healthy
with the first success.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from courier.errors import (
    RequestUncertainError,
    SettingsError,
    SourceError,
    SourceExhaustedError,
    SourceRejectedError,
    SourceThrottledError,
    SourceUnauthorizedError,
)
from courier.models import Problem
from courier.observability.logger import logger
from courier.outcomes.notices import Publication, source_notice

if TYPE_CHECKING:
    from datetime import datetime

    from courier.clock import Clock
    from courier.config.settings import PollingSettings, SourceSettings
    from courier.ledger import SourceLedger, SourceState

# Two failures may be chance; from the third on the source backs off, longer each time: from the
# source's `first_seconds` up to its `longest_seconds`. An unhealthy source backs off for `longest_seconds`.
FAILURES_BEFORE_BACKOFF = 3
# An API key that so many scopes refuse while none accepts it is taken for dead.
AUTH_FAILURES_OF_A_DEAD_KEY = 3
# A provider whose Retry-After is longer than this is called again all the same, once an hour.
MAX_RETRY_AFTER_SECONDS = 3600
# Longer than publishing takes with all its retries: an older claim was cut off, and another invocation may publish.
PUBLISHING_TIMEOUT = timedelta(minutes=1)

Publish = Callable[[Publication], None]


def affects_whole_source(error: SourceError | SettingsError) -> bool:
    """Return whether an error says something about the source, and not only about the requested thing."""
    if isinstance(error, SourceUnauthorizedError | SourceExhaustedError):
        return True
    return not isinstance(error, SourceRejectedError | RequestUncertainError)


class AuthFailures:
    """Distinguishes a dead API key from one that lacks the right to some scopes, by what the other scopes return."""

    def __init__(self) -> None:
        self.any_success = False
        self.first: SourceUnauthorizedError | None = None
        self._count = 0

    @property
    def key_is_dead(self) -> bool:
        """Whether requests for more scopes are of no use."""
        return self._count >= AUTH_FAILURES_OF_A_DEAD_KEY and not self.any_success

    def add(self, error: SourceUnauthorizedError, scope: str) -> None:
        """Count a scope that the provider refuses to our key."""
        logger.warning("scope refused", scope=scope, reason=str(error))
        self.first = self.first or error
        self._count += 1


class SourceHealth:
    """The health of all sources, shared by all invocations through the ledger."""

    def __init__(self, sources: SourceLedger, *, publish: Publish, stack: str, clock: Clock) -> None:
        self._sources = sources
        self._publish = publish
        self._stack = stack
        self._clock = clock

    def state(self, source: str) -> SourceState:
        """Read the state of a source, once per invocation and source."""
        return self._sources.state(source)

    def is_backing_off(self, state: SourceState) -> bool:
        """Return whether the source must not be called now."""
        return state.backoff_until is not None and state.backoff_until > self._clock()

    def record_success(self, settings: SourceSettings, state: SourceState) -> None:
        """Reset failures and health; writes, and publishes a recovery, only if there is something to reset."""
        if state.unhealthy_error is not None and state.unhealthy_since is not None:
            if self._sources.mark_recovered(settings.name):
                logger.info("source recovered", source=settings.name)
                # Without a notice about the failure, a notice about the recovery would only confuse.
                if state.announced_at is not None:
                    self._notify(settings, since=state.unhealthy_since, problem=None, now=self._clock())
        elif state.failures or state.backoff_until:
            self._sources.reset_failures(settings.name)

    def record_failure(self, settings: SourceSettings, state: SourceState, error: SourceError | SettingsError) -> None:
        """Record a failed request: mark the source unhealthy and publish that once, or back off longer each time."""
        logger.warning("request to source failed", source=settings.name, reason=str(error))
        if isinstance(error, SettingsError | SourceUnauthorizedError | SourceExhaustedError):
            self._mark_unhealthy(settings, error)
        elif isinstance(error, SourceThrottledError):
            wait_seconds = error.retry_after_seconds or settings.polling.first_seconds
            backoff = timedelta(seconds=min(wait_seconds, MAX_RETRY_AFTER_SECONDS))
            self._sources.count_failure(settings.name, backoff=backoff, seen=state.failures)
        elif affects_whole_source(error):
            backoff_after = _backoff_after(state.failures + 1, settings.polling)
            self._sources.count_failure(settings.name, backoff=backoff_after, seen=state.failures)

    def _mark_unhealthy(self, settings: SourceSettings, error: SourceError | SettingsError) -> None:
        backoff = timedelta(seconds=settings.polling.longest_seconds)
        since = self._sources.mark_unhealthy(settings.name, type(error).__name__, backoff=backoff)
        if not self._sources.claim_announcement(settings.name, timeout=PUBLISHING_TIMEOUT):
            return
        problem = Problem(name=type(error).__name__, message=str(error), advice=_advice(settings, error))
        if self._notify(settings, since=since, problem=problem, now=since):
            self._sources.mark_announced(settings.name)

    def _notify(self, settings: SourceSettings, *, since: datetime, problem: Problem | None, now: datetime) -> bool:
        publication = source_notice(
            source=settings.name,
            provider=settings.provider,
            stack=self._stack,
            since=since,
            problem=problem,
            now=now,
        )
        try:
            self._publish(publication)
        except (BotoCoreError, ClientError):
            # The builds of the source matter more than the notice about it.
            logger.exception("source health notice not published", source=settings.name)
            return False
        return True


def _advice(settings: SourceSettings, error: SourceError | SettingsError) -> str:
    if isinstance(error, SourceExhaustedError):
        return "Buy credits, or wait for the account's next period."
    if isinstance(error, SettingsError):
        return f"Fix the configuration of the source, or its secret {settings.secret}."
    return f"Store a valid API key in the secret {settings.secret}, or grant the key the missing permission."


def _backoff_after(failures: int, polling: PollingSettings) -> timedelta | None:
    if failures < FAILURES_BEFORE_BACKOFF:
        return None
    # The exponent is bounded so that a source that is down for weeks does not overflow it.
    doublings = min(failures - FAILURES_BEFORE_BACKOFF, 10)
    return timedelta(seconds=min(polling.longest_seconds, polling.first_seconds * (1 << doublings)))
