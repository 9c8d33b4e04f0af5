"""One Lambda sandbox: a process that runs a function with its layers under a runtime client, and nothing else."""

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

from scripts.lambda_runtime.runtime_api import InvocationEvent, RuntimeApi

# How often `invoke` checks whether the process is alive.
_CHECK_SECONDS = 0.05
_STOP_SECONDS = 5.0

# Variables of this process that direct the function to the embedded AWS (local.embedded.sandbox_env).
_INHERITED = ("AWS_", "NO_PROXY", "no_proxy", "PATH")


@dataclass(frozen=True, kw_only=True)
class FunctionCode:
    """The folder of a function, the folders of its layers, and the handler as ``module.function``."""

    folder: Path
    layers: tuple[Path, ...] = ()
    handler: str = "app.handler"


@dataclass(frozen=True, kw_only=True)
class InvocationOutcome:
    """The result or error document of an invocation, as JSON text."""

    payload: str
    error_type: str | None


@dataclass(frozen=True, kw_only=True)
class ColdStart:
    """Seconds from the start of the process to its first response.

    ``init_seconds``
        Until it requested its first event: it has finished the imports at the top by then.
    ``cpu_seconds``
        CPU time of the process until the response, which other load of the machine hardly affects.
    """

    total_seconds: float
    init_seconds: float
    cpu_seconds: float


class Sandbox:
    """One sandbox, which serves one invocation at a time until its ``with`` block ends.

    Parameters
    ----------
    python
        Interpreter of an environment that contains the client, and of a built function only awslambdaric and boto3.
    variables
        The function's environment variables.
    client
        Module of the runtime client, which is run with the handler as its argument.
    profile
        Make Python write the time of each import to `output`, which slows it down.
    """

    def __init__(
        self,
        python: Path,
        code: FunctionCode,
        *,
        variables: Mapping[str, str],
        name: str = "function",
        client: str = "awslambdaric",
        profile: bool = False,
    ) -> None:
        self._python = python
        self._code = code
        self._name = name
        self._client = client
        self._variables = dict(variables) | ({"PYTHONPROFILEIMPORTTIME": "1"} if profile else {})
        self._api = RuntimeApi()
        self._output = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - `stop` does
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self.cold_start: ColdStart | None = None

    def __enter__(self) -> Self:
        """Return the sandbox; its process starts with the first invocation, as in Lambda."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the process."""
        self.stop()

    @property
    def is_alive(self) -> bool:
        """Whether the sandbox can serve another invocation."""
        return self._process is None or self._process.poll() is None

    def invoke(self, payload: str, *, timeout_seconds: float, request_id: str | None = None) -> InvocationOutcome:
        """Run the function once and return its result, its error, or the error of a crash or timeout."""
        request_id = request_id or str(uuid.uuid4())
        event = InvocationEvent(
            request_id=request_id,
            arn=f"arn:aws:lambda:{os.environ.get('AWS_REGION', 'eu-central-1')}:123456789012:function:{self._name}",
            deadline_milliseconds=round((time.time() + timeout_seconds) * 1000),
            payload=payload,
        )
        self._api.send(event)
        if self._process is None:
            self._start()
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            response = self._api.wait_for_response(_CHECK_SECONDS)
            if response is not None:
                if self.cold_start is None:
                    requested_at = self._api.first_request_at or response.received_at
                    self.cold_start = ColdStart(
                        total_seconds=response.received_at - self._started_at,
                        init_seconds=requested_at - self._started_at,
                        cpu_seconds=self._cpu_seconds(),
                    )
                return InvocationOutcome(payload=response.payload, error_type=response.error_type)
            if not self.is_alive:
                return _failure("Runtime.ExitError", f"the process ended: {self.output()[-2000:]}")
        self.stop()
        return _failure("Sandbox.Timedout", f"Task timed out after {timeout_seconds:.2f} seconds")

    def output(self) -> str:
        """Return the output of the process so far."""
        if self._output.closed:
            return ""
        self._output.seek(0)
        return self._output.read()

    def stop(self) -> None:
        """Stop the process; a second call does nothing."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if not self._output.closed:
            self._api.close()
            self._output.close()

    def _start(self) -> None:
        environment = {name: value for name, value in os.environ.items() if name.startswith(_INHERITED)}
        environment |= {
            # Lambda's own variables, as far as the runtime client and Powertools read them.
            "AWS_LAMBDA_RUNTIME_API": self._api.address,
            "AWS_LAMBDA_FUNCTION_NAME": self._name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "LAMBDA_TASK_ROOT": str(self._code.folder),
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "PYTHONPATH": os.pathsep.join(str(path) for path in _search_path(self._code)),
            # As in Lambda, whose file system is read-only.
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONNOUSERSITE": "1",
        }
        command: Sequence[str] = [str(self._python), "-m", self._client, self._code.handler]
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
        # The first figure is the CPU time in nanoseconds ("schedstat", Linux documentation).
        tasks = Path(f"/proc/{self._process.pid}/task") if self._process else Path()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.glob("*")) / 1e9


def _search_path(code: FunctionCode) -> list[Path]:
    return [code.folder, *(layer / "python" for layer in code.layers)]


def _failure(error_type: str, message: str) -> InvocationOutcome:
    document = {"errorType": error_type, "errorMessage": message, "stackTrace": []}
    return InvocationOutcome(payload=json.dumps(document), error_type=error_type)
