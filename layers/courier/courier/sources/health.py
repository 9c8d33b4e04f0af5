"""Source health, a circuit breaker: when a source may be called, and what one failed request implies for its builds.

A provider that is down costs few timeouts a tick, not one per build; a revoked API key costs one notice.

A source is *healthy*; *backing off* after failures, longer each time; or *unhealthy* when only an operator can fix it
(API key, configuration, credits, a wrong endpoint). An unhealthy source is called as seldom as its settings allow, or
as soon as its settings or its secret have changed, and recovers with the first success. A source of which only some
scopes cannot be listed is unhealthy too, but works on: these scopes are tried again with patience of their own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from courier.errors import (
    BuildNotFoundError,
    RequestUncertainError,
    SettingsError,
    SourceError,
    SourceExhaustedError,
    SourceRejectedError,
    SourceThrottledError,
    SourceUnauthorizedError,
    SourceUnavailableError,
)
from courier.ledger.sources import FailingScope
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
# A source of which so many calls failed while none succeeded is not called any more in the same run.
FAILURES_BEFORE_STOP = 3
# An operator's mistake (a wrong oid, a missing permission) is reported at the second failure of a scope, which is a
# later discovery: a data model may be deleted between two calls. Anything else may pass, and gets one more.
FAILURES_BEFORE_REPORT = 2
# The scopes that the ledger keeps and a notice names; more of them say nothing new.
MAX_FAILING_SCOPES = 50
MAX_SCOPES_IN_NOTICE = 5
SCOPE_MESSAGE_CHARACTERS = 200
# A second refusal of the API key counts only after this share of `first_seconds`: one tick later.
AUTH_RETRY_SHARE = 0.75
# A provider whose Retry-After is longer than this is called again all the same, once an hour.
MAX_RETRY_AFTER_SECONDS = 3600
# Longer than publishing takes with all its retries: an older claim was cut off, and another invocation may publish.
PUBLISHING_TIMEOUT = timedelta(minutes=1)

Publish = Callable[[Publication], None]


def affects_whole_source(error: SourceError | SettingsError) -> bool:
    """Return whether an error says something about the source, and not only about the requested thing."""
    if isinstance(error, SourceUnauthorizedError | SourceExhaustedError):
        return True
    if isinstance(error, SourceRejectedError) and error.wrong_endpoint:
        return True
    return not isinstance(error, SourceRejectedError | RequestUncertainError)


class CallResults:
    """What the calls of one run say together: a source that is down, a dead API key, or a few failing scopes."""

    def __init__(self) -> None:
        self.any_success = False
        self.first_failure: SourceError | None = None
        self.failed_scopes: set[str] = set()
        self._failures = 0
        self._lock = threading.Lock()

    @property
    def source_is_down(self) -> bool:
        """Whether more calls are of no use."""
        return self._failures >= FAILURES_BEFORE_STOP and not self.any_success

    def add_failure(self, error: SourceError, scope: str, *, is_known: bool = False) -> None:
        """Count a failed call, from any thread, and keep the first error; a known failing scope says nothing new."""
        logger.warning("call failed", scope=scope, error=type(error).__name__, reason=str(error))
        with self._lock:
            self.first_failure = self.first_failure or error
            self.failed_scopes.add(scope)
            self._failures += not is_known


class FailingScopes:
    """The scopes of one source that cannot be listed, each with patience of its own."""

    def __init__(self, known: Mapping[str, FailingScope], polling: PollingSettings, clock: Clock) -> None:
        self.known = frozenset(known)
        self._scopes = dict(known)
        self._polling = polling
        self._clock = clock
        self.changed = False

    def __contains__(self, scope: str) -> bool:
        return scope in self._scopes

    def is_paused(self, scope: str) -> bool:
        """Return whether a scope is to be tried later."""
        return scope in self._scopes and self._scopes[scope].retry_at > self._clock()

    def add(self, scope: str, error: SourceError) -> None:
        """Add a failure of a scope, and wait longer before each further try."""
        now, before = self._clock(), self._scopes.get(scope)
        if before is None and len(self._scopes) >= MAX_FAILING_SCOPES:
            return
        failures = before.failures + 1 if before else 1
        # The first retry comes with the next discovery.
        wait = _backoff(failures - 1, self._polling) if failures > 1 else timedelta()
        self._scopes[scope] = FailingScope(
            error=type(error).__name__,
            message=str(error)[:SCOPE_MESSAGE_CHARACTERS],
            since=before.since if before else now,
            failures=failures,
            retry_at=now + wait,
        )
        self.changed = True

    def remove(self, scope: str) -> None:
        """Remove a scope that has been listed."""
        self.changed = self._scopes.pop(scope, None) is not None or self.changed

    def keep_only(self, scopes: Collection[str]) -> None:
        """Remove the scopes that the source does not have any more."""
        for scope in set(self._scopes) - set(scopes):
            self.remove(scope)

    def covers(self, scopes: int) -> bool:
        """Return whether no scope is left that can be listed."""
        return len(self._scopes) >= min(scopes, MAX_FAILING_SCOPES)

    def to_report(self) -> dict[str, FailingScope]:
        """Return the scopes that have failed too often to be chance."""
        return {
            scope: failing
            for scope, failing in self._scopes.items()
            if failing.failures >= FAILURES_BEFORE_REPORT + (failing.error not in _OPERATOR_ERRORS)
        }

    def all(self) -> Mapping[str, FailingScope]:
        """Return all failing scopes."""
        return self._scopes


_OPERATOR_ERRORS = frozenset(
    error.__name__ for error in (SourceRejectedError, SourceUnauthorizedError, BuildNotFoundError)
)


class SourceHealth:
    """The health of all sources, shared by all invocations through the ledger."""

    def __init__(
        self,
        sources: SourceLedger,
        *,
        publish: Publish,
        stack: str,
        clock: Clock,
        config_version: Callable[[SourceSettings], str | None] = lambda _: None,
    ) -> None:
        self._sources = sources
        self._publish = publish
        self._stack = stack
        self._clock = clock
        self._config_version = config_version

    def state(self, source: str) -> SourceState:
        """Read the state of a source, once per invocation and source."""
        return self._sources.state(source)

    def is_backing_off(self, settings: SourceSettings, state: SourceState) -> bool:
        """Return whether the source must not be called now.

        An unhealthy source may be called at once when its settings or its secret have changed: that is the cure.
        """
        if state.backoff_until is None or state.backoff_until <= self._clock():
            return False
        if state.unhealthy_config and state.unhealthy_config != self._config_version(settings):
            logger.info("settings or secret changed, source is tried at once", source=settings.name)
            return False
        return True

    def failing_scopes(self, settings: SourceSettings, state: SourceState) -> FailingScopes:
        """Read the scopes that cannot be listed."""
        known = self._sources.failing_scopes(settings.name) if state.failing_scopes else {}
        return FailingScopes(known, settings.polling, self._clock)

    def record_success(self, settings: SourceSettings, state: SourceState) -> None:
        """Reset failures and health; writes, and publishes a recovery, only if there is something to reset."""
        if state.is_unhealthy and not state.failing_scopes:
            self._mark_recovered(settings)
        elif state.failures or state.backoff_until or state.auth_failed_at:
            self._sources.reset_failures(settings.name, unhealthy=state.is_unhealthy)

    def record_failure(
        self,
        settings: SourceSettings,
        state: SourceState,
        error: SourceError | SettingsError,
        *,
        whole_source: bool = False,
    ) -> None:
        """Record a failed request: mark the source unhealthy and publish that once, or back off longer each time.

        ``whole_source`` says that a rejection means the source and not only what was requested.
        """
        if isinstance(error, SourceThrottledError) and error.own_limit:
            logger.info("requests_per_minute is used up", source=settings.name)
            return
        logger.warning("request to source failed", source=settings.name, reason=str(error))
        is_new = isinstance(error, SourceUnauthorizedError) and not state.is_unhealthy_as_a_whole
        if is_new and not self._confirms(settings, state):
            # A gateway or a replica may refuse a good key once; the next tick tells.
            if state.auth_failed_at is None:
                self._sources.set_auth_failed(settings.name, str(error))
        elif isinstance(error, SettingsError | SourceUnauthorizedError | SourceExhaustedError) or (
            isinstance(error, SourceRejectedError) and (whole_source or error.wrong_endpoint)
        ):
            if state.is_unhealthy and not state.is_unhealthy_as_a_whole:
                # Announced because of some scopes: now it is the source itself, which is worth a notice of its own.
                self._sources.mark_recovered(settings.name)
            self._mark_unhealthy(settings, error, backoff=timedelta(seconds=settings.polling.longest_seconds))
        elif isinstance(error, SourceUnavailableError) and error.retry_after_seconds is not None:
            backoff = timedelta(seconds=min(error.retry_after_seconds, MAX_RETRY_AFTER_SECONDS))
            self._sources.count_failure(settings.name, str(error), backoff=backoff, seen=state)
        elif isinstance(error, SourceThrottledError):
            backoff = timedelta(seconds=settings.polling.first_seconds)
            self._sources.count_failure(settings.name, str(error), backoff=backoff, seen=state)
        elif affects_whole_source(error):
            failures = state.failures + 1
            backoff_after = (
                _backoff(failures - FAILURES_BEFORE_BACKOFF, settings.polling)
                if failures >= FAILURES_BEFORE_BACKOFF
                else None
            )
            self._sources.count_failure(settings.name, str(error), backoff=backoff_after, seen=state)

    def record_scopes(
        self, settings: SourceSettings, state: SourceState, failing: FailingScopes, *, total: int
    ) -> None:
        """Record which scopes of a source that works cannot be listed; publish that once, and the recovery from it."""
        self.save_scopes(settings, failing)
        if failing.all() and (state.failures or state.backoff_until or state.auth_failed_at):
            self._sources.reset_failures(settings.name, unhealthy=state.is_unhealthy)
        reported = failing.to_report()
        if reported:
            self._publish_unhealthy(
                settings, next(iter(reported.values())).error, _scopes_problem(reported, total), backoff=None
            )
        elif not failing.all():
            self.record_success(settings, state.model_copy(update={"failing_scopes": 0}))

    def save_scopes(self, settings: SourceSettings, failing: FailingScopes) -> None:
        """Store which scopes cannot be listed, if that has changed."""
        if failing.changed:
            self._sources.set_failing_scopes(settings.name, failing.all())

    def _confirms(self, settings: SourceSettings, state: SourceState) -> bool:
        """Return whether another refusal of the API key makes it certain: the first was a tick ago."""
        if state.auth_failed_at is None:
            return False
        return self._clock() - state.auth_failed_at >= timedelta(
            seconds=AUTH_RETRY_SHARE * settings.polling.first_seconds
        )

    def _mark_recovered(self, settings: SourceSettings) -> None:
        before = self._sources.mark_recovered(settings.name)
        if before is None:
            return
        logger.info("source recovered", source=settings.name)
        # Without a notice about the failure, a notice about the recovery would only confuse.
        if before.announced_at is not None and before.unhealthy_since is not None:
            self._notify(settings, since=before.unhealthy_since, problem=None, now=self._clock())

    def _mark_unhealthy(
        self, settings: SourceSettings, error: SourceError | SettingsError, *, backoff: timedelta
    ) -> None:
        problem = Problem(name=type(error).__name__, message=str(error), advice=_advice(settings, error))
        self._publish_unhealthy(settings, problem.name, problem, backoff=backoff)

    def _publish_unhealthy(
        self, settings: SourceSettings, error: str, problem: Problem, *, backoff: timedelta | None
    ) -> None:
        config = self._config_version(settings) if backoff else None
        since = self._sources.mark_unhealthy(settings.name, error, problem.message, backoff=backoff, config=config)
        if not self._sources.claim_announcement(settings.name, since=since, timeout=PUBLISHING_TIMEOUT):
            return
        is_published = self._notify(settings, since=since, problem=problem, now=since)
        if is_published and not self._sources.mark_announced(settings.name, since=since):
            # It recovered in this moment, and that was not announced, because the failure was not yet.
            self._notify(settings, since=since, problem=None, now=self._clock())

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
    if isinstance(error, SourceUnauthorizedError):
        return f"Store a valid API key in the secret {settings.secret}, or grant the key the missing permission."
    return "Check the endpoint of the source: the API refuses the request itself, so it may have moved or changed."


def _scopes_problem(scopes: Mapping[str, FailingScope], total: int) -> Problem:
    named = [f"{scope}: {failing.message}" for scope, failing in sorted(scopes.items())[:MAX_SCOPES_IN_NOTICE]]
    more = f"; and {len(scopes) - len(named)} more" if len(scopes) > len(named) else ""
    count = f"at least {len(scopes)}" if len(scopes) >= MAX_FAILING_SCOPES else str(len(scopes))
    rest = "other calls work" if len(scopes) == total else "the others work"
    return Problem(
        name=next(iter(scopes.values())).error,
        message=f"{count} of {total} scopes cannot be listed, {rest}: {'; '.join(named)}{more}",
        advice="Remove them from the source's settings, or grant the API key the permission to see them.",
    )


def _backoff(doublings: int, polling: PollingSettings) -> timedelta:
    # The exponent is bounded so that a source that is down for weeks does not overflow it.
    return timedelta(seconds=min(polling.longest_seconds, polling.first_seconds * (1 << min(doublings, 10))))
