"""The scheduler fires the schedules of the template, on the clock that it is given."""

from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local.embedded.async_invocations import AsyncResult
from local.embedded.embedded_aws import EmbeddedAws
from local.embedded.function_runtime import InvocationResult
from local.embedded.scheduler import Scheduler
from local.embedded.schedules import Schedule, schedules
from local.sam.expansion import expand
from local.sam.intrinsics import Template, TemplateError

START = datetime(2026, 11, 1, 2, 0, tzinfo=UTC)


class FakeTarget:
    """A target that records what it is called with, and a clock that a wait moves on."""

    def __init__(self, expanded: Template) -> None:
        self.expanded = expanded
        self.moment = START
        self.end = START + timedelta(minutes=10)
        self.fired: list[tuple[float, str, object]] = []
        self.under_way: list[Future[AsyncResult]] = []
        self.completes_at_once = True

    def now(self) -> datetime:
        return self.moment

    def wait(self, seconds: float) -> bool:
        assert seconds > 0
        self.moment += timedelta(seconds=seconds)
        return self.moment >= self.end

    def schedules(self) -> list[Schedule]:
        return schedules(self.expanded)

    def invoke_asynchronously(self, function: str, event: object) -> Future[AsyncResult]:
        self.fired.append(((self.moment - START).total_seconds(), function, event))
        future: Future[AsyncResult] = Future()
        if self.completes_at_once:
            future.set_result(AsyncResult(InvocationResult("{}"), 1))
        self.under_way.append(future)
        return future

    def start_execution(self, state_machine: str, event: object) -> str:
        self.fired.append(((self.moment - START).total_seconds(), state_machine, event))
        return "arn"

    def scheduler(self, tick_seconds: float = 60) -> Scheduler:
        return Scheduler(self, tick_seconds=tick_seconds, now=self.now, wait=self.wait)


@pytest.fixture
def target(small_template: Path) -> FakeTarget:
    return FakeTarget(expand(small_template))


def test_a_rate_fires_at_once_and_then_each_period(target: FakeTarget) -> None:
    target.end = START + timedelta(minutes=3)
    target.scheduler().run()
    assert [seconds for seconds, _, _ in target.fired] == [0, 60, 120]


def test_a_tick_may_be_shorter_than_a_minute(target: FakeTarget) -> None:
    target.expanded["Parameters"]["Beat"]["Default"] = "rate(5 minutes)"
    target.end = START + timedelta(seconds=6)
    target.scheduler(tick_seconds=0.5).run()
    assert [seconds for seconds, _, _ in target.fired] == [0, 2.5, 5]


def test_the_event_is_the_schedules_input_with_the_scheduled_time(target: FakeTarget) -> None:
    target.end = START + timedelta(minutes=2)
    target.scheduler().run()
    assert [event for _, _, event in target.fired] == [{"at": "2026-11-01T02:00:00Z"}, {"at": "2026-11-01T02:01:00Z"}]


def test_a_cron_fires_by_the_clock_whatever_a_tick_lasts(target: FakeTarget) -> None:
    target.expanded["Parameters"]["Beat"]["Default"] = "rate(1 day)"
    target.end = START + timedelta(hours=30)
    target.scheduler(tick_seconds=3600).run()
    # 05:00 in Berlin is 04:00 UTC.
    assert [seconds / 3600 for seconds, _, _ in target.fired] == [0, 2, 26]


def test_missed_fires_are_not_made_up_for(target: FakeTarget) -> None:
    scheduler = target.scheduler()
    scheduler.fire_due()
    target.moment += timedelta(minutes=5, seconds=30)
    assert scheduler.fire_due() == 30
    assert len(target.fired) == 2


def test_overlapping_runs_are_counted_and_bounded(target: FakeTarget) -> None:
    target.completes_at_once = False
    target.end = START + timedelta(minutes=6)
    scheduler = target.scheduler()
    scheduler.run()
    usage = scheduler.usage()["WorkFunctionTick"]
    assert (usage.fires, usage.overlapping, usage.skipped) == (4, 3, 2)
    for future in target.under_way:
        future.set_result(AsyncResult(None, 1))
    assert scheduler.usage()["WorkFunctionTick"].failed == 4


def test_a_disabled_schedule_never_fires(target: FakeTarget) -> None:
    scheduler = target.scheduler()
    scheduler.run()
    assert {"never": True} not in [event for _, _, event in target.fired]
    assert scheduler.usage()["WorkFunctionNever"].fires == 0


def test_a_state_machine_is_started(target: FakeTarget) -> None:
    target.expanded["Resources"]["WorkFunctionTick"]["Properties"]["Target"] |= {
        "Arn": {"Ref": "Machine"},
        "Input": '{"start": true}',
    }
    target.scheduler().fire_due()
    assert target.fired == [(0, "Machine", {"start": True})]


def test_it_says_when_every_rate_has_fired(target: FakeTarget) -> None:
    scheduler = target.scheduler()
    assert not scheduler.has_fired_all
    scheduler.fire_due()
    assert scheduler.has_fired_all


def test_a_schedule_without_input_is_refused(target: FakeTarget) -> None:
    del target.expanded["Resources"]["WorkFunctionTick"]["Properties"]["Target"]["Input"]
    with pytest.raises(TemplateError, match="WorkFunctionTick"):
        target.scheduler()


def test_a_tick_without_length_is_refused(target: FakeTarget) -> None:
    with pytest.raises(ValueError, match="positive"):
        target.scheduler(tick_seconds=0)


def test_it_drives_the_functions_of_the_embedded_aws(small: EmbeddedAws) -> None:
    before = small.usage()["work"]
    scheduler = Scheduler(small, tick_seconds=3600)
    scheduler.fire_due()
    small.wait_until_idle()
    after = small.usage()["work"]
    assert (after.invocations, after.errors) == (before.invocations + 1, before.errors)
    scheduler.start()
    scheduler.stop()
    small.wait_until_idle()
    assert small.usage()["work"].invocations == after.invocations
