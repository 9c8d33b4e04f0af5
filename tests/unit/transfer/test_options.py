"""The arithmetic of parts and memory, at sizes that no test can copy."""

from __future__ import annotations

from typing import Any

import pytest

from courier.errors import ArtifactRefusedError, SettingsError
from courier.transfer.options import (
    BUFFER_BYTES,
    GIB,
    LARGEST_PART_BYTES,
    MIB,
    MOST_PARTS,
    SMALLEST_PART_BYTES,
    CopyOptions,
    Destination,
    PartPlan,
)

TIB = 1024 * GIB
OPTIONS = CopyOptions()
SIZES = [1, 8 * MIB, 8 * MIB + 1, 5 * GIB, 10_000 * 8 * MIB, 10_000 * 8 * MIB + 1, 100 * GIB, TIB, 5 * TIB, 48 * TIB]


@pytest.mark.parametrize("size", SIZES)
def test_ten_thousand_parts_always_suffice(size: int) -> None:
    part_size = OPTIONS.part_size_for(size)
    assert PartPlan(size, part_size).parts <= MOST_PARTS
    assert SMALLEST_PART_BYTES <= part_size <= LARGEST_PART_BYTES


@pytest.mark.parametrize("size", SIZES)
def test_parts_cover_every_byte_once(size: int) -> None:
    position = 0
    for part in PartPlan(size, OPTIONS.part_size_for(size)):
        assert part.start == position
        assert part.length > 0
        position += part.length
    assert position == size


@pytest.mark.parametrize("size", SIZES)
def test_buffers_stay_within_the_bound_while_a_part_does(size: int) -> None:
    part_size = OPTIONS.part_size_for(size)
    workers = OPTIONS.workers_for(part_size)
    assert workers >= 1
    assert workers * part_size <= max(BUFFER_BYTES, part_size)


def test_default_memory_is_what_the_docstring_says() -> None:
    assert OPTIONS.workers_for(OPTIONS.part_size_for(78 * GIB)) == 6
    assert OPTIONS.workers_for(OPTIONS.part_size_for(79 * GIB)) == 5
    assert OPTIONS.workers * OPTIONS.part_size_bytes == BUFFER_BYTES == 48 * MIB
    assert OPTIONS.part_size_for(468 * GIB) == BUFFER_BYTES
    assert OPTIONS.part_size_for(469 * GIB) > BUFFER_BYTES
    assert OPTIONS.part_size_for(5 * TIB) == 525 * MIB


def test_what_no_object_holds_is_refused() -> None:
    with pytest.raises(ArtifactRefusedError, match="do not fit"):
        OPTIONS.part_size_for(MOST_PARTS * LARGEST_PART_BYTES + 1)


def test_part_size_of_the_operator_is_kept() -> None:
    options = CopyOptions(workers=8, part_size_bytes=16 * MIB)
    assert options.part_size_for(GIB) == 16 * MIB
    assert options.workers_for(16 * MIB) == 8


@pytest.mark.parametrize("longest", [5 * GIB, 78 * GIB, 100 * GIB, 5 * TIB])
def test_stream_of_unknown_length_reaches_its_limit(longest: int) -> None:
    sizes = [OPTIONS.sequential_part_size(number, longest) for number in range(1, MOST_PARTS + 1)]
    assert sum(sizes) >= longest
    assert sizes == sorted(sizes)
    assert max(sizes) <= LARGEST_PART_BYTES


def test_stream_of_unknown_length_keeps_its_memory_for_long() -> None:
    received = number = 0
    while OPTIONS.sequential_part_size(number + 1, 5 * TIB) <= BUFFER_BYTES:
        number += 1
        received += OPTIONS.sequential_part_size(number, 5 * TIB)
    assert 54 * GIB < received < 55 * GIB


@pytest.mark.parametrize(
    "wrong", [{"workers": 0}, {"workers": 65}, {"part_size_bytes": MIB}, {"part_size_bytes": 6 * GIB}], ids=str
)
def test_options_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"workers|part"):
        CopyOptions(**wrong)


@pytest.mark.parametrize(
    "key",
    ["Screenshot at 9.41.00\u202fAM.pdf", "13.05.\u00a0x.pdf", "\u5831\u544a\u30002024.pdf", "a/\u200fb", "\u2028"],
)
def test_key_may_have_every_character_that_s3_takes(key: str) -> None:
    assert Destination(bucket="reports", key=key).key == key


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("a\x07b", r"character 2 is U\+0007"),
        ("a\nb", r"character 2 is U\+000A"),
        ("\x7f", r"character 1 is U\+007F"),
        ("ab\x85", r"character 3 is U\+0085"),
        ("a\udc80", r"character 2 is U\+DC80"),
        ("\u00e4" * 513, "at most 1024 bytes on S3, this one has 1026"),
        ("", "one is empty"),
    ],
)
def test_key_that_is_refused_is_refused_with_the_reason(key: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        Destination(bucket="reports", key=key)
