"""The functions share one process; a template that this does not allow is refused."""

import io
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from aws_lambda_powertools import Logger

from local.embedded.call_context import FunctionRun, current_run
from local.embedded.function_runtime import FunctionRuntime
from local.embedded.function_spec import FunctionSpec
from local.embedded.interception import Interception, Invocation
from local.embedded.log_capture import LogCapture
from local.embedded.sandbox_env import shared_environment
from local.sam.intrinsics import TemplateError

SPEC = FunctionSpec(
    name="one",
    logical_id="OneFunction",
    physical_name="stack-one",
    arn="arn:aws:lambda:eu-central-1:123456789012:function:stack-one",
    folder=Path("nowhere"),
    handler="app.handler",
    timeout_seconds=60,
    memory_megabytes=128,
    variables={"TABLE": "t", "POWERTOOLS_SERVICE_NAME": "one"},
    retry_attempts=0,
    event_age_seconds=60,
    failure_queue=None,
)


def test_variables_are_set_and_taken_back() -> None:
    before = dict(os.environ)
    with shared_environment([SPEC, replace(SPEC, name="two", variables={"TABLE": "t", "TOPIC": "x"})]):
        assert (os.environ["TABLE"], os.environ["TOPIC"]) == ("t", "x")
    assert dict(os.environ) == before


def test_two_values_for_one_variable_are_refused_by_name() -> None:
    other = replace(SPEC, name="two", variables={"TABLE": "another"})
    with (
        pytest.raises(TemplateError, match="one and two set TABLE to different values"),
        shared_environment([SPEC, other]),
    ):
        pass


def test_a_service_name_may_differ(tmp_path: Path) -> None:
    specs = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "app.py").write_text(
            "import os\nNAME = os.environ['POWERTOOLS_SERVICE_NAME']\ndef handler(event, context):\n    return NAME\n",
            encoding="utf-8",
        )
        specs.append(replace(SPEC, name=name, folder=folder, variables={"POWERTOOLS_SERVICE_NAME": name}))
    runtime = FunctionRuntime(specs, logs=LogCapture(), interception=Interception())
    with LogCapture().attached(), shared_environment(specs):
        runtime.load()
        results = [runtime.invoke(Invocation(function=name, request_id=name, payload="{}")) for name in ("one", "two")]
    assert [result.payload for result in results] == ['"one"', '"two"']


def test_a_missing_handler_is_refused_by_name() -> None:
    runtime = FunctionRuntime([SPEC], logs=LogCapture(), interception=Interception())
    with pytest.raises(TemplateError, match=r"OneFunction: its handler app\.handler"):
        runtime.load()


def test_the_time_left_follows_the_clock(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "def handler(event, context):\n"
        "    first = context.get_remaining_time_in_millis()\n"
        "    return [first, context.get_remaining_time_in_millis(), context.get_remaining_time_in_millis()]\n",
        encoding="utf-8",
    )
    ticks = iter([0.0, 10.0, 59.5, 75.0, 80.0])
    logs = LogCapture()
    runtime = FunctionRuntime(
        [replace(SPEC, folder=tmp_path)], logs=logs, interception=Interception(), clock=lambda: next(ticks)
    )
    with logs.attached():
        runtime.load()
        result = runtime.invoke(Invocation(function="one", request_id="r", payload="{}"))
    assert result.payload == "[50000, 500, 0]"
    assert runtime.usage()["one"].seconds == (80.0,)


def test_lines_of_two_runs_do_not_mix() -> None:
    logs = LogCapture()
    runs = [FunctionRun(Invocation(function=name, request_id=name, payload="{}")) for name in ("one", "two")]
    for text in ("a", "b\nc", "\n"):
        for run in runs:
            token = current_run.set(run)
            logs.write(text)
            current_run.reset(token)
    assert [line.text for line in logs.lines("one")] == ["ab", "c"]
    assert [line.request_id for line in logs.lines()] == ["one", "two", "one", "two"]


def test_a_line_without_an_end_is_not_lost() -> None:
    logs = LogCapture()
    token = current_run.set(FunctionRun(Invocation(function="one", request_id="r", payload="{}")))
    logs.write("half a secret")
    current_run.reset(token)
    assert [(line.function, line.request_id, line.text) for line in logs.lines()] == [("one", "r", "half a secret")]


def test_loggers_get_their_stream_back() -> None:
    stream = io.StringIO()
    early = Logger(service="early", stream=stream)
    logs = LogCapture()
    token = current_run.set(FunctionRun(Invocation(function="one", request_id="r", payload="{}")))
    with logs.attached():
        logs.take_over_loggers()
        late = Logger(service="late")
        for logger in (early, late):
            logger.info("kept")
    early.info("given back")
    late.info("on the terminal again")
    current_run.reset(token)
    assert [json.loads(line.text)["service"] for line in logs.lines()] == ["early", "late"]
    assert json.loads(stream.getvalue())["message"] == "given back"
