"""A TLS source of reports and a null S3 sink on loopback, which run during a benchmark."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from string import Template

from courier.transfer.options import MIB
from local.simulator.certificates import make_tls_files

# The speed of one connection to Amazon S3: 85 to 90 MB/s (S3 user guide, "Performance design patterns").
THROTTLED_BYTES_PER_SECOND = 85_000_000

BUCKET = "reports"
_TEMPLATES = Path(__file__).with_name("nginx")
# On tmpfs, so that the disk is not measured; without tmpfs, the folder for temporary files is used.
_MEMORY = Path("/dev/shm")  # noqa: S108 - only the parent of a folder with a unique name
_START_SECONDS = 10.0
_SAMPLE_SECONDS = 0.05
# A report repeats this many random bytes: nothing compresses it on the way, and it is created quickly.
_PIECE_BYTES = 16 * MIB


class Speed(StrEnum):
    """The speed of the source."""

    THROTTLED = "throttled"
    UNTHROTTLED = "unthrottled"


@dataclass(frozen=True)
class Report:
    """A file of the source."""

    name: str
    size_bytes: int
    sha256: str


@dataclass
class Servers:
    """The running servers.

    Attributes
    ----------
    folder
        The folder of all files, on tmpfs.
    authority
        The certificate to trust, as a PEM file.
    ports
        Ports of the source, by speed.
    endpoint
        The sink's URL.
    process_ids
        Of all servers.
    """

    folder: Path
    authority: Path
    ports: dict[Speed, int]
    endpoint: str
    process_ids: tuple[int, ...]
    _made: dict[int, Report] = field(default_factory=dict)

    def report(self, size_bytes: int) -> Report:
        """Return a report of this size, which the first call creates."""
        if size_bytes not in self._made:
            self._made[size_bytes] = _make_report(self.folder / "source", size_bytes)
        return self._made[size_bytes]

    def forget(self, report: Report) -> None:
        """Remove a report, because tmpfs is memory."""
        del self._made[report.size_bytes]
        (self.folder / "source" / report.name).unlink()

    def url(self, report: Report, speed: Speed) -> str:
        """Return the URL of a report."""
        return f"https://localhost:{self.ports[speed]}/{report.name}"

    def empty_sink(self) -> int:
        """Remove the stored files, and return the number of bytes that the sink received since the last call."""
        shutil.rmtree(self.folder / "sink" / BUCKET, ignore_errors=True)
        log = self.folder / "received.log"
        lines = [line.split() for line in log.read_text("ascii").splitlines()]
        os.truncate(log, 0)
        return sum(int(length) for method, length in lines if method == "PUT")


def has_nginx() -> bool:
    """Return whether nginx is installed."""
    return nginx() is not None


def nginx() -> str | None:
    """Find nginx, which on Debian is not in the path of ordinary users."""
    return shutil.which("nginx", path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin")))


@contextmanager
def running_servers() -> Generator[Servers, None, None]:
    """Start the servers, and stop and remove them afterwards.

    Raises
    ------
    RuntimeError
        nginx does not start, or is not installed.
    """
    program = nginx()
    if program is None:
        raise RuntimeError("nginx is not installed")
    with ExitStack() as stack:
        parent = _MEMORY if os.access(_MEMORY, os.W_OK) else None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="courier-bench-", dir=parent)))
        for name in ("source", "sink", "bodies"):
            (folder / name).mkdir()
        tls = make_tls_files(folder)
        unthrottled, throttled, sink = _free_ports(3)
        facts = {
            "folder": str(folder),
            "certificate": str(tls.certificate),
            "key": str(tls.key),
            "unthrottled_port": str(unthrottled),
            "throttled_port": str(throttled),
            "sink_port": str(sink),
            "bytes_per_second": str(THROTTLED_BYTES_PER_SECOND),
        }
        ports = {"main": sink, "throttled": throttled}
        processes = {name: stack.enter_context(_running_nginx(program, folder, name, facts)) for name in ports}
        for name, process in processes.items():
            _await_port(ports[name], process, folder / f"{name}.log")
        yield Servers(
            folder=folder,
            authority=tls.authority,
            ports={Speed.UNTHROTTLED: unthrottled, Speed.THROTTLED: throttled},
            endpoint=f"https://localhost:{sink}",
            process_ids=tuple(process.pid for process in processes.values()),
        )


@contextmanager
def _running_nginx(
    program: str, folder: Path, name: str, facts: Mapping[str, str]
) -> Generator[subprocess.Popen[bytes], None, None]:
    """Run one nginx process with the servers of the template with this name."""
    configuration = folder / f"{name}.conf"
    for template, filled in (("common", configuration), (name, folder / f"{name}-servers.conf")):
        text = (_TEMPLATES / f"{template}.conf.in").read_text("utf-8")
        filled.write_text(Template(text).substitute(facts, name=name), "utf-8")
    process = subprocess.Popen(
        [program, "-c", configuration, "-e", folder / f"{name}.log"], stdin=subprocess.DEVNULL, cwd=folder
    )
    try:
        yield process
    finally:
        _stop(process)


def _make_report(folder: Path, size_bytes: int) -> Report:
    piece = os.urandom(min(_PIECE_BYTES, size_bytes))
    digest = hashlib.sha256()
    name = f"report-{size_bytes}"
    left = size_bytes
    with (folder / name).open("wb") as file:
        while left:
            written = file.write(piece[:left])
            digest.update(piece[:written])
            left -= written
    return Report(name, size_bytes, digest.hexdigest())


def _free_ports(count: int) -> list[int]:
    """Find free ports; all are held until the last one is found."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _await_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(_SAMPLE_SECONDS)
        else:
            return
    lines = log.read_text("utf-8").strip().splitlines()[-3:] if log.exists() else []
    raise RuntimeError("nginx does not start: " + " / ".join(lines))


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_START_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
