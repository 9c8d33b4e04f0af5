"""``discover_builds``: find builds that others started, and start an execution for each new one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import TYPE_CHECKING

from courier.errors import SettingsError, SourceError, SourceUnauthorizedError
from courier.ledger.pauses import pause_at, paused_time
from courier.observability.logger import logger
from courier.observability.metrics import Metric
from courier.usecases.events import PROVIDER_CALL_SECONDS, Tick, for_each_source, selected_sources
from courier.usecases.poll_builds import MAX_DUE

if TYPE_CHECKING:
    from courier.builds.discovery import DiscoveryRun
    from courier.config.settings import SourceSettings
    from courier.ledger.pauses import Pause
    from courier.usecases.container import Container

# Every scope is to be listed within an hour; a source with too many scopes for its rate limit is reported.
MAX_ROUND_SECONDS = 3600.0


def discover_builds(container: Container, tick: Tick, *, time_is_up: Callable[[], bool]) -> dict[str, int]:
    """Search every selected source for new builds; return the number of builds registered per source."""
    registered: dict[str, int] = {}

    def discover(settings: SourceSettings) -> None:
        health = container.health
        state = health.state(settings.name)
        if state.first_discovery_at is None:
            # Before the first list: what ends while a new source cannot be listed yet is no history.
            container.source_ledger.first_discovery_at(settings.name)
        if pause_at(state.pauses, container.clock()):
            # Nothing is wrong with it, and the deadlines of its builds stand still.
            logger.info("source is paused", source=settings.name)
            return
        backing_off = health.is_backing_off(settings, state)
        _measure(container, settings, state.pauses, unavailable=backing_off or state.is_unhealthy)
        if backing_off:
            return
        failing = health.failing_scopes(settings, state)
        try:
            provider = container.provider(settings, call_limit_seconds=PROVIDER_CALL_SECONDS)
            if not provider.can_list:
                return
            run = container.discovery.discover(
                provider, state, failing, time_is_up=time_is_up, scheduled=tick.scheduled_time is not None
            )
        except (SourceError, SettingsError) as exc:
            health.record_failure(settings, state, exc, whole_source=True)
            return
        _measure_round(container, settings, run)
        failure = run.results.first_failure
        # Polls reset the failures: with none, the status calls may work although no scope can be listed.
        # They also reset the first refusal of a key: a second one without a success in between is the key's.
        is_refused = isinstance(failure, SourceUnauthorizedError) and state.auth_failed_at is not None
        may_work = not (state.failures or state.is_unhealthy_as_a_whole or is_refused)
        if run.results.any_success:
            registered[settings.name] = run.registered
        if run.results.any_success or (failure is not None and may_work and failing.to_report()):
            health.record_scopes(settings, state, failing, total=run.scopes)
        else:
            if run.is_partial or may_work:
                health.save_scopes(settings, failing)
            is_source = run.results.source_is_down or not run.is_partial or failing.covers(run.scopes)
            if run.error is None and failure is not None and is_source:
                health.record_failure(settings, state, failure, whole_source=True)
        if run.error is not None:
            health.record_failure(settings, state, run.error)

    for_each_source(list(selected_sources(container, tick)), discover)
    return registered


def _measure_round(container: Container, settings: SourceSettings, run: DiscoveryRun) -> None:
    """Measure a round through all scopes that one run does not complete, and say what would suffice."""
    if not run.unlisted:
        return
    meter = container.meter(settings.name)
    meter.count(Metric.UNLISTED_SCOPES, run.unlisted)
    meter.count(Metric.DISCOVERY_ROUND, run.round_seconds)
    if run.round_seconds > MAX_ROUND_SECONDS:
        sufficient = sufficient_requests_per_minute(
            settings.requests_per_minute, scopes=run.scopes, unlisted=run.unlisted, seconds=run.round_seconds
        )
        logger.error(
            "scopes are listed too seldom: raise requests_per_minute, or name fewer scopes",
            source=settings.name,
            scopes=run.scopes,
            requests_per_minute=settings.requests_per_minute,
            sufficient=sufficient,
        )


def sufficient_requests_per_minute(present: int, *, scopes: int, unlisted: int, seconds: float) -> int:
    """Return the ``requests_per_minute`` with which a round takes no longer than `MAX_ROUND_SECONDS`.

    With the present number, ``seconds`` did not suffice to list the ``unlisted`` of all ``scopes``.
    """
    listed_share = max(1, scopes - unlisted) / max(1, scopes)
    return ceil(present * seconds / listed_share / MAX_ROUND_SECONDS)


def _measure(container: Container, settings: SourceSettings, pauses: Sequence[Pause], *, unavailable: bool) -> None:
    """Measure unavailable sources and builds in flight; a healthy and idle source writes no metric."""
    meter = container.meter(settings.name)
    if unavailable:
        meter.count(Metric.SOURCE_BACKING_OFF)
    in_flight = container.builds.in_flight(settings.name, limit=MAX_DUE)
    if in_flight:
        meter.count(Metric.BUILDS_IN_FLIGHT, len(in_flight))
        oldest, now = min(build.first_seen_at for build in in_flight), container.clock()
        # The alarm is about builds that take long, and a paused source makes all of them older.
        meter.count(Metric.OLDEST_BUILD, (now - oldest - paused_time(pauses, oldest, now)).total_seconds())
