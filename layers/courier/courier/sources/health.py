"""How a source is: whether it may be asked, and what a failed request means for all of its builds.

One dead provider costs one timeout a tick, not one per build; one revoked key costs one notice.
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

# Two failures may be chance; from the third on the source is left alone, longer each time: from the
# source's `first_seconds` up to its `longest_seconds`. One that only an operator can heal is probed as seldom.
FAILURES_BEFORE_REST = 3
# A key that so many scopes refuse while none answers is taken for dead.
REFUSALS_OF_A_DEAD_KEY = 3
# A provider that asks for more patience than this is asked again all the same, once an hour.
LONGEST_RETRY_AFTER_SECONDS = 3600
# Longer than publishing takes with all its retries; then whoever began has been cut off, and another may try.
ANNOUNCEMENT_TAKES = timedelta(minutes=1)

Announce = Callable[[Publication], None]


def concerns_whole_source(error: SourceError | SettingsError) -> bool:
    """Whether an error says something about the source, and not only about the thing that was asked for."""
    if isinstance(error, SourceUnauthorizedError | SourceExhaustedError):
        return True
    return not isinstance(error, SourceRejectedError | RequestUncertainError)


class Refusals:
    """Tells a dead key from one that may not see every scope: the other scopes tell which of the two it is."""

    def __init__(self) -> None:
        self.answered = False
        self.first: SourceUnauthorizedError | None = None
        self._count = 0

    @property
    def prove_a_dead_key(self) -> bool:
        """Whether asking for more scopes is of no use."""
        return self._count >= REFUSALS_OF_A_DEAD_KEY and not self.answered

    def add(self, error: SourceUnauthorizedError, scope: str) -> None:
        """Note that a scope was refused."""
        logger.warning("scope refused", scope=scope, reason=str(error))
        self.first = self.first or error
        self._count += 1


class SourceHealth:
    """The health of all sources, shared by all invocations through the ledger."""

    def __init__(self, sources: SourceLedger, *, announce: Announce, stack: str, clock: Clock) -> None:
        self._sources = sources
        self._announce = announce
        self._stack = stack
        self._clock = clock

    def examine(self, source: str) -> SourceState:
        """Read how a source is, once per invocation and source."""
        return self._sources.state(source)

    def rests(self, state: SourceState) -> bool:
        """Whether the source is to be left alone for now."""
        return state.rest_until is not None and state.rest_until > self._clock()

    def note_answer(self, settings: SourceSettings, state: SourceState) -> None:
        """Note that the source answered; writes, and announces a recovery, only if there is something to forget."""
        if state.illness is not None and state.ill_since is not None:
            if self._sources.note_recovery(settings.name):
                logger.info("source is well again", source=settings.name)
                # Nobody has heard of an illness that was never announced.
                if state.announced_at is not None:
                    self._tell(settings, since=state.ill_since, problem=None, now=self._clock())
        elif state.failures or state.rest_until:
            self._sources.note_answer(settings.name)

    def note_failure(self, settings: SourceSettings, state: SourceState, error: SourceError | SettingsError) -> None:
        """Note a failed request: who is ill rests and is announced once, who is down rests longer each time."""
        logger.warning("source did not answer as wished", source=settings.name, reason=str(error))
        if isinstance(error, SettingsError | SourceUnauthorizedError | SourceExhaustedError):
            self._note_illness(settings, error)
        elif isinstance(error, SourceThrottledError):
            wait_seconds = error.retry_after_seconds or settings.polling.first_seconds
            rest = timedelta(seconds=min(wait_seconds, LONGEST_RETRY_AFTER_SECONDS))
            self._sources.note_failure(settings.name, rest=rest, seen=state.failures)
        elif concerns_whole_source(error):
            self._sources.note_failure(
                settings.name, rest=_rest_after(state.failures + 1, settings.polling), seen=state.failures
            )

    def _note_illness(self, settings: SourceSettings, error: SourceError | SettingsError) -> None:
        probe_after = timedelta(seconds=settings.polling.longest_seconds)
        since = self._sources.note_illness(settings.name, type(error).__name__, rest=probe_after)
        if not self._sources.claim_announcement(settings.name, again_after=ANNOUNCEMENT_TAKES):
            return
        problem = Problem(name=type(error).__name__, message=str(error), advice=_advice(settings, error))
        if self._tell(settings, since=since, problem=problem, now=since):
            self._sources.note_announced(settings.name)

    def _tell(self, settings: SourceSettings, *, since: datetime, problem: Problem | None, now: datetime) -> bool:
        publication = source_notice(
            source=settings.name,
            provider=settings.provider,
            stack=self._stack,
            since=since,
            problem=problem,
            now=now,
        )
        try:
            self._announce(publication)
        except (BotoCoreError, ClientError):
            # The builds of the source are worth more than the news about it.
            logger.exception("health of the source not announced", source=settings.name)
            return False
        return True


def _advice(settings: SourceSettings, error: SourceError | SettingsError) -> str:
    if isinstance(error, SourceExhaustedError):
        return "Buy credits, or wait for the account's next period."
    if isinstance(error, SettingsError):
        return f"Mend the configuration of the source, or its secret {settings.secret}."
    return f"Put a valid API key into the secret {settings.secret}, or give the key the missing right."


def _rest_after(failures: int, polling: PollingSettings) -> timedelta | None:
    if failures < FAILURES_BEFORE_REST:
        return None
    # The exponent is bounded so that a source down for weeks does not overflow it.
    doublings = min(failures - FAILURES_BEFORE_REST, 10)
    return timedelta(seconds=min(polling.longest_seconds, polling.first_seconds * (1 << doublings)))
