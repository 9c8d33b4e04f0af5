"""``courier page`` on a deployed stack: what it reads, what it writes, and what it refuses."""

from __future__ import annotations

import json
import re
import webbrowser
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from botocore.client import BaseClient

from courier.models import Outcome, Problem
from tests.functional.cli.operator_setup import OperatorSetup, aws_refuses
from tests.functional.cli.stack_content import DAY, HOUR, StackContent
from tests.functional.cli.test_builds import only_reads
from tests.support.page_content import data_in
from tests.support.providers import ref_of


@pytest.fixture
def content(operator: OperatorSetup, monkeypatch: pytest.MonkeyPatch) -> Iterator[StackContent]:
    monkeypatch.chdir(operator.folder)
    for page in operator.folder.glob("*.html"):
        page.unlink()
    operator.push([operator.insights(), operator.red_team()], "--no-check")
    yield StackContent(operator)
    operator.aws.forget_executions()


def test_the_page_has_what_the_other_commands_print(operator: OperatorSetup, content: StackContent) -> None:
    content.waits("young", age=timedelta(minutes=5))
    content.is_copied("copied")
    content.ended("good", ago=HOUR, content=b"%PDF-1.4 %%EOF")
    problem = Problem(name="ArtifactRefusedError", message="host x.example is not allowed", advice="Add it.")
    content.ended("bad", Outcome.UNDELIVERABLE, ago=2 * HOUR, problem=problem)
    content.ended("old", ago=40 * DAY)
    before = operator.aws.calls()
    result = operator.command("page")
    assert only_reads(operator, before)
    name = operator.aws.location.stack_name
    assert (result.exit_code, result.err) == (0, "")
    assert re.fullmatch(
        rf"{name}\.html: 2 builds since \d{{4}}-\d\d-\d\d, 1 good, 1 failed, 0 other, 2 in flight\n", result.out
    )
    html = (operator.folder / f"{name}.html").read_text(encoding="utf-8")
    listed = json.loads(operator.command("builds", "--format", "json", "--since", "30d").out)
    data = data_in(html)
    assert (
        [row[0] for row in data["builds"]] == [row["build_id"] for row in listed if row["outcome"]] == ["good", "bad"]
    )
    for row, other in zip(data["builds"], [row for row in listed if row["outcome"]], strict=True):
        assert data["outcomes"][row[2]] == other["outcome"]
        assert row[4] == int(other["seconds"])
        assert row[5] == (other["size_bytes"] or -1)
    assert re.findall(r'<span class="id">(young|copied)</span>', html) == ["copied", "young"]
    assert "courier retry insights/sales/bad" in html
    assert "host x.example is not allowed" in html
    region = operator.aws.location.region
    # The usual stack needs no option.
    assert f"courier retry insights/sales/bad --region {region}<" in html
    assert operator.no_secret_in(result)
    # A month later only the older builds are left out.
    assert operator.command("page", "--since", "60d").out.startswith(f"{name}.html: 3 builds since")


