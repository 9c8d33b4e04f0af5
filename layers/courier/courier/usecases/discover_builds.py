"""``discover_builds``: find builds that others started, and start an execution for each new one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from courier.errors import SettingsError, SourceError
from courier.observability.metrics import Metric
from courier.usecases.events import PROVIDER_CALL_SECONDS, Tick, for_each_source, selected_sources
from courier.usecases.poll_builds import MAX_DUE

if TYPE_CHECKING:
    from courier.config.settings import SourceSettings
    from courier.usecases.container import Container


def discover_builds(container: Container, tick: Tick, *, time_is_up: Callable[[], bool]) -> dict[str, int]:
    """Search every selected source for new builds; return the number of builds registered per source."""
    registered: dict[str, int] = {}

    def discover(settings: SourceSettings) -> None:
        state = container.health.state(settings.name)
        backing_off = container.health.is_backing_off(state)
        _measure(container, settings, unavailable=backing_off or state.is_unhealthy)
        if backing_off:
            return
        try:
            found = container.discovery.discover(
                container.provider(settings, call_limit_seconds=PROVIDER_CALL_SECONDS),
                time_is_up=time_is_up,
                scheduled=tick.scheduled_time is not None,
            )
        except (SourceError, SettingsError) as exc:
            container.health.record_failure(settings, state, exc)
            return
        if found is not None:
            registered[settings.name] = found
            container.health.record_success(settings, state)

    for_each_source(list(selected_sources(container, tick)), discover)
    return registered


def _measure(container: Container, settings: SourceSettings, *, unavailable: bool) -> None:
    """Measure unavailable sources and builds in flight; a healthy and idle source writes no metric."""
    meter = container.meter(settings.name)
    if unavailable:
        meter.count(Metric.SOURCE_BACKING_OFF)
    in_flight = container.builds.in_flight(settings.name, limit=MAX_DUE)
    if in_flight:
        meter.count(Metric.BUILDS_IN_FLIGHT, len(in_flight))
        oldest = min(build.first_seen_at for build in in_flight)
        meter.count(Metric.OLDEST_BUILD, (container.clock() - oldest).total_seconds())
