"""The second engine: LocalStack as a process of its own, from start to stop."""

import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path

from scripts.deployment.frozen_build import native_layers
from scripts.deployment.paths import ROOT, RUNTIME_PYTHON

REGION = "eu-central-1"
PYTHON = ROOT / ".venv-deployment/bin/python"
# Real seconds per second of a Retry's pause: five minutes become 1.5 s.
PAUSE_SCALE = 0.005
# The concurrent executions of a new account.
CONCURRENCY_QUOTA = 10

_START_SECONDS = 120.0
_CHECK_SECONDS = 0.2


class EngineError(Exception):
    """LocalStack did not start, or ended before its time."""


@dataclass(frozen=True, kw_only=True)
class ShimUse:
    """One shim of a run: its gap, and how often it was used."""

    name: str
    gap: str
    used: int


@dataclass(frozen=True, kw_only=True)
class SecondEngine:
    """A running LocalStack.

    ``log``
        The file of its output.
    """

    url: str
    pid: int
    log: Path

    def environment(self) -> dict[str, str]:
        """Return the environment of a user whose AWS is this engine."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "COURIER_"))}
        local = "127.0.0.1,localhost"
        return own | {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "SAM_CLI_TELEMETRY": "0",
            "NO_PROXY": local,
            "no_proxy": local,
        }

    def shims(self) -> list[ShimUse]:
        """Return the shims and how often each was used so far."""
        with _open(f"{self.url}/_courier/shims") as response:
            report: dict[str, dict[str, object]] = json.load(response)
        return [
            ShimUse(name=name, gap=str(entry["gap"]), used=int(str(entry["used"]))) for name, entry in report.items()
        ]


@contextmanager
def second_engine() -> Iterator[SecondEngine]:
    """Start LocalStack on a free loopback port, and stop it with all its processes.

    Raises
    ------
    EngineError
        It does not start; the message is the end of its output.
    """
    with tempfile.TemporaryDirectory(prefix="second-engine-") as folder:
        port = _free_port()
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [PYTHON, "-m", "scripts.deployment.engine"],
                cwd=ROOT,
                env=_environment(Path(folder), port),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Its own group, so that everything it starts can be stopped.
                start_new_session=True,
            )
        engine = SecondEngine(url=f"http://127.0.0.1:{port}", pid=process.pid, log=log)
        try:
            _wait_until_up(engine, process)
            yield engine
        finally:
            _stop(process)


def _environment(folder: Path, port: int) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LOCALSTACK_"))}
    return own | {
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        # The default server listens on all interfaces, whatever GATEWAY_LISTEN says.
        "GATEWAY_SERVER": "hypercorn",
        "LOCALSTACK_HOST": f"127.0.0.1:{port}",
        "DNS_ADDRESS": "0",
        "PROVIDER_OVERRIDE_CLOUDFORMATION": "engine-legacy",
        "LAMBDA_LIMITS_CONCURRENT_EXECUTIONS": str(CONCURRENCY_QUOTA),
        # A function may set its reserved concurrency although an account of ten has none to spare.
        "LAMBDA_LIMITS_MINIMUM_UNRESERVED_CONCURRENCY": "0",
        "FILESYSTEM_ROOT": str(folder / "files"),
        "TMPDIR": str(_made(folder / "tmp")),
        "DYNAMODB_IN_MEMORY": "1",
        # Nothing is sent or fetched from elsewhere.
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "COURIER_PAUSE_SCALE": str(PAUSE_SCALE),
        "COURIER_RUNTIME_PYTHON": str(RUNTIME_PYTHON),
        "COURIER_NATIVE_LAYERS": os.pathsep.join(map(str, native_layers())),
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def _wait_until_up(engine: SecondEngine, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with _open(f"{engine.url}/_localstack/health"):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(_CHECK_SECONDS)
    raise EngineError(f"LocalStack did not start:\n{engine.log.read_text(encoding='utf-8', errors='replace')[-3000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Kill LocalStack, and the functions and DynamoDB, which it started: there is nothing to save."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _open(url: str) -> HTTPResponse:
    response: HTTPResponse = urllib.request.urlopen(url, timeout=5)  # noqa: S310 - a fixed scheme
    return response


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
