"""A quota of concurrent executions delays notices, and fails executions only when it is too small for the load."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from local.polling_study import concurrency
from local.polling_study.comparison import simulate_courier
from local.polling_study.concurrency import RECORD_SECONDS, apply_quota, percentile
from local.polling_study.strategies import PollingCounts
from local.polling_study.workload import Workload, draw_trace
from tests.support.command import courier

ROOT = Path(__file__).resolve().parents[3]


def burst(builds: int) -> PollingCounts:
    """Return builds whose ends are all detected in the same second."""
    return PollingCounts(builds=builds, detected_at=[60.0] * builds)


def test_without_a_quota_a_notice_follows_copy_and_record() -> None:
    effect = apply_quota(burst(300), quota=None, copy_seconds=2)
    assert effect.notice_seconds == [pytest.approx(2 + RECORD_SECONDS)] * 300
    assert (effect.throttled, effect.failed_executions) == (0, 0)


def test_a_burst_of_300_under_a_quota_of_ten_is_only_late() -> None:
    effect = apply_quota(burst(300), quota=10)
    assert len(effect.notice_seconds) == 300
    assert (effect.failed_executions, effect.dropped_ticks) == (0, 0)
    # Nothing is faster than the quota allows, and the median is within the first waits.
    assert max(effect.notice_seconds) >= 300 / 10 * RECORD_SECONDS
    assert percentile(effect.notice_seconds, 50) < 30


def test_never_more_run_than_the_quota() -> None:
    effect = apply_quota(burst(500), quota=10, copy_seconds=5)
    assert effect.busy_seconds == pytest.approx(500 * (5 + RECORD_SECONDS))
    assert effect.lasted_seconds - 60 >= effect.busy_seconds / 10


def test_a_load_above_the_quota_fails_executions_and_drops_ticks() -> None:
    workload = Workload(builds=3000, in_flight=3000, scopes=50, requests_per_minute=3000, batched=True)
    counts = simulate_courier(workload, draw_trace(workload)).counts
    enough = apply_quota(counts, quota=1000, copy_seconds=60)
    assert (enough.failed_executions, enough.dropped_ticks) == (0, 0)
    assert enough.mean_concurrency > 10
    small = apply_quota(counts, quota=2, copy_seconds=60)
    assert small.failed_executions + small.dropped_ticks > 0
    assert len(small.notice_seconds) + small.failed_executions == len(counts.detected_at)


def test_the_waits_are_those_of_the_state_machine_and_of_the_template() -> None:
    definition = yaml.safe_load((ROOT / "statemachine/build_lifecycle.asl.yaml").read_text(encoding="utf-8"))
    for state in ("CopyArtifact", "RecordOutcome"):
        (retrier,) = [
            each
            for each in definition["States"][state]["Retry"]
            if "Lambda.TooManyRequestsException" in each["ErrorEquals"]
        ]
        assert retrier["IntervalSeconds"] == concurrency.FIRST_WAIT_SECONDS
        assert retrier["MaxDelaySeconds"] == concurrency.LONGEST_WAIT_SECONDS
        assert retrier["MaxAttempts"] == concurrency.MOST_RETRIES
        assert (retrier["BackoffRate"], retrier["JitterStrategy"]) == (2, "FULL")
    template = (ROOT / "template.yaml").read_text(encoding="utf-8")
    ages = set(re.findall(r"&tick_invocation(?:.|\n)*?MaximumEventAgeInSeconds: (\d+)", template))
    assert ages == {f"{concurrency.LONGEST_EVENT_AGE_SECONDS:.0f}"}


def test_the_command_says_what_a_quota_changes() -> None:
    result = courier("simulate", "--builds", "200", "--in-flight", "200", "--quota", "2", "--copy-seconds", "60")
    said = " ".join(result.out.split())
    assert result.exit_code == 0
    assert "With 2 concurrent Lambda executions: from the detected end to the notice median " in said
    assert "The quota is too small for this load: raise it (docs/quota.md)." in said
    calm = courier("simulate", "--builds", "200", "--quota", "1000")
    assert " 0 attempts are throttled, 0 ticks are dropped, 0 executions fail." in " ".join(calm.out.split())
    assert courier("simulate", "--quota", "0").exit_code == 2
