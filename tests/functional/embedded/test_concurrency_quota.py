"""The quota of concurrent executions, for all functions together and for one that has reserved concurrency."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from local.embedded.embedded_aws import EmbeddedAws
from local.embedded.function_runtime import FunctionRuntime, ThrottledError
from local.embedded.interception import DropResponse, Interception, Invocation
from local.embedded.log_capture import LogCapture
from local.runs.session import TEMPLATE
from tests.functional.embedded.test_function_runtime import SPEC


class Held(Interception):
    """Holds the first runs, with their capacity, until the test lets them go."""

    def __init__(self, runs: int) -> None:
        self.go = threading.Event()
        self.started = threading.Semaphore(0)
        self._left = runs

    def after_invocation(self, invocation: Invocation, *, error_type: str | None) -> DropResponse | None:  # noqa: ARG002
        if self._left:
            self._left -= 1
            self.started.release()
            assert self.go.wait(10)
        return None


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held(runs=1)
    yield held
    held.go.set()


def invocation(function: str) -> Invocation:
    return Invocation(function=function, request_id="r", payload="{}")


def test_the_state_machine_waits_for_capacity_and_callers_get_429(small_template: Path, held: Held) -> None:
    with EmbeddedAws(small_template, interception=held, concurrency_quota=1, time_scale=0.001) as aws:
        first = aws.invoke_asynchronously("work", {})
        assert held.started.acquire(timeout=10)
        with pytest.raises(ClientError) as caught:
            aws.client("lambda").invoke(FunctionName=aws.resources["WorkFunction"], Payload=b"{}")
        assert caught.value.response["Error"]["Code"] == "TooManyRequestsException"
        assert caught.value.response["Error"]["Message"] == "Rate Exceeded."
        second = aws.invoke_asynchronously("work", {})
        held.go.set()
        assert first.result(10).attempts == 1
        assert second.result(10).result is not None
        usage = aws.usage()["work"]
        assert usage.throttles >= 1
        assert usage.peak_concurrency == 1


def test_an_execution_names_the_error_as_aws_does(small_template: Path, held: Held) -> None:
    with EmbeddedAws(small_template, interception=held, concurrency_quota=1, time_scale=0.001) as aws:
        aws.invoke_asynchronously("work", {})
        assert held.started.acquire(timeout=10)
        aws.start_execution("Machine", {"name": "x", "wait": False})
        while aws.usage()["work"].throttles == 0:
            held.go.wait(0.01)
        held.go.set()
        aws.wait_until_idle()
        (history,) = aws.history_texts()
        assert "Lambda.TooManyRequestsException" in history


def test_reserved_concurrency_is_a_limit_of_its_own(tmp_path: Path, held: Held) -> None:
    (tmp_path / "app.py").write_text("def handler(event, context):\n    return {}\n", encoding="utf-8")
    shared = [replace(SPEC, name=name, logical_id=name, folder=tmp_path) for name in ("one", "two")]
    own = replace(SPEC, name="own", logical_id="own", folder=tmp_path, reserved_concurrency=1)
    runtime = FunctionRuntime([*shared, own], logs=LogCapture(), interception=held, concurrency_quota=2)
    runtime.load()
    with ThreadPoolExecutor() as pool:
        running = pool.submit(runtime.invoke, invocation("own"))
        assert held.started.acquire(timeout=10)
        with pytest.raises(ThrottledError):
            runtime.invoke(invocation("own"))
        # One of the two is reserved, and the other is free.
        assert json.loads(runtime.invoke(invocation("one")).payload) == {}
        held.go.set()
        assert running.result(10).error_type is None
    assert runtime.usage()["own"].throttles == 1


def test_the_template_reserves_concurrency_for_copies_only_by_a_parameter() -> None:
    for parameters, reserved in (({}, None), ({"MostConcurrentCopies": "5"}, 5)):
        with EmbeddedAws(TEMPLATE, parameters=parameters) as aws:
            assert aws._runtime.spec("copy_artifact").reserved_concurrency == reserved
            assert aws._runtime.spec("poll_builds").reserved_concurrency is None
