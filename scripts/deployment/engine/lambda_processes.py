"""Lambda without Docker: each execution environment is a process of awslambdaric over the deployed zips."""

import os
import platform
import shutil
from pathlib import Path

from localstack.services.lambda_.invocation.lambda_models import InvocationResult
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

from scripts.lambda_runtime.sandbox import FunctionCode, Sandbox

# Interpreter of an environment with awslambdaric and boto3, and layers of third-party packages built for this machine.
PYTHON_VARIABLE = "COURIER_RUNTIME_PYTHON"
NATIVE_LAYERS_VARIABLE = "COURIER_NATIVE_LAYERS"

# Paths of a container that does not exist here.
_CONTAINER_VARIABLES = ("LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR")
_ADDRESS = "127.0.0.1"
_LOG_CHARACTERS = 4000


class ProcessExecutor(RuntimeExecutor):  # type: ignore[misc]  # LocalStack is in another environment
    """Runs one execution environment; a process that ended is replaced at the next invocation, as in Lambda."""

    _sandbox: Sandbox | None = None

    def start(self, env_vars: dict[str, str]) -> None:
        """Unpack the deployed zips; the process starts with the first invocation."""
        self._variables = {name: str(value) for name, value in env_vars.items() if name not in _CONTAINER_VARIABLES}
        config = self.function_version.config
        config.code.prepare_for_execution()
        layers = []
        for layer in config.layers:
            layer.code.prepare_for_execution()
            layers.append(runnable_layer(layer.code.get_unzipped_code_location()))
        self._code = FunctionCode(
            folder=config.code.get_unzipped_code_location(), layers=tuple(layers), handler=config.handler
        )

    def stop(self) -> None:
        """Stop the process."""
        if self._sandbox is not None:
            self._sandbox.stop()

    def get_address(self) -> str:
        """Return the address of this machine."""
        return _ADDRESS

    def get_endpoint_from_executor(self) -> str:
        """Return the address at which the function reaches LocalStack."""
        return _ADDRESS

    def get_runtime_endpoint(self) -> str:
        """Return the runtime API's address, which only LocalStack's own client in a container would use."""
        return f"http://{_ADDRESS}"

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        """Run the function once."""
        if self._sandbox is None or not self._sandbox.is_alive:
            self._sandbox = Sandbox(
                Path(os.environ[PYTHON_VARIABLE]),
                self._code,
                variables=self._variables,
                name=self.function_version.id.function_name,
            )
        outcome = self._sandbox.invoke(
            payload["payload"],
            timeout_seconds=self.function_version.config.timeout,
            request_id=payload["invoke-id"],
        )
        return InvocationResult(
            payload["invoke-id"],
            outcome.payload.encode(),
            is_error=outcome.error_type is not None,
            logs=self._sandbox.output()[-_LOG_CHARACTERS:],
        )

    def get_logs(self) -> str:
        """Return the output of the process so far."""
        return self._sandbox.output() if self._sandbox is not None else ""

    @classmethod
    def prepare_version(cls, function_version: object) -> None:
        """Prepare nothing; `start` unpacks."""

    @classmethod
    def cleanup_version(cls, function_version: object) -> None:
        """Clean nothing up."""


def runnable_layer(layer: Path) -> Path:
    """Return a deployed layer whose native modules this machine can load: the layer itself, or a copy.

    Only the native modules of the copy come from the layer that was built for this machine; all else is as deployed.

    Raises
    ------
    LookupError
        No layer for this machine has the same versions.
    """
    deployed = [path.relative_to(layer) for path in layer.rglob("*.so")]
    if not deployed or platform.machine() == "aarch64":
        return layer
    copy = layer.with_name(f"{layer.name}-{platform.machine()}")
    if not copy.exists():
        native = _native_layer(layer)
        partial = copy.with_name(f"{copy.name}-partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(layer, partial)
        for path in deployed:
            stem = path.name.partition(".")[0]
            (replacement,) = (native / path.parent).glob(f"{stem}.*.so")
            (partial / path).unlink()
            shutil.copy2(replacement, partial / path.parent)
        partial.rename(copy)
    return copy


def _native_layer(layer: Path) -> Path:
    """Return the layer for this machine that has the versions of a deployed one."""
    versions = _versions(layer)
    for folder in os.environ[NATIVE_LAYERS_VARIABLE].split(os.pathsep):
        if _versions(Path(folder)) == versions:
            return Path(folder)
    raise LookupError(f"no layer for {platform.machine()} has the versions {', '.join(sorted(versions))}")


def _versions(layer: Path) -> set[str]:
    return {path.name for path in (layer / "python").glob("*.dist-info")}
