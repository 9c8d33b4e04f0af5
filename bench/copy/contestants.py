"""The compared tools, what each needs, and how it is started."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final, Protocol

from bench.copy.measure import ProcessMeter, ToolFailedError, Usage, run_pipeline
from bench.copy.worker import CopyResult, CopyTask, Sink

_ROOT: Final = Path(__file__).parents[2]
# A separate environment, because awscli pins older versions; it contains requirements/bench.lock.
RIVALS_ENVIRONMENT: Final = _ROOT / ".venv-bench"
_OUTPUT_SECONDS: Final = 30
# No contestant reads settings of the user.
_EMPTY_FOLDER: Final = "/nonexistent"


class Contestant(Protocol):
    """One way to copy.

    Attributes
    ----------
    name, label
        The name on the command line, and the one in the tables.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - see Attributes

    @property
    def label(self) -> str: ...  # noqa: D102

    def missing(self) -> str | None:
        """Return what is not installed, or None."""
        ...

    def versions(self) -> Mapping[str, str]:
        """Return the versions of its programs and libraries."""
        ...

    def copy(self, task: CopyTask, small: CopyTask, sink: Sink) -> CopyResult:
        """Copy once in a new process, and return the usage beyond its start and the small copy before.

        Raises
        ------
        ToolFailedError
            The copy failed.
        """
        ...

    def start_up(self, small: CopyTask, sink: Sink) -> Usage:
        """Return the usage of a whole process that starts, makes the small copy and ends."""
        ...


@dataclass(frozen=True)
class PythonContestant:
    """A contestant of `worker`: its process measures the copy from inside, after the small copy."""

    name: str
    label: str
    interpreter: Path
    packages: Sequence[str]

    def missing(self) -> str | None:
        """Return what is not installed."""
        return None if self.interpreter.exists() else f"no {self.interpreter.parent.parent.name}: make bench-setup"

    def versions(self) -> Mapping[str, str]:
        """Return the versions of the interpreter and of its packages."""
        code = (
            "import json, platform, ssl, sys; from importlib.metadata import version;"
            "print(json.dumps({'Python': platform.python_version(), 'OpenSSL': ssl.OPENSSL_VERSION.split()[1]}"
            "| {name: version(name) for name in sys.argv[1:]}))"
        )
        found: dict[str, str] = json.loads(_output([str(self.interpreter), "-c", code, *self.packages]))
        return found

    def copy(self, task: CopyTask, small: CopyTask, sink: Sink) -> CopyResult:
        """Start a process, make the small copy, then measure the copy of the task."""
        with running_worker(self, sink) as worker:
            worker.copy(small)
            return worker.copy(task)

    def start_up(self, small: CopyTask, sink: Sink) -> Usage:
        """Measure a process that makes the small copy."""
        with running_worker(self, sink) as worker:
            worker.copy(small)
        return worker.usage


@dataclass(frozen=True)
class ToolContestant:
    """Command-line tools, measured as whole processes, minus the usage of the same commands for the small copy."""

    name: str
    label: str
    programs: Mapping[str, Callable[[], str | None]]
    version_arguments: Mapping[str, str]
    commands: Callable[[Mapping[str, str], CopyTask, Sink], Sequence[Sequence[str]]]

    def missing(self) -> str | None:
        """Return what is not installed."""
        absent = [name for name, find in self.programs.items() if find() is None]
        return f"no {' and no '.join(absent)}: make bench-setup" if absent else None

    def versions(self) -> Mapping[str, str]:
        """Return the first line that each program prints about its version."""
        return {
            name: _output([path, self.version_arguments[name]]).splitlines()[0] for name, path in self._paths().items()
        }

    def copy(self, task: CopyTask, small: CopyTask, sink: Sink) -> CopyResult:
        """Run the small copy and the copy of the task, and return the difference."""
        before, whole = self.start_up(small, sink), self._run(task, sink)
        return CopyResult(
            Usage(
                whole.wall_seconds - before.wall_seconds,
                whole.cpu_seconds - before.cpu_seconds,
                whole.peak_bytes - before.peak_bytes,
            ),
            sha256=None,
        )

    def start_up(self, small: CopyTask, sink: Sink) -> Usage:
        """Measure the commands with the small copy."""
        return self._run(small, sink)

    def _run(self, task: CopyTask, sink: Sink) -> Usage:
        commands = self.commands(self._paths(), task, sink)
        return run_pipeline(commands, environment=environment(sink))

    def _paths(self) -> dict[str, str]:
        return {name: path for name, find in self.programs.items() if (path := find()) is not None}


