"""The ticker fires what the template schedules, in the time that it is given."""

import json
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


class World:
    """A target that remembers what it was told, and a clock that moves when somebody waits."""

    def __init__(self, expanded: Template) -> None:
        self.expanded = expanded
        self.moment = START
        self.end = START + timedelta(minutes=10)
        self.fired: list[tuple[float, str, object]] = []
        self.under_way: list[Future[AsyncResult]] = []
        self.answers_at_once = True

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
        if self.answers_at_once:
            future.set_result(AsyncResult(InvocationResult("{}"), 1))
        self.under_way.append(future)
        return future

    def start_execution(self, state_machine: str, event: object) -> str:
        self.fired.append(((self.moment - START).total_seconds(), state_machine, event))
        return "arn"

    def scheduler(self, tick_seconds: float = 60) -> Scheduler:
        return Scheduler(self, tick_seconds=tick_seconds, now=self.now, wait=self.wait)


@pytest.fixture
def world(small_template: Path) -> World:
    return World(expand(small_template))


def test_a_rate_fires_at_once_and_then_each_period(world: World) -> None:
    world.end = START + timedelta(minutes=3)
    world.scheduler().run()
    assert [seconds for seconds, _, _ in world.fired] == [0, 60, 120]


def test_a_tick_may_be_shorter_than_a_minute(world: World) -> None:
    world.expanded["Parameters"]["Beat"]["Default"] = "rate(5 minutes)"
    world.end = START + timedelta(seconds=6)
    world.scheduler(tick_seconds=0.5).run()
    assert [seconds for seconds, _, _ in world.fired] == [0, 2.5, 5]


def test_the_event_is_the_schedules_input_with_the_scheduled_time(world: World) -> None:
    world.end = START + timedelta(minutes=2)
    world.scheduler().run()
    assert [event for _, _, event in world.fired] == [{"at": "2026-11-01T02:00:00Z"}, {"at": "2026-11-01T02:01:00Z"}]


def test_a_cron_fires_by_the_clock_whatever_a_tick_lasts(world: World) -> None:
    world.expanded["Parameters"]["Beat"]["Default"] = "rate(1 day)"
    world.end = START + timedelta(hours=30)
    world.scheduler(tick_seconds=3600).run()
    # 05:00 in Berlin is 04:00 UTC.
    assert [seconds / 3600 for seconds, _, _ in world.fired] == [0, 2, 26]


def test_missed_fires_are_not_made_up_for(world: World) -> None:
    scheduler = world.scheduler()
    scheduler.fire_due()
    world.moment += timedelta(minutes=5, seconds=30)
    assert scheduler.fire_due() == 30
    assert len(world.fired) == 2


def test_overlapping_runs_are_counted_and_bounded(world: World) -> None:
    world.answers_at_once = False
    world.end = START + timedelta(minutes=6)
    scheduler = world.scheduler()
    scheduler.run()
    usage = scheduler.usage()["WorkFunctionTick"]
    assert (usage.fires, usage.overlapping, usage.skipped) == (4, 3, 2)
    for future in world.under_way:
        future.set_result(AsyncResult(None, 1))
    assert scheduler.usage()["WorkFunctionTick"].failed == 4


def test_a_disabled_schedule_is_fired_by_hand_only(world: World) -> None:
    scheduler = world.scheduler()
    scheduler.run()
    assert {"never": True} not in [event for _, _, event in world.fired]
    assert scheduler.fire_once("WorkFunctionNever") is not None
    assert world.fired[-1][2] == {"never": True}
    assert scheduler.usage()["WorkFunctionNever"].fires == 1


def test_a_state_machine_is_started(world: World) -> None:
    world.expanded["Resources"]["WorkFunctionNever"]["Properties"]["Target"]["Arn"] = {"Ref": "Machine"}
    scheduler = world.scheduler()
    assert scheduler.fire_once("Machine") is None
    assert world.fired == [(0, "Machine", {"never": True})]


@pytest.mark.parametrize("name", ["nothing", "WorkFunction"])
def test_only_one_schedule_can_be_fired_by_name(world: World, name: str) -> None:
    with pytest.raises(KeyError):
        world.scheduler().fire_once(name)


def test_it_says_when_every_rate_has_fired(world: World) -> None:
    scheduler = world.scheduler()
    assert not scheduler.has_fired_all
    scheduler.fire_due()
    assert scheduler.has_fired_all


def test_a_schedule_without_input_is_refused(world: World) -> None:
    del world.expanded["Resources"]["WorkFunctionTick"]["Properties"]["Target"]["Input"]
    with pytest.raises(TemplateError, match="WorkFunctionTick"):
        world.scheduler()


def test_a_tick_without_length_is_refused(world: World) -> None:
    with pytest.raises(ValueError, match="positive"):
        world.scheduler(tick_seconds=0)


def test_it_drives_the_functions_of_the_embedded_aws(small: EmbeddedAws) -> None:
    before = small.usage()["work"].invocations
    scheduler = Scheduler(small, tick_seconds=3600)
    scheduler.start()
    scheduler.stop()
    small.wait_until_idle()
    assert small.usage()["work"].invocations <= before + 1
    delivery = scheduler.fire_once("WorkFunctionTick")
    assert delivery is not None
    assert delivery.result is not None
    assert "at" in json.loads(delivery.result.payload)["echo"]
