"""What no copy on this machine can do without: the bytes received, hashed and sent, each by itself and no more."""

from __future__ import annotations

import hashlib
import http.client
import os
import ssl
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from bench.copy.measure import cpu_seconds, own_cpu_seconds
from bench.copy.pace import RANGE_BYTES, opened, ranges_of, read_ranges
from bench.copy.servers import BUCKET, Report, Servers, Speed
from courier.transfer.options import MIB

_PIECE_BYTES = MIB // 4


@dataclass(frozen=True)
class Share:
    """CPU seconds of one of the steps, in the process that takes it and in the servers."""

    name: str
    ours: float
    servers: float


@dataclass(frozen=True)
class Floor:
    """The steps of one copy, and on how many cores they can be spread."""

    shares: tuple[Share, ...]
    cores: int

    @property
    def ours(self) -> float:
        """CPU seconds that a copy takes at least."""
        return sum(share.ours for share in self.shares)

    @property
    def servers(self) -> float:
        """CPU seconds that the servers take for it; they are one process, so this is also their shortest time."""
        return sum(share.servers for share in self.shares)

    def wall_seconds(self, cpu_seconds: float) -> float:
        """Give the shortest time in which a copy that takes so much CPU, and the servers, can be done."""
        return max(self.servers, (cpu_seconds + self.servers) / self.cores)


def measure_floor(servers: Servers, report: Report) -> Floor:
    """Take each step once over all bytes of a report, one after the other, with one connection and one buffer.

    Raises
    ------
    RuntimeError
        A server refuses what it is sent, or sends less than asked for.
    """
    context = ssl.create_default_context(cafile=str(servers.authority))
    shares = (
        _share("received over TLS", servers, lambda: _receive(servers, report, context)),
        _share("SHA-256 and CRC32", servers, lambda: _hash(report.size_bytes)),
        _share("sent over TLS", servers, lambda: _send(servers, report.size_bytes, context)),
    )
    servers.empty_sink()
    return Floor(shares, len(os.sched_getaffinity(0)))


def _share(name: str, servers: Servers, step: Callable[[], None]) -> Share:
    def theirs() -> float:
        return sum(map(cpu_seconds, servers.process_ids))

    before, theirs_before = own_cpu_seconds(), theirs()
    step()
    return Share(name, own_cpu_seconds() - before, theirs() - theirs_before)


def _receive(servers: Servers, report: Report, context: ssl.SSLContext) -> None:
    with opened(servers.url(report, Speed.UNTHROTTLED), context) as (connection, path):
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
    with opened(servers.endpoint, context) as (connection, _):
        for start in range(0, size_bytes, RANGE_BYTES):
            connection.request("PUT", f"/{BUCKET}/floor", body=body[: size_bytes - start])
            response = connection.getresponse()
            response.read()
            if response.status not in {http.client.CREATED, http.client.NO_CONTENT}:
                raise RuntimeError(f"the sink says {response.status}")