class Worker:
    """A `worker` process that runs one task after another; ``usage`` is set after its end."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        self._name = name
        self._process = process
        self._errors = errors
        self._meter = ProcessMeter(process)
        self.usage = Usage(0.0, 0.0, 0)

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def copy(self, task: CopyTask) -> CopyResult:
        """Run one task.

        Raises
        ------
        ToolFailedError
            The process ended.
        """
        _pipe(self._process.stdin).write(json.dumps(asdict(task)).encode() + b"\n")
        _pipe(self._process.stdin).flush()
        return CopyResult.parse(self.read_line())

    def read_line(self) -> bytes:
        """Wait for the next line of its output."""
        line = _pipe(self._process.stdout).readline()
        if not line:
            self._errors.seek(0)
            last = self._errors.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise ToolFailedError(f"{self._name} ended: {last}")
        return line

    def end(self) -> None:
        """Close its input, which ends the process."""
        with suppress(BrokenPipeError):
            _pipe(self._process.stdin).close()
        _pipe(self._process.stdout).close()
        _, self.usage = self._meter.wait()


@contextmanager
def running_worker(contestant: PythonContestant, sink: Sink) -> Generator[Worker, None, None]:
    """Start a worker, wait until it is ready, and end it afterwards."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [contestant.interpreter, "-m", "bench.copy.worker", contestant.name, json.dumps(asdict(sink))],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment(sink),
        )
        worker = Worker(contestant.name, process, errors)
        try:
            worker.read_line()
            yield worker
        finally:
            worker.end()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise AssertionError("a worker has pipes")
    return pipe


def environment(sink: Sink) -> dict[str, str]:
    """Return the environment of every contestant: no proxy, no settings of the user, our certificate authority."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": _EMPTY_FOLDER,
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "SSL_CERT_FILE": sink.authority,
        "RCLONE_CA_CERT": sink.authority,
        "RCLONE_CONFIG_SINK_TYPE": "s3",
        "RCLONE_CONFIG_SINK_PROVIDER": "Other",
        "RCLONE_CONFIG_SINK_ENV_AUTH": "true",
        "RCLONE_CONFIG_SINK_REGION": "us-east-1",
        "RCLONE_CONFIG_SINK_ENDPOINT": sink.endpoint,
    }


def contestants() -> tuple[Contestant, ...]:
    """Return all contestants, ours first."""
    ours = Path(sys.executable)
    theirs = RIVALS_ENVIRONMENT / "bin" / "python"
    return (
        PythonContestant("build-courier", "build-courier", ours, ("boto3", "urllib3")),
        _tools("rclone", "`rclone copyurl`", {"rclone": "version"}, _rclone),
        PythonContestant(
            "requests-upload-fileobj",
            "`requests.get(stream=True)` + `upload_fileobj`",
            ours,
            ("requests", "boto3", "s3transfer"),
        ),
        _tools("curl-aws", "`curl \\| aws s3 cp -`", {"curl": "--version", "aws": "--version"}, _curl_aws),
        _tools("curl-s5cmd", "`curl \\| s5cmd pipe`", {"curl": "--version", "s5cmd": "version"}, _curl_s5cmd),
        PythonContestant("requests-obstore", "`obstore.put` of a `requests` stream", theirs, ("requests", "obstore")),
        PythonContestant("requests-put-object", "`requests.get().content` + `put_object`", ours, ("requests", "boto3")),
    )


def _tools(
    name: str,
    label: str,
    version_arguments: Mapping[str, str],
    commands: Callable[[Mapping[str, str], CopyTask, Sink], Sequence[Sequence[str]]],
) -> ToolContestant:
    finders: dict[str, Callable[[], str | None]] = {
        "rclone": lambda: shutil.which("rclone"),
        "curl": lambda: shutil.which("curl"),
        "aws": lambda: shutil.which("aws", path=str(RIVALS_ENVIRONMENT / "bin")),
        "s5cmd": _s5cmd,
    }
    programs = {program: finders[program] for program in version_arguments}
    return ToolContestant(name, label, programs, version_arguments, commands)


def _s5cmd() -> str | None:
    """Find the program itself, because the file in ``bin`` is a Python script that starts it."""
    return next(map(str, RIVALS_ENVIRONMENT.glob("lib/python*/site-packages/s5cmd/bin/s5cmd")), None)


def _rclone(paths: Mapping[str, str], task: CopyTask, sink: Sink) -> list[list[str]]:
    # Without the checks before and after the copy, which the sink does not support, because it assembles no object.
    options = ["--s3-no-head", "--s3-no-check-bucket"]
    return [[paths["rclone"], "copyurl", *options, task.url, f"sink:{sink.bucket}/{task.key}"]]


def _curl(paths: Mapping[str, str], task: CopyTask, sink: Sink) -> list[str]:
    return [paths["curl"], "--silent", "--fail", "--cacert", sink.authority, task.url]


def _curl_aws(paths: Mapping[str, str], task: CopyTask, sink: Sink) -> list[list[str]]:
    endpoint = ["--endpoint-url", sink.endpoint, "--ca-bundle", sink.authority]
    hints = ["--expected-size", str(task.size_bytes), "--only-show-errors"]
    return [
        _curl(paths, task, sink),
        [paths["aws"], "s3", "cp", "-", f"s3://{sink.bucket}/{task.key}", *endpoint, *hints],
    ]


def _curl_s5cmd(paths: Mapping[str, str], task: CopyTask, sink: Sink) -> list[list[str]]:
    return [
        _curl(paths, task, sink),
        [paths["s5cmd"], "--endpoint-url", sink.endpoint, "pipe", f"s3://{sink.bucket}/{task.key}"],
    ]


def _output(command: Sequence[str]) -> str:
    result = subprocess.run(command, capture_output=True, check=True, text=True, timeout=_OUTPUT_SECONDS)
    return result.stdout.strip() or result.stderr.strip()
