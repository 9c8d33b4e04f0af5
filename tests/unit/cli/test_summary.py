"""How a failed run is reported, and which exit code it has."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import cast

import pytest

from cli.run_loop import Output, exit_code
from cli.summary import _failures
from local.runs.run_report import DeadLetter, RunReport, read_dead_letter
from local.runs.session import Session


def letter(error: str = "TypeError", message: str = "poll() has\n no such argument") -> DeadLetter:
    return DeadLetter(function="PollBuildsFunction", error=error, message=message, attempts=1)


def test_equal_failures_are_reported_once_in_one_line() -> None:
    assert _failures(RunReport(dead_letters=[letter()] * 30 + [letter(message="other")])) == [
        "PollBuildsFunction failed 30 times: TypeError: poll() has no such argument",
        "PollBuildsFunction failed once: TypeError: other",
    ]


def test_a_dead_letter_is_read_as_lambda_writes_it_even_without_a_response() -> None:
    text = """{"requestContext": {"functionArn": "arn:aws:lambda:eu-central-1:1:function:stack-Poll-X1:$LATEST",
               "approximateInvokeCount": 3}, "responsePayload": null}"""
    read = read_dead_letter(text, {"stack-Poll-X1": "PollBuildsFunction"})
    assert read == DeadLetter(function="PollBuildsFunction", error="no response", message="", attempts=3)


@pytest.mark.parametrize(
    ("run_report", "mistakes", "code"),
    [
        (RunReport(), [], 0),
        (RunReport(), ["sources[0]: wrong"], 2),
        (RunReport(unhealthy={"models": "dead key"}), [], 2),
        (RunReport(dead_letters=[letter("SettingsError")]), [], 2),
        (RunReport(dead_letters=[letter("BuildNotFoundError")]), [], 2),
        (RunReport(dead_letters=[letter()]), [], 1),
        (RunReport(unfinished=["s/scope/b"]), [], 1),
        (RunReport(unresponsive={"models": "timed out"}), ["sources[0]: wrong"], 1),
        (RunReport(never_responded={"models": "host"}, unhealthy={"reports": "dead key"}), [], 1),
        (RunReport(unserved_requests=["request r.json"]), [], 1),
        (RunReport(unhealthy={"models": "dead key"}, unfinished=["s/scope/b"]), [], 1),
    ],
)
def test_the_exit_code_separates_user_errors_from_failures(
    run_report: RunReport, mistakes: list[str], code: int
) -> None:
    assert exit_code(run_report, mistakes) == code


def test_a_broken_pipe_is_raised_once_and_then_the_output_is_silent() -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    console = Output(file=Gone())
    with pytest.raises(BrokenPipeError):
        console.print("first line")
    console.print("second line")


def test_unexpected_values_of_providers_are_counted_from_the_log() -> None:
    odd = json.dumps({"source": "insights", "unexpected": "naive_time", "detail": "created: 9999-99-99T99:99:99"})
    lines = [SimpleNamespace(text=text) for text in (odd, '{"message": "tick done"}', odd)]
    session = cast("Session", SimpleNamespace(aws=SimpleNamespace(logs=lambda: lines)))
    assert Session.unexpected_values(session) == {"insights: created: 9999-99-99T99:99:99 (naive_time)": 2}
