"""One Lambda sandbox: a process of Python 3.13 that runs a built function with its layers, and nothing else."""

import json
import os
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from scripts.lambda_runtime.runtime_api import Event, RuntimeApi

# How often it is checked that the process still lives.
_BEAT_SECONDS = 0.05
_END_SECONDS = 5.0

# Of this process's environment, what points the function at the embedded AWS (local.embedded.sandbox_env)
# and keeps it there.
_PASSED_ON = ("AWS_", "NO_PROXY", "no_proxy", "PATH")


@dataclass(frozen=True, kw_only=True)
class FunctionCode:
    """What is run: the folder of a built function, those of its layers, and ``module.function``."""

    folder: Path
    layers: tuple[Path, ...] = ()
    handler: str = "app.handler"


@dataclass(frozen=True, kw_only=True)
class InvocationOutcome:
    """How an invocation ended: its result or error document as JSON text."""

    payload: str
    error_type: str | None


@dataclass(frozen=True, kw_only=True)
class ColdStart:
    """Seconds from the start of the process to its first answer.

    ``init_seconds``
        Until it asked for its first event: imports at the top are done by then.
    ``cpu_seconds``
        What the process computed until the answer; barely disturbed by what else the machine does.
    """

    total_seconds: float
    init_seconds: float
    cpu_seconds: float


class Sandbox:
    """One sandbox, alive between ``with`` and its end; serves one invocation at a time.

    Parameters
    ----------
    python
        Of an environment that holds awslambdaric and boto3 only.
    variables
        The function's environment variables.
    profile
        Have Python write down what each import takes; `output` has it. Slows it down.
    """

    def __init__(
        self,
        python: Path,
        code: FunctionCode,
        *,
        variables: Mapping[str, str],
        name: str = "function",
        profile: bool = False,
    ) -> None:
        self._python = python
        self._code = code
        self._name = name
        self._variables = dict(variables) | ({"PYTHONPROFILEIMPORTTIME": "1"} if profile else {})
        self._api = RuntimeApi()
        self._output = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - `stop` does
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self.cold_start: ColdStart | None = None

    def __enter__(self) -> Self:
        """Get ready; the process starts with the first invocation, as in Lambda."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self.stop()

    @property
    def is_alive(self) -> bool:
        """Whether another invocation can be served."""
        return self._process is None or self._process.poll() is None

    def invoke(self, payload: str, *, timeout_seconds: float, request_id: str | None = None) -> InvocationOutcome:
        """Run the function once; an error of the function, a crash and a timeout are outcomes too."""
        request_id = request_id or str(uuid.uuid4())
        event = Event(
            request_id=request_id,
            arn=f"arn:aws:lambda:{os.environ.get('AWS_REGION', 'eu-central-1')}:123456789012:function:{self._name}",
            deadline_milliseconds=round((time.time() + timeout_seconds) * 1000),
            payload=payload,
        )
        self._api.hand_out(event)
        if self._process is None:
            self._start()
        give_up_at = time.monotonic() + timeout_seconds
        while time.monotonic() < give_up_at:
            answer = self._api.answer(_BEAT_SECONDS)
            if answer is not None:
                if self.cold_start is None:
                    asked_at = self._api.first_asked_at or answer.at
                    self.cold_start = ColdStart(
                        total_seconds=answer.at - self._started_at,
                        init_seconds=asked_at - self._started_at,
                        cpu_seconds=self._cpu_seconds(),
                    )
                return InvocationOutcome(payload=answer.payload, error_type=answer.error_type)
            if not self.is_alive:
                return self._lost("Runtime.ExitError", f"the process ended: {self.output()[-2000:]}")
        self.stop()
        return self._lost("Sandbox.Timedout", f"Task timed out after {timeout_seconds:.2f} seconds")

    def output(self) -> str:
        """Give what the process wrote so far."""
        if self._output.closed:
            return ""
        self._output.seek(0)
        return self._output.read()

    def stop(self) -> None:
        """End the process; again does nothing."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if not self._output.closed:
            self._api.close()
            self._output.close()

    def _start(self) -> None:
        environment = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
        environment |= {
            # Lambda's own, as far as the runtime interface client and Powertools read them.
            "AWS_LAMBDA_RUNTIME_API": self._api.address,
            "AWS_LAMBDA_FUNCTION_NAME": self._name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "LAMBDA_TASK_ROOT": str(self._code.folder),
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "PYTHONPATH": os.pathsep.join(str(path) for path in _search_path(self._code)),
            # Its file system is read-only.
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONNOUSERSITE": "1",
        }
        command: Sequence[str] = [str(self._python), "-m", "awslambdaric", self._code.handler]
        self._started_at = time.monotonic()
        self._process = subprocess.Popen(
            command,
            cwd=self._code.folder,
            env=environment | self._variables,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    def _cpu_seconds(self) -> float:
        # The first figure is the time spent on the CPU, in nanoseconds ("schedstat", Linux documentation).
        tasks = Path(f"/proc/{self._process.pid}/task") if self._process else Path()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.glob("*")) / 1e9

    def _lost(self, error_type: str, message: str) -> InvocationOutcome:
        document = {"errorType": error_type, "errorMessage": message, "stackTrace": []}
        return InvocationOutcome(payload=json.dumps(document), error_type=error_type)


def _search_path(code: FunctionCode) -> list[Path]:
    return [code.folder, *(layer / "python" for layer in code.layers)]
