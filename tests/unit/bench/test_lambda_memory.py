"""The processor time that Lambda grants, and what a copy costs with it."""

import os
from pathlib import Path

import pytest

from bench.copy.lambda_memory import ControlGroup, MemorySize
from bench.copy.measure import Usage
from bench.copy.servers import Speed
from courier.transfer.options import GIB


def test_the_cost_of_a_copy_is_its_median_time_by_memory() -> None:
    runs = {speed: [Usage(seconds, 1.0, 0) for seconds in (9.0, 2.0, 4.0)] for speed in Speed}
    size = MemorySize(memory_mb=512, report_bytes=GIB, runs=runs, process_bytes=0)
    assert size.dollars(Speed.THROTTLED) == pytest.approx(4.0 * 0.5 * 0.0000133334)


@pytest.mark.skipif(ControlGroup.missing() is not None, reason=str(ControlGroup.missing()))
def test_a_process_is_limited_only_within_the_block() -> None:
    def group() -> str:
        return Path("/proc/self/cgroup").read_text("ascii")

    with ControlGroup().limit(os.getpid(), 0.5):
        assert "build-courier-bench" in group()
    assert "build-courier-bench" not in group()