def test_health_of_sources_and_dead_letters_need_the_operator(operator: OperatorSetup, content: StackContent) -> None:
    content.sources.mark_unhealthy("insights", "SourceUnauthorizedError", "401: bad key", backoff=HOUR)
    content.sources.set_progress("red-team", next_scope="a", round_started_at=None, scopes=5, unlisted=0)
    operator.put_parameter("broken", "{}")
    sqs, url = operator.aws.client("sqs"), operator.aws.outputs["DeadLettersUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="{}")
    result = operator.command("page", "-o", "-")
    sqs.purge_queue(QueueUrl=url)
    assert (result.exit_code, result.err) == (0, "")
    for text in (
        "3 things need you",
        "the provider rejects its API key",
        "courier probe insights",
        "courier config set-secret build-courier/treasure-data",
        "401: bad key",
        "A source is misconfigured",
        "aws sqs receive-message --queue-url",
    ):
        assert text in result.out


def test_an_execution_that_failed_can_be_redriven(
    operator: OperatorSetup, content: StackContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    content.waits("lonely")
    call = BaseClient._make_api_call  # type: ignore[attr-defined]  # all calls of botocore go through it
    arn = "arn:aws:states:eu-central-1:123456789012:execution:build:insights-lonely"
    failed = {"executionArn": arn, "name": "insights-lonely", "status": "FAILED", "stopDate": content.builds._clock()}

    def answer(client: BaseClient, name: str, arguments: dict[str, object]) -> object:
        if name == "ListExecutions" and arguments.get("statusFilter") == "FAILED":
            return {"executions": [failed]}
        return call(client, name, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", answer)
    html = operator.command("page", "-o", "-").out
    assert "An execution failed" in html
    assert f"aws stepfunctions redrive-execution --execution-arn {arn}" in html


@pytest.mark.parametrize(
    ("operation", "note"),
    [
        ("ListExecutions", None),
        ("GetQueueAttributes", "dead letters are not counted: AccessDenied from GetQueueAttributes"),
    ],
)
def test_a_missing_right_is_named(
    operator: OperatorSetup, content: StackContent, operation: str, note: str | None
) -> None:
    content.ended("good")
    with aws_refuses(operation, "AccessDenied", "no"):
        result = operator.command("page")
    if note is None:
        assert (result.exit_code, result.error_line) == (2, f"courier: AWS refused {operation}: no")
        return
    assert result.exit_code == 0
    assert note in result.err


def test_a_list_that_is_cut_short_says_so(operator: OperatorSetup, content: StackContent) -> None:
    for number in range(4):
        content.ended(f"b{number}", ago=number * HOUR)
    result = operator.command("page", "--limit", "3")
    assert result.error_line == "courier: cut short: only the newest 3 builds were read: --limit reads more"
    assert ": 3 builds since" in result.out


def test_no_other_file_is_replaced(operator: OperatorSetup, content: StackContent) -> None:
    mine = operator.folder / "mine.html"
    mine.write_text("precious", encoding="utf-8")
    result = operator.command("page", "-o", mine)
    assert result.exit_code == 2
    assert result.error_line == (
        f"courier: {mine} exists and is no page of courier; name another file with -o, or add --force"
    )
    assert mine.read_text(encoding="utf-8") == "precious"
    assert operator.command("page", "-o", mine, "--force").exit_code == 0
    assert operator.command("page", "-o", mine).exit_code == 0
    assert "is a folder; name a file" in operator.command("page", "-o", operator.folder).error_line
    below = operator.folder / "mine.html" / "page.html"
    assert "cannot be" in operator.command("page", "-o", below).error_line
    deep = operator.folder / "new" / "folder" / "page.html"
    assert operator.command("page", "-o", deep).exit_code == 0
    assert [path.name for path in deep.parent.iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--since", "soon"), "--since: soon is neither"),
        (("--open", "-o", "-"), "pass --open or -o -, not both"),
        (("--limit", "0"), "'--limit': Input should be greater"),
    ],
)
def test_a_mistake_is_one_line(
    operator: OperatorSetup, content: StackContent, options: tuple[str, ...], message: str
) -> None:
    result = operator.command("page", *options)
    assert (result.exit_code, result.out) == (2, "")
    assert message in result.error_line


def test_open_opens_the_file(operator: OperatorSetup, content: StackContent, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def note(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr(webbrowser, "open", note)
    file = operator.folder / "page.html"
    assert operator.command("page", "--open", "-o", file).exit_code == 0
    assert opened == [file.as_uri()]
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    assert "there is no browser to open" in operator.command("page", "--open", "-o", file).error_line


def test_an_unconfigured_stack_gets_first_steps(operator: OperatorSetup, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    result = operator.command("page", "-o", file)
    assert result.exit_code == 0
    html = file.read_text(encoding="utf-8")
    assert "Not configured yet" in html
    assert "courier config push sources.yaml" in html


def test_a_retried_build_needs_no_operator_while_it_runs(operator: OperatorSetup, content: StackContent) -> None:
    content.ended("again", Outcome.UNDELIVERABLE, row=False)
    content.waits("again")
    assert content.builds.find(ref_of("again")) is not None
    html = operator.command("page", "-o", "-").out
    assert "Nothing needs you" in html
