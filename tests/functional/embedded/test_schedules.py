"""Schedules are parsed as strictly as by EventBridge Scheduler."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local.embedded.schedules import Rate, parse_expression, schedules
from local.sam.expansion import expand


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_schedules_are_read_from_the_template(small_template: Path) -> None:
    found = {schedule.logical_id: schedule for schedule in schedules(expand(small_template))}
    tick = found["WorkFunctionTick"]
    assert (tick.target, tick.target_kind, tick.expression) == ("WorkFunction", "function", "rate(1 minute)")
    assert tick.input == '{"at": "<aws.scheduler.scheduled-time>"}'
    assert (tick.enabled, tick.retry_attempts, tick.dead_letter_queue) == (True, 0, "DeadLetters")
    assert not found["WorkFunctionNever"].enabled
    assert found["WorkFunctionNightly"].timing.next_after(at("2026-07-01T00:00")) == at("2026-07-01T03:00")


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("rate(1 minute)", timedelta(minutes=1)),
        ("rate(5 minutes)", timedelta(minutes=5)),
        ("rate(1 hour)", timedelta(hours=1)),
        ("rate(36 hours)", timedelta(hours=36)),
        ("rate(1 day)", timedelta(days=1)),
    ],
)
def test_a_rate_has_a_period(text: str, period: timedelta) -> None:
    assert parse_expression(text) == Rate(period)


@pytest.mark.parametrize(
    "text",
    [
        "rate(1 hours)",
        "rate(5 minute)",
        "rate(0 minutes)",
        "rate(1 week)",
        "rate(1.5 hours)",
        "every minute",
        "cron(* * * * *)",
        "cron(0 5 * * * *)",
        "cron(0 5 ? * ? *)",
        "cron(60 5 * * ? *)",
        "cron(0 24 * * ? *)",
        "cron(0 5 32 * ? *)",
        "cron(0 5 * 13 ? *)",
        "cron(0 5 ? * 8 *)",
        "cron(0 5 ? * FUN *)",
        "cron(0 5 * * ? 1969)",
        "cron(0/0 5 * * ? *)",
        "cron(9-5 5 * * ? *)",
    ],
)
def test_what_aws_refuses_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_expression(text)


@pytest.mark.parametrize(
    "text",
    [
        "cron(0 0 L * ? *)",
        "cron(0 0 ? * L *)",
        "cron(0 0 ? * FRIL *)",
        "cron(0 0 ? * 6#3 *)",
        "cron(0 0 1W * ? *)",
        "cron(0 0 31W * ? *)",
        "cron(0 0 LW * ? *)",
    ],
)
def test_what_aws_knows_and_the_embedded_aws_does_not_is_refused_as_unsupported(text: str) -> None:
    with pytest.raises(ValueError, match=r"cron\(.*\): L, W and # in the day fields are not supported"):
        parse_expression(text)


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="Mars"):
        parse_expression("rate(1 minute)", timezone="Mars/Olympus")


# 2026-11-01 is a Sunday.
@pytest.mark.parametrize(
    ("text", "after", "fire"),
    [
        ("cron(0 5 * * ? *)", "2026-11-01T04:59", "2026-11-01T05:00"),
        ("cron(0 5 * * ? *)", "2026-11-01T05:00", "2026-11-02T05:00"),
        ("cron(0/15 * * * ? *)", "2026-11-01T04:01", "2026-11-01T04:15"),
        ("cron(10-20/5 4 * * ? *)", "2026-11-01T04:11", "2026-11-01T04:15"),
        ("cron(0 8 ? * MON-FRI *)", "2026-11-06T09:00", "2026-11-09T08:00"),
        ("cron(0 8 ? * 1 *)", "2026-11-01T09:00", "2026-11-08T08:00"),
        ("cron(0 0 1 JAN,jul ? *)", "2026-11-01T00:00", "2027-01-01T00:00"),
        ("cron(0 0 29 2 ? *)", "2026-11-01T00:00", "2028-02-29T00:00"),
        ("cron(0 0 1 1 ? 2190)", "2026-11-01T00:00", "2190-01-01T00:00"),
    ],
)
def test_a_cron_returns_its_next_fire(text: str, after: str, fire: str) -> None:
    assert parse_expression(text).next_after(at(after)) == at(fire)


@pytest.mark.parametrize("text", ["cron(0 0 30 2 ? *)", "cron(0 0 1 1 ? 2025)"])
def test_a_cron_may_never_fire_again(text: str) -> None:
    assert parse_expression(text).next_after(at("2026-11-01T00:00")) is None


def test_a_local_time_that_summer_time_leaves_out_does_not_fire() -> None:
    nightly = parse_expression("cron(30 2 * * ? *)", timezone="Europe/Berlin")
    assert nightly.next_after(at("2027-03-27T02:00")) == at("2027-03-29T00:30")
