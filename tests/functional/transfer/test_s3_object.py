"""The checksums that S3 receives to verify what it stores; moto accepts any checksum, S3 does not."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Mapping

import pytest
from botocore.awsrequest import AWSPreparedRequest

from courier.transfer.options import MIB
from local.simulator import IgnoreRange
from tests.functional.transfer.conftest import NewHarness
from tests.functional.transfer.harness import CopyHarness


class Sent:
    """Keeps headers and body of each request that carries bytes."""

    def __init__(self, harness: CopyHarness) -> None:
        self.requests: list[tuple[Mapping[str, str], bytes]] = []
        harness.s3.meta.events.register_first("before-send.s3", self._keep)

    def _keep(self, request: AWSPreparedRequest, event_name: str, **_: object) -> None:
        if event_name.endswith(("PutObject", "UploadPart")):
            assert isinstance(request.body, bytes | bytearray)
            # Values are text or bytes, whatever the stubs say.
            values: dict[str, object] = {name.lower(): value for name, value in request.headers.items()}
            texts = {name: value.decode() if isinstance(value, bytes) else str(value) for name, value in values.items()}
            self.requests.append((texts, bytes(request.body)))


def test_small_report_is_sent_with_its_sha256(new_harness: NewHarness) -> None:
    harness = new_harness(300_000)
    sent = Sent(harness)
    harness.copy()
    ((headers, body),) = sent.requests
    assert body == harness.report
    assert headers["x-amz-checksum-sha256"] == base64.b64encode(hashlib.sha256(body).digest()).decode()


@pytest.mark.parametrize("ranges", [True, False])
def test_every_part_is_sent_with_its_crc32(new_harness: NewHarness, ranges: bool) -> None:
    harness = new_harness(27 * MIB)
    if not ranges:
        harness.inject(IgnoreRange(), times=None)
    sent = Sent(harness)
    harness.copy()
    assert len(sent.requests) == 6
    for headers, body in sent.requests:
        assert headers["x-amz-checksum-crc32"] == base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


@pytest.mark.parametrize("size_bytes", [300_000, 12 * MIB])
def test_bytes_are_not_hashed_again_for_the_request(new_harness: NewHarness, size_bytes: int) -> None:
    harness = new_harness(size_bytes)
    sent = Sent(harness)
    harness.copy()
    for headers, _ in sent.requests:
        assert headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
        assert sorted(name for name in headers if "checksum" in name or "md5" in name) in (
            ["x-amz-checksum-crc32"],
            ["x-amz-checksum-sha256"],
        )
