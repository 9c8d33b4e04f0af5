"""The faults of the copy on the second engine, by the means of an operator: settings of the function, and a kill."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.deployment.deployed_courier import DeployedCourier, DeploymentError
from scripts.deployment.play import COPY_FUNCTION, THROTTLED_ATTEMPTS
from scripts.deployment.scenario import HANGING_PARTS, LITTLE_TIME_SECONDS, Case

_CHECK_SECONDS = 0.05
_LONGEST_SECONDS = 100.0


class SecondEngineFaults:
    """Injects the faults.

    Parameters
    ----------
    hanging
        Returns how many downloads of the copy hang that is to be killed.
    """

    def __init__(self, hanging: Callable[[], int]) -> None:
        self._hanging = hanging

    @contextmanager
    def little_time(self, courier: DeployedCourier) -> Iterator[None]:
        """Give the function a timeout that leaves little time."""
        function, client = courier.resources[COPY_FUNCTION], courier.client("lambda")
        timeout = client.get_function_configuration(FunctionName=function)["Timeout"]
        client.update_function_configuration(FunctionName=function, Timeout=int(LITTLE_TIME_SECONDS))
        client.get_waiter("function_updated_v2").wait(FunctionName=function, WaiterConfig={"Delay": 1})
        yield
        client.update_function_configuration(FunctionName=function, Timeout=timeout)
        client.get_waiter("function_updated_v2").wait(FunctionName=function, WaiterConfig={"Delay": 1})

    @contextmanager
    def killed(self, courier: DeployedCourier, case: Case) -> Iterator[None]:  # noqa: ARG002 - the protocol's
        """Send SIGKILL to the process of the function, while its downloads hang."""

        def kill() -> bool:
            if self._hanging() < HANGING_PARTS:
                return False
            for process in _processes(courier.resources[COPY_FUNCTION]):
                os.kill(process, signal.SIGKILL)
            return True

        with _meanwhile(kill, "the copy was not killed"):
            yield

    @contextmanager
    def throttled(self, courier: DeployedCourier, case: Case) -> Iterator[None]:
        """Reserve no concurrency for the function until enough attempts have failed."""
        function, client = courier.resources[COPY_FUNCTION], courier.client("lambda")
        client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)

        def lift() -> bool:
            runs = [run for run in courier.executions() if run.scope == case.scope]
            failures = [event for run in runs for event in run.events if event["type"] == "LambdaFunctionFailed"]
            if len(failures) < THROTTLED_ATTEMPTS:
                return False
            client.delete_function_concurrency(FunctionName=function)
            return True

        with _meanwhile(lift, "the copy was not throttled often enough"):
            yield


@contextmanager
def _meanwhile(do: Callable[[], bool], failure: str) -> Iterator[None]:
    """Try something on another thread until it succeeds, while the context is open."""
    ended, done = threading.Event(), threading.Event()

    def run() -> None:
        while not ended.wait(_CHECK_SECONDS):
            if do():
                done.set()
                return

    thread = threading.Thread(target=run, name="second-engine-fault", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_LONGEST_SECONDS)
    if not done.is_set():
        raise DeploymentError(failure)


def _processes(function: str) -> list[int]:
    """Return the processes that run a function, by their environment."""
    wanted = f"AWS_LAMBDA_FUNCTION_NAME={function}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if wanted in variables:
            found.append(int(folder.name))
    return found
