"""One copy in a process of its own, which prints the memory that it took: ``measured_copy.py URL ENDPOINT KEY``."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path

from courier.links import ArtifactLink, SecretUrl
from courier.transfer.checkpoint import MemoryCheckpointStore
from courier.transfer.copy import copy
from courier.transfer.options import MIB, CopyOptions, Destination, Expected
from courier.transfer.url_policy import LinkRules
from tests.functional.transfer.harness import BUCKET, s3_client


def peak_bytes() -> int:
    """Most memory that this process has had at any time (VmHWM of proc(5))."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def main() -> None:
    url, endpoint, key = sys.argv[1:]
    s3 = s3_client(endpoint)
    s3.list_objects_v2(Bucket=BUCKET)  # a warm process has made its first call
    before = peak_bytes()
    artifact = copy(
        lambda: ArtifactLink(url=SecretUrl(url), size_bytes=None, expires_at=None, filename="report.pdf"),
        Destination(bucket=BUCKET, key=key),
        s3=s3,
        rules=LinkRules.parse([], loopback=True),
        expected=Expected(content_types=("application/pdf",), largest_bytes=1024 * MIB),
        checkpoints=MemoryCheckpointStore(),
        seconds_left=lambda: math.inf,
        options=CopyOptions(),
    )
    print(artifact.size_bytes, peak_bytes() - before)  # noqa: T201 - what the test reads


main()
