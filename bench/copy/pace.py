"""What one connection gets from the source: the proof that it is throttled, for short answers as for long ones."""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.copy.servers import Report, Servers, Speed
from courier.transfer.options import MIB

RANGE_BYTES = 8 * MIB
_SECONDS = 60


@dataclass(frozen=True)
class Pace:
    """MB/s (10**6 bytes) of one connection that reads a report by one GET, and by one range after another."""

    whole: float
    ranges: float


def measure_pace(servers: Servers, report: Report, speed: Speed) -> Pace:
    """Read a report twice with one connection."""
    context = ssl.create_default_context(cafile=str(servers.authority))
    with opened(servers.url(report, speed), context) as (connection, path):
        whole = _seconds(connection, path, [(0, report.size_bytes)])
        ranges = _seconds(connection, path, ranges_of(report))
    return Pace(report.size_bytes / whole / 1e6, report.size_bytes / ranges / 1e6)


def ranges_of(report: Report) -> list[tuple[int, int]]:
    """Give the beginnings and ends of the ranges that a report is read in."""
    starts = range(0, report.size_bytes, RANGE_BYTES)
    return [(start, min(start + RANGE_BYTES, report.size_bytes)) for start in starts]


@contextmanager
def opened(url: str, context: ssl.SSLContext) -> Generator[tuple[http.client.HTTPSConnection, str], None, None]:
    """Connect to where a URL points; give the connection and the URL's path."""
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=_SECONDS)
    try:
        connection.connect()
        yield connection, parts.path
    finally:
        connection.close()


def _seconds(connection: http.client.HTTPSConnection, path: str, ranges: list[tuple[int, int]]) -> float:
    started = time.perf_counter()
    read_ranges(connection, path, ranges)
    return time.perf_counter() - started


def read_ranges(connection: http.client.HTTPSConnection, path: str, ranges: list[tuple[int, int]]) -> None:
    """Read ranges of a report one after the other.

    Raises
    ------
    RuntimeError
        The source sent less.
    """
    buffer = bytearray(RANGE_BYTES)
    for start, end in ranges:
        connection.request("GET", path, headers={"Range": f"bytes={start}-{end - 1}"})
        response = connection.getresponse()
        received = 0
        while count := response.readinto(buffer):
            received += count
        if received != end - start:
            raise RuntimeError(f"the source sent {received} bytes of {end - start}")
