"""``courier stats``, ``cost``, ``logs`` and ``open`` on a deployed stack."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
import requests

from courier.models import Outcome, Problem
from tests.functional.cli.operator_setup import OperatorSetup
from tests.functional.cli.stack_content import DAY, HOUR, NOW, StackContent

PDF = b"%PDF-1.4 report %%EOF"


@pytest.fixture
def content(operator: OperatorSetup) -> Iterator[StackContent]:
    operator.push([operator.insights(), operator.red_team()], "--no-check")
    yield StackContent(operator)
    operator.aws.forget_executions()


def test_each_scope_has_its_usual_duration_and_its_share_of_failures(
    operator: OperatorSetup, content: StackContent
) -> None:
    for number in range(3):
        content.ended(f"good{number}", ago=number * DAY + HOUR)
    content.ended("bad", Outcome.FAILED, problem=Problem(name="BuildFailed", message="no"))
    content.ended("other", Outcome.CANCELED, source="red-team", scope="acme/main/chatbot")
    result = operator.command("stats", "-f", "json")
    assert (result.exit_code, result.err) == (0, "")
    sales, chatbot = json.loads(result.out)
    assert (sales["builds"], sales["good"], sales["failed"], sales["failure_share"]) == (4, 3, 1, 0.25)
    assert (sales["p50_seconds"], sales["p95_seconds"]) == (1800, 1800)
    assert (chatbot["scope"], chatbot["failure_share"]) == ("acme/main/chatbot", None)
    heading, line, canceled = operator.command("stats").out.splitlines()
    assert heading.split() == ["ended", "good", "failed", "other", "usual", "slow", "source", "scope"]
    assert canceled.split() == ["1", "0", "0", "1", "red-team", "acme/main/chatbot"]
    assert line.split() == ["4", "3", "1", "0", "30", "min", "30", "min", "insights", "sales"]
    assert len(list(csv.DictReader(io.StringIO(operator.command("stats", "-f", "csv").out)))) == 2
    assert operator.command("stats", "--source", "gone", "--since", "7d").out == "No builds ended since 7d\n"


def test_the_cost_of_the_month_says_that_it_is_an_estimate(operator: OperatorSetup, content: StackContent) -> None:
    empty = json.loads(operator.command("cost", "-f", "json").out)
    assert (empty["builds"], empty["dollars_per_build"], empty["building_dollars"]) == (0, None, 0)
    for number in range(20):
        content.ended(f"b{number}", ago=timedelta(seconds=number + 1), content=PDF)
    result = operator.command("cost")
    assert (result.exit_code, result.err) == (0, "")
    first, *_, last = result.out.splitlines()
    assert f"{NOW:%B %Y} so far, estimated: $" in first
    assert "20 builds" in first
    assert "free tier are left out" in last
    (row,) = csv.DictReader(io.StringIO(operator.command("cost", "-f", "csv").out))
    total = float(row["waiting_dollars"]) + float(row["building_dollars"])
    assert float(row["estimated_dollars"]) == pytest.approx(total, abs=1e-5)
    assert float(row["building_dollars"]) > 0


def test_the_log_lines_of_a_build_are_shown_in_order(operator: OperatorSetup, content: StackContent) -> None:
    content.ended("b1")
    client = operator.aws.client("logs")  # type: ignore[call-overload]  # logs are used here only
    stack = operator.aws.location.stack_name
    before = round((NOW - HOUR).timestamp() * 1000)
    for function, message, moment in (
        (
            "record_outcome",
            json.dumps({"level": "INFO", "message": "done", "build_id": "b1", "record": "k"}),
            before + 9,
        ),
        ("poll_builds", json.dumps({"level": "WARNING", "message": "slow", "build_id": "b1"}), before + 5),
        ("poll_builds", json.dumps({"level": "INFO", "message": "another", "build_id": "other"}), before + 6),
        ("copy_artifact", "b1: Task timed out after 900 s", before + 7),
    ):
        group = f"/{stack}/{function}"
        if not client.describe_log_streams(logGroupName=group)["logStreams"]:
            client.create_log_stream(logGroupName=group, logStreamName="s")
        client.put_log_events(
            logGroupName=group, logStreamName="s", logEvents=[{"timestamp": moment, "message": message}]
        )
    result = operator.command("logs", "b1")
    assert (result.exit_code, result.err) == (0, "")
    words = [line.split(maxsplit=2)[1:] for line in result.out.splitlines()]
    assert [function for function, _ in words] == ["poll_builds", "copy_artifact", "record_outcome"]
    assert words[0][1] == "WARNING  slow"
    assert words[2][1].endswith("done  record=k")
    assert len(json.loads(operator.command("logs", "b1", "-f", "json", "--limit", "2").out)) == 2
    content.ended("silent")
    assert operator.command("logs", "silent").exit_code == 1


def test_a_report_is_opened_by_a_link_of_its_version(
    operator: OperatorSetup, content: StackContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    content.ended("b1", content=PDF)
    opened: list[str] = []

    def browse(link: str) -> bool:
        opened.append(link)
        return True

    monkeypatch.setattr("cli.logs.webbrowser.open", browse)
    result = operator.command("open", "b1")
    assert (result.exit_code, result.out, result.err) == (0, "", "")
    printed = operator.command("open", "b1", "--print").out.strip()
    for link in (*opened, printed):
        assert "versionId=" in link
        assert requests.get(link, timeout=10).content == PDF
    monkeypatch.setattr("cli.logs.webbrowser.open", lambda _: False)
    assert "--print prints the link" in operator.command("open", "b1").error_line
    content.ended("none", Outcome.FAILED)
    assert operator.command("open", "none").exit_code == 1
