"""EventBridge Scheduler's part of the embedded AWS: fires the template's schedules, also faster than real time."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from courier.clock import utc_now
from local.embedded.async_invocations import AsyncResult
from local.embedded.schedules import Rate, Schedule
from local.sam.intrinsics import TemplateError

# The placeholder in a schedule's input that EventBridge replaces.
_SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"

# On AWS any number of runs of one schedule may overlap. Here they share a thread pool, which a run that is much slower
# than the tick would fill.
_MOST_OVERLAPPING = 4


class ScheduleTarget(Protocol):
    """What a scheduler needs of the embedded AWS."""

    def schedules(self) -> list[Schedule]:
        """Return the schedules."""

    def invoke_asynchronously(self, function: str, event: object) -> "Future[AsyncResult]":
        """Send an event to a function."""

    def start_execution(self, state_machine: str, event: object) -> str:
        """Start an execution."""


@dataclass(frozen=True, kw_only=True)
class ScheduleUsage:
    """Totals of one schedule: ``overlapping`` fires found an earlier run active, ``skipped`` ones found too many."""

    fires: int
    overlapping: int
    skipped: int
    failed: int


class _ScheduleState:
    """One schedule's totals and next fire; guarded by the scheduler's lock."""

    def __init__(self, schedule: Schedule, first: datetime | None) -> None:
        self.schedule = schedule
        self.next_fire = first
        self.under_way = 0
        self.fires = 0
        self.overlapping = 0
        self.skipped = 0
        self.failed = 0


class Scheduler:
    """Fires schedules from `start` to `stop`, or for as long as `run` is called.

    Parameters
    ----------
    target
        The embedded AWS.
    tick_seconds
        The length of ``rate(1 minute)``; other rates are in proportion. ``cron(...)`` follows ``now``.
    now
        Returns the current instant, aware and in UTC.
    wait
        Waits so many seconds and returns True when the scheduler stops. By default `stop` ends the wait.

    Raises
    ------
    TemplateError
        A schedule has no input.
    """

    def __init__(
        self,
        target: ScheduleTarget,
        *,
        tick_seconds: float = 60.0,
        now: Callable[[], datetime] = utc_now,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self._target = target
        self._scale = tick_seconds / 60
        self._now = now
        self._stopping = threading.Event()
        self._wait = wait or self._stopping.wait
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        if tick_seconds <= 0:
            raise ValueError("tick_seconds must be positive")
        start = now()
        self._series = [_ScheduleState(schedule, _first_fire(schedule, start)) for schedule in target.schedules()]
        if without_input := [series.schedule.logical_id for series in self._series if series.schedule.input is None]:
            raise TemplateError(
                f"{', '.join(without_input)}: an Input is needed, or EventBridge sends an event of its own"
            )

    def start(self) -> None:
        """Fire from a thread."""
        self._thread = threading.Thread(target=self.run, name="scheduler")
        self._thread.start()

    def stop(self) -> None:
        """Stop firing; what was fired continues."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def run(self) -> None:
        """Fire until ``wait`` returns True or no schedule has a next fire."""
        while (seconds := self.fire_due()) is not None:
            if self._wait(seconds):
                return

    def fire_due(self) -> float | None:
        """Fire what is due, and return the seconds until the next fire, or None when there is none."""
        moment = self._now()
        for series in self._series:
            if series.next_fire is not None and series.next_fire <= moment:
                self._fire(series, series.next_fire)
                series.next_fire = self._next_fire(series.schedule, series.next_fire, moment)
        waiting = [series.next_fire for series in self._series if series.next_fire is not None]
        return max(0.0, (min(waiting) - self._now()).total_seconds()) if waiting else None

    @property
    def has_fired_all(self) -> bool:
        """Whether every enabled ``rate(...)`` schedule has fired at least once."""
        with self._lock:
            return all(
                series.fires > 0
                for series in self._series
                if series.schedule.enabled and isinstance(series.schedule.timing, Rate)
            )

    def fire_at_or_after(self, target: str, due: datetime) -> datetime | None:
        """Return the first fire at or after an instant of the schedules that call a target, by its logical id."""
        fires = []
        for series in self._series:
            moment = series.next_fire if series.schedule.target == target else None
            if moment is not None and moment < due:
                moment = self._next_fire(series.schedule, moment, due - timedelta.resolution)
            if moment is not None:
                fires.append(moment)
        return min(fires, default=None)

    def usage(self) -> dict[str, ScheduleUsage]:
        """Return the totals of each schedule so far, by logical id."""
        with self._lock:
            return {
                series.schedule.logical_id: ScheduleUsage(
                    fires=series.fires,
                    overlapping=series.overlapping,
                    skipped=series.skipped,
                    failed=series.failed,
                )
                for series in self._series
            }

    def _fire(self, series: _ScheduleState, scheduled: datetime) -> None:
        schedule = series.schedule
        with self._lock:
            if series.under_way >= _MOST_OVERLAPPING:
                series.skipped += 1
                return
            series.fires += 1
            series.overlapping += series.under_way > 0
            series.under_way += schedule.target_kind == "function"
        if schedule.target_kind == "state_machine":
            self._target.start_execution(schedule.target, _event(schedule, scheduled))
            return
        future = self._target.invoke_asynchronously(schedule.target, _event(schedule, scheduled))
        future.add_done_callback(lambda done: self._done(series, done))

    def _done(self, series: _ScheduleState, done: "Future[AsyncResult]") -> None:
        with self._lock:
            series.under_way -= 1
            if not done.cancelled():
                result = done.result().result
                series.failed += result is None or result.error_type is not None

    def _next_fire(self, schedule: Schedule, last: datetime, moment: datetime) -> datetime | None:
        if not isinstance(schedule.timing, Rate):
            return schedule.timing.next_after(moment)
        period = schedule.timing.period * self._scale
        # Fires that a slow machine missed are skipped.
        return last + period * max(1, -((last - moment) // period))


def _first_fire(schedule: Schedule, start: datetime) -> datetime | None:
    if not schedule.enabled:
        return None
    return start if isinstance(schedule.timing, Rate) else schedule.timing.next_after(start)


def _event(schedule: Schedule, scheduled: datetime) -> object:
    moment = scheduled.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return json.loads((schedule.input or "").replace(_SCHEDULED_TIME, moment))
