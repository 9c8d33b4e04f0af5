"""Medians, ratios and targets of the copy's benchmark, and its tables."""

from __future__ import annotations

import pytest

from bench.copy.limits import ConnectionSpeed, CopyLimit, StepCost
from bench.copy.measure import Usage
from bench.copy.report import Results, render
from bench.copy.results import TARGETS, CopyTarget, Row, peak_spread, ratios, rotated
from bench.copy.servers import Speed
from courier.transfer.options import GIB, MIB


def row(name: str, *walls: float, cpu: float = 1.0, peak_mib: int = 40, size: int = GIB) -> Row:
    runs = [Usage(wall, cpu, peak_mib * MIB) for wall in walls]
    return Row(name, f"label of {name}", size, runs, sha256_matches=True if name == "build-courier" else None)


def results(ours: Row, *others: Row, speed: Speed = Speed.THROTTLED) -> Results:
    return Results(rounds=5, connection=ConnectionSpeed(84.6, 86.4), copies={speed: [ours, *others]})


def test_one_slow_run_does_not_move_the_median() -> None:
    assert row("any", 3.0, 2.0, 60.0).wall_seconds == 3.0


def test_memory_is_that_of_the_worst_run() -> None:
    runs = [Usage(1.0, 1.0, 40 * MIB), Usage(1.0, 1.0, 90 * MIB), Usage(1.0, 1.0, 41 * MIB)]
    assert Row("any", "any", GIB, runs).peak_bytes == 90 * MIB


def test_speed_is_size_by_median() -> None:
    assert row("any", 2.0, 4.0, 8.0).mib_per_second == 256.0


def test_a_ratio_is_ours_by_theirs_and_the_target_itself_is_met() -> None:
    found = ratios(row("build-courier", 4.0, cpu=2.0), row("rclone", 10.0, cpu=2.0), CopyTarget(wall=0.40, cpu=0.99))
    assert [(each.quantity, each.value, each.is_met) for each in found] == [("wall", 0.4, True), ("CPU", 1.0, False)]


def test_without_a_target_a_ratio_is_neither_met_nor_missed() -> None:
    (found,) = ratios(row("build-courier", 4.0), row("new", 10.0), CopyTarget())
    assert found.is_met is None


def test_memory_is_the_same_when_largest_and_smallest_are() -> None:
    assert peak_spread([row("a", 1.0, peak_mib=40), row("a", 1.0, peak_mib=50)]) == 1.25


def test_every_item_is_first_once() -> None:
    orders = [rotated("abc", number) for number in range(4)]
    assert ["".join(order) for order in orders] == ["abc", "bca", "cab", "abc"]


def test_a_missed_target_stands_in_the_table() -> None:
    text = render(results(row("build-courier", 5.0), row("rclone", 10.0)))
    line = next(line for line in text.splitlines() if "label of rclone" in line)
    assert "| 0.50 | <= 0.40 | **missed** |" in line


def test_a_target_that_is_met_stands_there_too() -> None:
    text = render(results(row("build-courier", 3.0, cpu=1.0), row("rclone", 10.0, cpu=9.0), speed=Speed.UNTHROTTLED))
    line = next(line for line in text.splitlines() if "label of rclone" in line)
    assert "| 0.30, CPU 0.11 | <= 0.75, CPU <= 0.80 | met, met |" in line


def test_targets_are_for_one_gibibyte_only() -> None:
    text = render(results(row("build-courier", 5.0, size=MIB), row("rclone", 10.0, size=MIB)))
    line = next(line for line in text.splitlines() if "label of rclone" in line)
    assert line.endswith("| 0.50 |  |  |")


LIMIT = CopyLimit((StepCost("received", 0.6, 0.7), StepCost("hashed", 0.8, 0.0), StepCost("sent", 0.6, 0.8)), cores=2)


@pytest.mark.parametrize(
    ("limit", "cpu_seconds", "least"),
    [(LIMIT, LIMIT.ours, 1.75), (LIMIT, 0.5, 1.5), (CopyLimit(LIMIT.steps, cores=16), LIMIT.ours, 1.5)],
    ids=["the cores are busy", "the servers are one process", "more cores do not help them"],
)
def test_a_copy_ends_no_earlier_than_cores_and_servers_let_it(
    limit: CopyLimit, cpu_seconds: float, least: float
) -> None:
    assert limit.wall_seconds(cpu_seconds) == pytest.approx(least)


def test_a_target_beyond_the_machines_limit_is_named_and_stays_missed() -> None:
    ours = row("build-courier", 2.2, cpu=2.4)
    measured = results(ours, row("curl-s5cmd", 3.4), row("requests-upload-fileobj", 2.32), speed=Speed.UNTHROTTLED)
    measured.limit = LIMIT
    text = render(measured)
    assert "| together | 2.00 | 1.50 |" in text
    assert "with the 2.40 s of CPU time of our copy, 1.95 s. Our copy took 2.20 s." in text
    assert text.count("Beyond that limit: 0.75 of label of requests-upload-fileobj would be 1.74 s.") == 1
    assert "| 0.95 | <= 0.75 | **missed** |" in text


def test_memory_that_grows_with_the_report_is_missed() -> None:
    measured = results(row("build-courier", 1.0))
    measured.memory = [row("build-courier", 1.0, peak_mib=30, size=64 * MIB), row("build-courier", 1.0, peak_mib=70)]
    lines = render(measured).splitlines()
    assert "| 64 MiB | 30 | < 64 | met |" in lines
    assert "| 1 GiB | 70 | < 64 | **missed** |" in lines
    assert "| largest / smallest | 2.33 | <= 1.10 | **missed** |" in lines


def test_small_reports_are_compared_in_milliseconds() -> None:
    measured = results(row("build-courier", 1.0))
    measured.small = [(row("build-courier", 0.012, size=MIB), row("requests-put-object", 0.010, size=MIB))]
    text = render(measured)
    assert "| 1 MiB | label of build-courier | 12.0 |" in text
    assert "| 1.20 | <= 1.10 | **missed** |" in text


def test_who_was_not_measured_is_said() -> None:
    measured = results(row("build-courier", 1.0))
    measured.skipped["`rclone copyurl`"] = "no rclone: make bench-setup"
    assert "- `rclone copyurl`: no rclone: make bench-setup" in render(measured)


def test_a_version_is_a_number_however_the_tool_says_it() -> None:
    measured = results(row("build-courier", 1.0))
    measured.versions["tools"] = {"rclone": "rclone v1.60.1-DEV", "curl": "curl 7.88.1 (x86_64-pc-linux-gnu) libcurl/7"}
    assert "- tools: rclone 1.60.1-DEV, curl 7.88.1" in render(measured)


def test_the_cpu_time_of_other_processes_is_reported() -> None:
    measured = results(row("build-courier", 1.0))
    measured.others = 0.123
    assert "5 rounds. The servers share it with the contestants; other processes used 12% of its CPU" in render(
        measured
    )


@pytest.mark.parametrize("speed", Speed)
def test_every_rival_has_a_target_at_both_speeds(speed: Speed) -> None:
    assert TARGETS[speed].keys() == TARGETS[Speed.THROTTLED].keys()
