"""What one connection gets from the source: the proof that it is throttled, for short answers as for long ones."""

from __future__ import annotations

import http.client
import ssl
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.copy.servers import MIB, Report, Servers, Speed

RANGE_BYTES = 8 * MIB
_SECONDS = 60


@dataclass(frozen=True)
class Pace:
    """MB/s (10**6 bytes) of one connection that reads a report by one GET, and by one range after another."""

    whole: float
    ranges: float


def measure_pace(servers: Servers, report: Report, speed: Speed) -> Pace:
    """Read a report twice with one connection."""
    parts = urlsplit(servers.url(report, speed))
    context = ssl.create_default_context(cafile=str(servers.authority))
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=_SECONDS)
    try:
        connection.connect()
        whole = _seconds(connection, parts.path, [(0, report.size_bytes)])
        starts = range(0, report.size_bytes, RANGE_BYTES)
        ranges = _seconds(connection, parts.path, [(s, min(s + RANGE_BYTES, report.size_bytes)) for s in starts])
    finally:
        connection.close()
    return Pace(report.size_bytes / whole / 1e6, report.size_bytes / ranges / 1e6)


def _seconds(connection: http.client.HTTPSConnection, path: str, ranges: list[tuple[int, int]]) -> float:
    buffer = bytearray(MIB)
    started = time.perf_counter()
    for start, end in ranges:
        connection.request("GET", path, headers={"Range": f"bytes={start}-{end - 1}"})
        response = connection.getresponse()
        received = 0
        while count := response.readinto(buffer):
            received += count
        if received != end - start:
            raise RuntimeError(f"the source sent {received} bytes of {end - start}")
    return time.perf_counter() - started
