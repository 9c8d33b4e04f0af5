"""``courier builds``, ``show``, ``latest`` and ``get`` on a deployed stack."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from courier.errors import BuildNotFoundError
from courier.ledger import SourceState
from courier.models import BuildStatus, Outcome, Problem
from tests.functional.cli.operator_setup import OperatorSetup
from tests.functional.cli.stack_content import DAY, HOUR, NOW, StackContent, builds_in
from tests.support.command import courier
from tests.support.providers import ref_of

PDF = b"%PDF-1.4 report %%EOF"


@pytest.fixture
def content(operator: OperatorSetup) -> Iterator[StackContent]:
    operator.push([operator.insights(), operator.red_team()], "--no-check")
    yield StackContent(operator)
    operator.aws.forget_executions()


def only_reads(operator: OperatorSetup, before: dict[tuple[str, str, str], int]) -> bool:
    """Return whether all calls since then read."""
    calls = operator.aws.calls() - before  # type: ignore[operator]  # a counter
    names = {action.partition(":")[2] for _, action, _ in calls}
    return all(name.startswith(("Get", "List", "Describe", "Query", "BatchGet", "Head", "Scan")) for name in names)


def test_builds_are_listed_newest_first_and_those_in_flight_before_them(
    operator: OperatorSetup, content: StackContent
) -> None:
    content.waits("young", age=timedelta(minutes=5))
    content.waits("old", age=DAY)
    content.is_copied("copied", source="insights")
    content.ended("yesterday", Outcome.FAILED, ago=DAY, problem=Problem(name="BuildFailed", message="no [red]memory"))
    content.ended("today", ago=HOUR, source="red-team", scope="acme/main/chatbot", content=PDF)
    content.ended("last-month", ago=30 * DAY)
    before = operator.aws.calls()
    result = operator.command("builds", "--format", "json")
    assert only_reads(operator, before)
    assert (result.exit_code, result.err) == (0, "")
    assert builds_in(result.out) == ["young", "copied", "old", "today", "yesterday"]
    rows = {row["build_id"]: row for row in json.loads(result.out)}
    assert [rows[name]["state"] for name in ("young", "copied", "yesterday")] == ["running", "ending", "failed"]
    assert rows["today"]["scope"] == "acme/main/chatbot"
    assert (rows["today"]["seconds"], rows["today"]["size_bytes"]) == (1800, len(PDF))
    assert rows["yesterday"]["problem"] == "no [red]memory"
    assert rows["yesterday"]["record_key"].endswith("/sales/yesterday.json")

    table = operator.command("builds", "--since", "60d")
    heading, *lines = table.out.splitlines()
    assert heading.split() == ["state", "ended", "took", "source", "scope", "build"]
    assert [line.split()[-1] for line in lines] == ["young", "copied", "old", "today", "yesterday", "last-month"]
    table = operator.command("builds", "-f", "csv", "--outcome", "failed,succeeded", "--since", "60d")
    assert [row["build_id"] for row in csv.DictReader(io.StringIO(table.out))] == ["today", "yesterday", "last-month"]


def test_filters_narrow_the_list(operator: OperatorSetup, content: StackContent) -> None:
    content.waits("waiting")
    for number in range(4):
        content.ended(f"bad{number}", Outcome.UNDELIVERABLE, ago=number * DAY + HOUR)
        content.ended(f"good{number}", source="gone", ago=number * DAY + HOUR)

    def listed(*options: str) -> list[str]:
        result = operator.command("builds", "--format", "json", *options)
        assert (result.exit_code, result.err) == (0, "")
        return builds_in(result.out)

    assert listed("--in-flight") == ["waiting"]
    assert listed("--source", "gone") == ["good0", "good1", "good2", "good3"]
    assert listed("--outcome", "undeliverable", "--since", "50h") == ["bad0", "bad1", "bad2"]
    assert listed("--since", f"{NOW - 1.5 * DAY:%Y-%m-%dT%H:%M}", "--source", "gone") == ["good0", "good1"]
    assert listed("--outcome", "lost") == []
    assert operator.command("builds", "--in-flight", "--source", "gone").out == "No builds in flight\n"
    assert "No builds in flight, and none" in operator.command("builds", "--outcome", "lost").out


def test_a_list_that_is_cut_short_says_so(
    operator: OperatorSetup, content: StackContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        content.ended(f"b{number}", Outcome.FAILED, ago=number * DAY + HOUR)
    result = operator.command("builds", "--limit", "3", "--format", "json")
    assert builds_in(result.out) == ["b0", "b1", "b2"]
    assert result.error_line == "courier: cut short: more than 3 builds may match: --limit shows more"
    monkeypatch.setattr("cli.records.MOST_RECORDS", 2)
    result = operator.command("builds", "--outcome", "lost")
    assert "only the newest 2 records were read: narrow it down with --since or --source" in result.error_line
    content.waits("w1")
    content.waits("w2")
    result = operator.command("builds", "--limit", "1", "--format", "json")
    assert "there are 2 builds in flight: --limit shows more" in result.error_line


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("builds", "--since", "soon"), "--since: soon is neither like 7d, 12h or 30m nor a date like 2026-11-25"),
        (("builds", "--since", "999999w"), "--since: 999999w is neither"),
        (("builds", "--outcome", "bad"), "--outcome: bad is not an outcome; use delivered,"),
        (("builds", "--outcome", "lost", "--in-flight"), "pass --in-flight or --outcome, not both"),
        (("builds", "--format", "xml"), "'xml' is not one of"),
        (("show", "red-team/"), "BUILD: 'red-team/' names no build"),
        (("show", "nothing"), "no build in flight begins with nothing, and none that ended since"),
        (("get", "nothing"), "no build in flight begins with nothing"),
    ],
)
def test_a_mistake_is_one_line(
    operator: OperatorSetup, content: StackContent, options: tuple[str, ...], expected: str
) -> None:
    result = operator.command(*options)
    assert (result.exit_code, result.out) == (2, "")
    assert expected in result.error_line


def test_any_unique_beginning_of_an_id_names_a_build(operator: OperatorSetup, content: StackContent) -> None:
    content.waits("abc-running")
    content.ended("abc-ended", content=PDF, row=False)
    content.ended("abc", scope="other")
    content.ended("x.y é", scope="other", ago=40 * DAY)
    for text, wanted in [
        ("abc-r", "insights/sales/abc-running"),
        ("abc-e", "insights/sales/abc-ended"),
        ("abc", "insights/other/abc"),
        ("x.y", "insights/other/x.y é"),
        ("insights/sales/abc-e", "insights/sales/abc-ended"),
        ("insights/sales/abc-running", "insights/sales/abc-running"),
    ]:
        result = operator.command("show", text, "--format", "json")
        assert (result.exit_code, result.err) == (0, ""), text
        assert json.loads(result.out)["build"] == wanted
    ambiguous = operator.command("show", "abc-")
    assert ambiguous.exit_code == 2
    assert ambiguous.error_line == (
        "courier: abc- is the beginning of several builds: insights/sales/abc-ended, insights/sales/abc-running; "
        "name more of the id, or SOURCE/SCOPE/ID"
    )
    assert "--since 400d searches further back" in operator.command("show", "x.y", "--since", "7d").error_line


def test_a_build_in_flight_is_shown_with_its_polls_and_its_usual_duration(
    operator: OperatorSetup, content: StackContent
) -> None:
    content.ended("before")
    content.waits("waiting", age=2 * HOUR)
    (due,) = content.builds.in_flight("insights", limit=9)
    row = content.builds.claim(due, next_poll_at=NOW + HOUR)
    assert row is not None
    content.builds.set_status(row, BuildStatus.UNKNOWN, provider_status="pausing")
    content.sources.count_failure("insights", "list_builds returned 500", backoff=None, seen=SourceState())
    before = operator.aws.calls()
    shown = json.loads(operator.command("show", "wait", "-f", "json").out)
    assert only_reads(operator, before)
    assert (shown["state"], shown["usual_seconds"], shown["usual_builds"]) == ("unknown", 1800, 1)
    assert shown["seconds"] >= 7200
    assert shown["polls"] == {
        "count": 1,
        "last_at": f"{NOW:%Y-%m-%dT%H:%M:%S}.000Z",
        "next_at": f"{NOW + HOUR:%Y-%m-%dT%H:%M:%S}.000Z",
        "last_report": "the provider's last status was 'pausing', which is unknown",
    }
    lines = {line[:13].strip(): line[13:].strip() for line in operator.command("show", "wait").out.splitlines()[1:]}
    assert re.fullmatch(r"2 h( \d+ min)?, usually 30 min \(median of 1 build\)", lines["age"])
    assert lines["next poll"] == f"{NOW + HOUR:%Y-%m-%d %H:%M:%S}"
    assert lines["source"] == "list_builds returned 500"
    assert lines["deadline"] == f"{NOW + 22 * HOUR:%Y-%m-%d %H:%M:%S}"


def test_an_ended_build_is_shown_with_what_to_do_and_where_it_lies(
    operator: OperatorSetup, content: StackContent
) -> None:
    problem = Problem(name="BuildFailed", message="too big " * 20, advice="Reduce the data.")
    record = content.ended("broken", Outcome.FAILED, problem=problem, content=PDF)
    result = operator.command("show", "broken")
    assert (result.exit_code, result.err) == (0, "")
    lines = {line[:11].strip(): line[11:].strip() for line in result.out.splitlines()[1:]}
    assert (lines["state"], lines["cure"], lines["execution"]) == ("failed", "Reduce the data.", "arn:e")
    assert lines["problem"] == ("too big " * 20).strip()
    assert record.artifact is not None
    assert lines["report"] == f"s3://{content.bucket}/{record.artifact.key}"
    assert lines["record"].endswith("/sales/broken.json")
    assert lines["completed"] == f"{NOW - HOUR:%Y-%m-%d %H:%M:%S}"
    fields = {
        row["field"]: row["value"]
        for row in csv.DictReader(io.StringIO(operator.command("show", "broken", "-f", "csv").out))
    }
    assert fields["problem.advice"] == "Reduce the data."
    assert fields["artifact.sha256"] == record.artifact.sha256
    for columns in (50, 80, 120):
        narrow = operator.command("show", "broken", columns=columns).out
        assert " ".join(narrow.split()).count("too big") == 20
        assert f"s3://{content.bucket}/{record.artifact.key}" in narrow


def test_a_build_that_cannot_be_polled_names_the_last_error(operator: OperatorSetup, content: StackContent) -> None:
    content.waits("shy")
    row = content.builds.find(ref_of("shy"))
    assert row is not None
    content.builds.count_failure(row, str(BuildNotFoundError("get_build returned 404")), not_found=True)
    assert "the last poll failed: get_build returned 404" in operator.command("show", "shy").out


@pytest.mark.parametrize("columns", [50, 80, 120])
def test_a_terminal_gets_ids_that_fit_and_that_the_commands_accept(
    operator: OperatorSetup, content: StackContent, columns: int
) -> None:
    ids = ["5d1d4f1c-1111-4222-8333-444444444444", "5d1d4f1c-2222-4222-8333-444444444444"]
    for name in ids:
        content.ended(name, source="red-team", scope="acme/main/chatbot")
    out = operator.command("builds", columns=columns).out
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out).splitlines()
    assert max(map(len, lines)) <= columns, lines
    for short, name in (("5d1d4f1c-1", ids[0]), ("5d1d4f1c-2", ids[1])):
        assert f"{short}" in out
        assert f"{short}1" not in out
        assert json.loads(operator.command("show", short, "-f", "json").out)["build_id"] == name


def test_latest_lists_the_newest_good_build_of_each_scope(operator: OperatorSetup, content: StackContent) -> None:
    assert operator.command("latest").exit_code == 1
    content.ended("older", ago=2 * DAY)
    content.ended("newer", ago=DAY)
    content.ended("bad", Outcome.FAILED, ago=HOUR)
    content.ended("report", Outcome.DELIVERED, source="red-team", scope="a/b/c", content=PDF)
    result = operator.command("latest", "-f", "json")
    assert (result.exit_code, builds_in(result.out)) == (0, ["report", "newer"])
    assert builds_in(operator.command("latest", "insights", "-f", "json").out) == ["newer"]
    lines = operator.command("latest").out.splitlines()
    assert lines[1].split()[-4:] == ["B", "red-team", "a/b/c", "report"]
    unknown = operator.command("latest", "unknown")
    assert (unknown.exit_code, unknown.out) == (1, "No good build yet of source unknown\n")
    cut = operator.command("latest", "--limit", "1")
    assert "cut short: only 1 scopes are shown" in cut.error_line


def test_get_writes_the_report_and_replaces_nothing(
    operator: OperatorSetup, content: StackContent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content.ended("rendered", Outcome.DELIVERED, content=PDF)
    content.ended("plain")
    result = operator.command("get", "rend")
    assert (result.exit_code, result.err) == (0, "")
    assert result.out.startswith(f"rendered.pdf: {len(PDF)} bytes, sha256 ")
    assert (tmp_path / "rendered.pdf").read_bytes() == PDF
    again = operator.command("get", "rend")
    assert again.exit_code == 2
    assert "rendered.pdf exists; name another file with --output, or add --force" in again.error_line
    assert operator.command("get", "rend", "--force").exit_code == 0
    assert operator.command("get", "rend", "-o", "new/mine.pdf").exit_code == 0
    assert (tmp_path / "new" / "mine.pdf").read_bytes() == PDF
    none = operator.command("get", "plain")
    assert (none.exit_code, none.error_line) == (
        1,
        "courier: insights/sales/plain has no report: its state is succeeded",
    )


def test_get_refuses_bytes_that_differ_from_the_record(
    operator: OperatorSetup, content: StackContent, tmp_path: Path
) -> None:
    record = content.ended("rendered", Outcome.DELIVERED, content=PDF)
    key = content.records.key_of(record)
    document = json.loads(content.s3.get_object(Bucket=content.bucket, Key=key)["Body"].read())
    document["artifact"]["sha256"] = "0" * 64
    content.s3.put_object(Bucket=content.bucket, Key=key, Body=json.dumps(document).encode())
    result = operator.command("get", "rendered", "-o", tmp_path / "r.pdf")
    assert result.exit_code == 1
    assert "the stored bytes differ from the record's SHA-256" in result.error_line
    assert list(tmp_path.iterdir()) == []


def test_help_has_a_short_option_and_completion_can_be_installed() -> None:
    for command in ((), ("builds",), ("show",), ("latest",), ("get",), ("config", "push")):
        assert courier(*command, "-h").exit_code == 0
    assert "--install-completion" in courier("--help").out


def test_status_names_the_builds_in_flight(operator: OperatorSetup, content: StackContent) -> None:
    for number in range(7):
        content.waits(f"b{number}", age=number * HOUR + HOUR)
    lines = operator.command("status").out.splitlines()
    start = lines.index("In flight")
    assert [line.split()[-1] for line in lines[start + 1 : start + 6]] == [
        f"insights/sales/b{n}" for n in (6, 5, 4, 3, 2)
    ]
    assert lines[start + 6] == "and 2 more: courier builds --in-flight"
    narrow = operator.command("status", columns=50).out.splitlines()
    assert "    sales/b6" in narrow
