"""What happens to a part between download and S3."""

from __future__ import annotations

import hashlib
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from courier.transfer.options import OutOfTimeError
from courier.transfer.parts import OrderedSha256, PartUploader
from courier.transfer.s3_object import S3Object, UploadedPart


class StoredParts(S3Object):
    """Keeps the parts here, in the order of their arrival."""

    def __init__(self) -> None:
        self.kept: dict[int, tuple[bytes, int]] = {}

    def upload_part(self, upload_id: str, number: int, body: bytearray, crc32: int) -> UploadedPart:
        self.kept[number] = (bytes(body), crc32)
        return UploadedPart(f"{upload_id}-{number}", None, len(body))


def uploader(stored_parts: StoredParts, digest: OrderedSha256 | None) -> PartUploader:
    return PartUploader(stored_parts, "upload", digest=digest, done={}, total_bytes=None, progress=None)


class RecordingDigest(OrderedSha256):
    """Records which parts are stored at the moment when a part has been hashed."""

    def __init__(self, stored_parts: StoredParts) -> None:
        super().__init__()
        self.stored_parts = stored_parts
        self.stored_at: dict[int, set[int]] = {}

    def add(self, number: int, data: memoryview) -> int:
        crc32 = super().add(number, data)
        self.stored_at[number] = set(self.stored_parts.kept)
        return crc32


def test_a_part_is_hashed_in_its_turn_and_then_stored() -> None:
    stored_parts = StoredParts()
    digest = RecordingDigest(stored_parts)
    parts = uploader(stored_parts, digest)
    with ThreadPoolExecutor(3) as pool:
        for stored in [pool.submit(parts.store, number, bytearray(b"%d" % number)) for number in (3, 2, 1)]:
            stored.result()
    assert all(number not in stored for number, stored in digest.stored_at.items())
    assert stored_parts.kept == {n: (b"%d" % n, zlib.crc32(b"%d" % n)) for n in (1, 2, 3)}
    assert parts.sha256 == hashlib.sha256(b"123").hexdigest()


def test_a_part_whose_turn_will_not_come_is_stored_all_the_same() -> None:
    stored_parts = StoredParts()
    parts = uploader(stored_parts, OrderedSha256())
    parts.stop()
    with pytest.raises(OutOfTimeError):
        parts.store(2, bytearray(b"second"))
    assert stored_parts.kept == {2: (b"second", zlib.crc32(b"second"))}
    assert parts.done_bytes == len(b"second")


def test_without_a_hash_parts_come_in_any_order() -> None:
    stored_parts = StoredParts()
    parts = uploader(stored_parts, None)
    parts.store(7, bytearray(b"seventh"))
    assert stored_parts.kept == {7: (b"seventh", zlib.crc32(b"seventh"))}
    assert parts.sha256 is None


def test_digest_does_not_depend_on_the_order_of_arrival() -> None:
    parts = [bytes([number]) * 1_000 for number in range(1, 41)]
    digest = OrderedSha256()
    # Threads take the parts in order and finish them in any order, as workers do.
    left = iter(range(1, 41))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number = next(left, None)
            if number is None:
                return
            digest.add(number, memoryview(parts[number - 1]))

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(work) for _ in range(4)]:
            future.result()
    assert digest.hexdigest() == hashlib.sha256(b"".join(parts)).hexdigest()


@pytest.mark.parametrize("length", [1, 65_535, 65_536, 65_537, 1_000_000])
def test_the_checksum_of_a_part_comes_with_its_hash(length: int) -> None:
    first, second = bytes(range(256)) * 4_000, b"second"
    digest = OrderedSha256()
    assert digest.add(1, memoryview(first)[:length]) == zlib.crc32(first[:length])
    assert digest.add(2, memoryview(second)) == zlib.crc32(second)
    assert digest.hexdigest() == hashlib.sha256(first[:length] + second).hexdigest()


def test_stop_ends_the_wait_for_a_part_that_will_not_come() -> None:
    digest = OrderedSha256()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(digest.add, 2, memoryview(b"x"))
        digest.stop()
        with pytest.raises(OutOfTimeError):
            waiting.result()
