"""Limits of this machine: the speed of one connection, and the CPU time that any copy needs."""

from __future__ import annotations

import hashlib
import http.client
import os
import ssl
import time
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.copy.measure import cpu_seconds, own_cpu_seconds
from bench.copy.servers import BUCKET, Report, Servers, Speed
from courier.transfer.options import MIB

RANGE_BYTES = 8 * MIB
_TIMEOUT_SECONDS = 60
_PIECE_BYTES = MIB // 4


@dataclass(frozen=True)
class ConnectionSpeed:
    """MB/s (10**6 bytes) of one connection that reads a report with one GET, and range by range.

    The two figures show that the source throttles short responses as well as long ones.
    """

    whole: float
    ranges: float


def measure_connection(servers: Servers, report: Report, speed: Speed) -> ConnectionSpeed:
    """Read a report twice with one connection."""
    context = ssl.create_default_context(cafile=str(servers.authority))
    with connected(servers.url(report, speed), context) as (connection, path):
        whole = _seconds(connection, path, [(0, report.size_bytes)])
        ranges = _seconds(connection, path, ranges_of(report))
    return ConnectionSpeed(report.size_bytes / whole / 1e6, report.size_bytes / ranges / 1e6)


def ranges_of(report: Report) -> list[tuple[int, int]]:
    """Return starts and ends of the ranges in which a report is read."""
    starts = range(0, report.size_bytes, RANGE_BYTES)
    return [(start, min(start + RANGE_BYTES, report.size_bytes)) for start in starts]


@contextmanager
def connected(url: str, context: ssl.SSLContext) -> Generator[tuple[http.client.HTTPSConnection, str], None, None]:
    """Connect to the server of a URL, and yield the connection and the path of the URL."""
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(
        parts.hostname or "", parts.port, context=context, timeout=_TIMEOUT_SECONDS
    )
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


@dataclass(frozen=True)
class StepCost:
    """CPU seconds of one step of a copy, in the copying process and in the servers."""

    name: str
    ours: float
    servers: float


@dataclass(frozen=True)
class CopyLimit:
    """The steps of one copy, and the number of cores that share them."""

    steps: tuple[StepCost, ...]
    cores: int

    @property
    def ours(self) -> float:
        """The least CPU seconds of a copy."""
        return sum(step.ours for step in self.steps)

    @property
    def servers(self) -> float:
        """CPU seconds of the servers; they are one process, so this is also their shortest wall time."""
        return sum(step.servers for step in self.steps)

    def wall_seconds(self, cpu_seconds: float) -> float:
        """Return the shortest wall time of a copy with this CPU time, including the servers."""
        return max(self.servers, (cpu_seconds + self.servers) / self.cores)


def measure_limit(servers: Servers, report: Report) -> CopyLimit:
    """Run each step once over all bytes of a report, one after the other, with one connection and one buffer.

    Raises
    ------
    RuntimeError
        A server refuses a request, or sends less than requested.
    """
    context = ssl.create_default_context(cafile=str(servers.authority))
    steps = (
        _measure_step("received over TLS", servers, lambda: _receive(servers, report, context)),
        _measure_step("SHA-256 and CRC32", servers, lambda: _hash(report.size_bytes)),
        _measure_step("sent over TLS", servers, lambda: _send(servers, report.size_bytes, context)),
    )
    servers.empty_sink()
    return CopyLimit(steps, len(os.sched_getaffinity(0)))


def _measure_step(name: str, servers: Servers, step: Callable[[], None]) -> StepCost:
    def theirs() -> float:
        return sum(map(cpu_seconds, servers.process_ids))

    before, theirs_before = own_cpu_seconds(), theirs()
    step()
    return StepCost(name, own_cpu_seconds() - before, theirs() - theirs_before)


def _receive(servers: Servers, report: Report, context: ssl.SSLContext) -> None:
    with connected(servers.url(report, Speed.UNTHROTTLED), context) as (connection, path):
        read_ranges(connection, path, ranges_of(report))


def _hash(size_bytes: int) -> None:
    digest, crc32 = hashlib.sha256(), 0
    piece = memoryview(bytearray(os.urandom(_PIECE_BYTES)))
    for start in range(0, size_bytes, _PIECE_BYTES):
        part = piece[: size_bytes - start]
        digest.update(part)
        crc32 = zlib.crc32(part, crc32)


def _send(servers: Servers, size_bytes: int, context: ssl.SSLContext) -> None:
    body = memoryview(bytearray(os.urandom(min(RANGE_BYTES, size_bytes))))
    with connected(servers.endpoint, context) as (connection, _):
        for start in range(0, size_bytes, RANGE_BYTES):
            connection.request("PUT", f"/{BUCKET}/floor", body=body[: size_bytes - start])
            response = connection.getresponse()
            response.read()
            if response.status not in {http.client.CREATED, http.client.NO_CONTENT}:
                raise RuntimeError(f"the sink responds with {response.status}")
