"""A copy takes the memory of its buffers, however large the report is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from courier.transfer.options import MIB
from local.simulator import IgnoreRange, NoLength
from local.simulator.faults import Fault
from tests.functional.transfer.conftest import NewHarness
from tests.functional.transfer.harness import KEY, CopyHarness

ROOT = Path(__file__).parents[3]
PROC = Path("/proc/self/status")


def extra_bytes(harness: CopyHarness, size_bytes: int) -> int:
    """Copy in another process with the default options, and return what it took over its baseline."""
    script = Path(__file__).with_name("measured_copy.py")
    ended = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, script, harness.locate().url.reveal(), harness.s3.meta.endpoint_url, KEY],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        cwd=ROOT,
    )
    copied, extra = ended.stdout.split()
    assert int(copied) == size_bytes
    assert harness.stored() == harness.report
    harness.s3.delete_object(Bucket="reports", Key=KEY)
    return int(extra)


@pytest.mark.skipif(not PROC.exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize(
    "faults", [[], [IgnoreRange()], [IgnoreRange(), NoLength()]], ids=["parts", "stream", "no length"]
)
def test_memory_is_the_buffers_and_a_constant(new_harness: NewHarness, faults: list[Fault]) -> None:
    size_bytes = 72 * MIB
    harness = new_harness(size_bytes)
    for fault in faults:
        harness.inject(fault, times=None)
    assert extra_bytes(harness, size_bytes) < 6 * 8 * MIB + 10 * MIB
