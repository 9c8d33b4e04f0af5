"""``courier stop``, ``retry``, ``resend``, ``adopt`` and ``request`` on a deployed stack, with its real functions."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import datetime

import pytest

from local.runs.demo import DREADNODE_SECRET
from tests.functional.cli.acting_stack import DONE, SCOPE, SLOW, Stack


def undeliverable(stack: Stack) -> None:
    """Deliver a report that is larger than the settings allow."""
    stack.configure(largest_bytes=1_000)
    stack.act("adopt", f"{SCOPE}/{DONE}")
    assert stack.show(DONE)["state"] == "undeliverable"
    stack.configure()


def test_a_report_that_the_settings_allow_now_is_delivered_after_all(stack: Stack) -> None:
    undeliverable(stack)
    (first,) = stack.notices()
    before = stack.show(DONE)
    assert stack.act("retry", DONE[:8], "--dry-run")["note"] == "attempt 2 would begin: its report is copied"
    assert stack.show(DONE) == before
    row = stack.act("retry", DONE[:8], "--note", "size allowed")
    assert (row["build"], row["note"]) == (f"{SCOPE}/{DONE}", "attempt 2 has begun: its report is copied")
    (second,) = stack.notices()
    assert (first["type"], second["type"]) == ("build-courier.build.undeliverable", "build-courier.build.delivered")
    assert (second["data"]["attempt"], second["data"]["record"]) == (2, first["data"]["record"])
    assert second["id"] != first["id"]
    after = stack.show(DONE)
    assert after["state"] == "delivered"
    assert [attempt["outcome"] for attempt in after["earlier_attempts"]] == ["undeliverable"]
    assert [(act["action"], act["note"]) for act in after["acts"]] == [("adopt", None), ("retry", "size allowed")]
    assert after["acts"][1]["by"].startswith("arn:aws:")
    assert DONE in stack.command("latest", "red-team").out
    assert stack.command("get", DONE, "-o", stack.operator.folder / "report.pdf", "--force").exit_code == 0
    assert stack.aws.failed_executions() == []


def test_a_build_that_runs_on_is_stopped_and_waited_for_again(stack: Stack) -> None:
    stack.act("adopt", f"{SCOPE}/{SLOW}")
    assert stack.act("stop", SLOW[:6], "--dry-run")["note"] == "the wait would end"
    row = stack.act("stop", SLOW[:6], "--cancel", "--note", "a mistake")
    assert row["note"] == "the wait has ended; the provider cannot cancel builds, so the build itself runs on"
    (notice,) = stack.notices()
    assert notice["type"] == "build-courier.build.canceled"
    assert notice["data"]["problem"]["name"] == "StoppedByOperator"
    stack.poll()
    assert stack.show(SLOW)["state"] == "canceled"
    assert stack.aws.failed_executions() == []
    result = stack.command("stop", SLOW)
    assert (result.exit_code, result.out.split(maxsplit=2)[:2]) == (1, ["not", "done"])
    assert "it has ended already: canceled" in result.out
    assert "it is running, and polled until" in stack.act("retry", SLOW)["note"]
    stack.poll()
    assert stack.show(SLOW)["state"] == "running"
    assert stack.command("builds", "--in-flight").out.count(SLOW) == 1


def test_a_build_is_canceled_at_a_provider_that_can(stack: Stack) -> None:
    stack.aws.invoke("discover_builds", {})
    stack.aws.wait_until_idle()
    (build,) = json.loads(stack.command("builds", "--in-flight", "-f", "json").out)
    assert stack.act("stop", build["build_id"], "--cancel")["note"] == "the wait has ended"
    assert "the provider was asked to cancel it" in stack.show(build["build_id"])["problem"]["message"]
    assert stack.operator.providers.build(build["build_id"]).status == "canceled"


def test_a_notice_is_published_again(stack: Stack) -> None:
    undeliverable(stack)
    (first,) = stack.notices()
    assert stack.act("resend", DONE)["note"] == "the notice was published again: undeliverable"
    assert stack.notices() == [first]
    assert [act["action"] for act in stack.show(DONE)["acts"]] == ["adopt", "resend"]


def test_a_request_waits_for_its_build(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.request.time.sleep", lambda _: stack.poll())
    document = {"source": "red-team", "report": {"preset": {"format": "pdf", "sections": ["risk_score_metrics"]}}}
    piped = json.dumps(document).encode()
    result = stack.command("request", "--file", "-", "--dry-run", piped=piped)
    assert (result.exit_code, result.out.split()[0]) == (0, "done")
    result = stack.command("request", "--file", "-", "--wait", "-f", "json", piped=piped)
    (row,) = json.loads(result.out)
    assert (result.exit_code, row["outcome"]) == (0, "delivered")
    assert result.error_line.endswith("the build was started")
    assert [act["action"] for act in stack.show(row["build"])["acts"]] == ["request"]
    model = stack.operator.scenario.treasure.models[0].oid
    result = stack.command("request", "insights", "--data-model", model, "--wait", "--timeout", "1")
    assert (result.exit_code, result.out.split()[:2]) == (1, ["not", "ended"])


def test_several_builds_are_one_question(stack: Stack) -> None:
    stack.configure(largest_bytes=1_000)
    stack.act("adopt", f"{SCOPE}/{DONE}")
    stack.act("adopt", f"{SCOPE}/{SLOW}")
    stack.act("stop", SLOW)
    stack.configure()
    both = ("retry", "--outcome", "undeliverable,canceled", "--source", "red-team")
    refused = stack.command(*both)
    assert (refused.exit_code, refused.out) == (2, "")
    assert refused.error_line == "courier: Retry 2 builds? Add --yes to do it, or --dry-run to see them"
    declined = stack.command(*both, typed="n\n")
    assert (declined.exit_code, declined.out.strip()) == (1, "")
    assert SLOW in declined.err
    assert stack.show(DONE)["state"] == "undeliverable"
    planned = stack.command(*both, "--dry-run", "-f", "csv")
    assert len(list(csv.DictReader(io.StringIO(planned.out)))) == 2
    assert stack.command(*both, typed="y\n").exit_code == 0
    assert stack.show(DONE)["state"] == "delivered"
    assert stack.show(SLOW)["state"] == "running"
    assert stack.command("retry", "--outcome", "lost").out == "No builds match, so nothing was done\n"


def test_a_paused_source_is_shown_everywhere_and_not_called(stack: Stack) -> None:
    stack.act("adopt", f"{SCOPE}/{SLOW}")
    deadline = datetime.fromisoformat(stack.show(SLOW)["timeline"]["deadline_at"])
    assert stack.act("pause", "red-team", "--dry-run")["note"] == "it would be paused until an operator resumes it"
    assert stack.act("pause", "red-team", "--until", "2h", "--note", "moved")["source"] == "red-team"
    stack.poll()
    shown = stack.show(SLOW)
    assert shown["polls"]["count"] == 0
    assert re.match(r"paused since .* UTC until .* UTC by arn:aws:.*: moved$", shown["source_problem"])
    assert datetime.fromisoformat(shown["timeline"]["deadline_at"]) > deadline
    assert stack.command("builds", "--in-flight").out.splitlines()[1].startswith("paused")
    (row,) = json.loads(stack.command("builds", "--in-flight", "-f", "json").out)
    assert (row["state"], row["paused"]) == ("running", True)
    assert "paused since" in stack.command("status").out
    refused = stack.command("request", "red-team", "--template-id", "t")
    assert refused.exit_code == 1
    assert "first: courier resume red-team" in refused.out
    assert "it is called again" in stack.act("resume", "red-team")["note"]
    stack.poll()
    assert stack.show(SLOW)["polls"]["count"] == 1


def test_a_source_whose_key_was_corrected_is_healthy_at_once(stack: Stack) -> None:
    stack.act("adopt", f"{SCOPE}/{SLOW}")
    stack.aws.client("secretsmanager").put_secret_value(SecretId=DREADNODE_SECRET, SecretString="wrong")
    stack.forget_settings()
    refused = stack.command("probe", "red-team")
    assert refused.exit_code == 1
    assert "red-team" in refused.out
    stack.poll()
    assert "unhealthy" in stack.command("status").out
    stack.operator.store_keys()
    stack.forget_settings()
    result = stack.act("probe", "red-team")
    assert result["done"]
    assert result["note"].startswith("the API key works")
    assert "unhealthy" not in stack.command("status").out


def test_what_is_stored_for_a_failing_source_probes_it(stack: Stack) -> None:
    stack.act("adopt", f"{SCOPE}/{SLOW}")
    right, wrong = stack.operator.scenario.airt.key, "dn_key_wrong"
    stored = stack.command("config", "set-secret", DREADNODE_SECRET, "--no-check", piped=wrong.encode())
    assert (stored.exit_code, stored.out) == (0, f"{DREADNODE_SECRET}: replaced\n")
    stack.forget_settings()
    stack.command("probe", "red-team")
    stack.poll()
    stack.poll()
    assert "unhealthy" in stack.command("status").out
    still = stack.command("config", "set-secret", DREADNODE_SECRET, "--no-check", piped=wrong.encode())
    assert still.exit_code == 0
    assert "red-team: still fails, " in still.out
    cured = stack.command("config", "set-secret", DREADNODE_SECRET, piped=right.encode())
    tried, replaced, probed = cured.out.splitlines()
    assert tried.startswith("red-team: the API key works")
    assert replaced == f"{DREADNODE_SECRET}: replaced"
    assert probed.startswith("red-team: probed, the API key works")
    assert "unhealthy" not in stack.command("status").out


def test_a_probe_uses_the_secret_as_it_is_now(stack: Stack) -> None:
    result = stack.act("probe", "red-team")
    assert result["done"]
    assert result["note"].startswith("the API key works")
    stack.aws.client("secretsmanager").put_secret_value(SecretId=DREADNODE_SECRET, SecretString="dn_key_wrong")
    wrong = stack.command("probe", "red-team")
    assert wrong.exit_code == 1
    assert wrong.out.count("red-team") == 1


def test_stored_reports_are_compared_with_their_records(stack: Stack) -> None:
    stack.act("adopt", f"{SCOPE}/{DONE}")
    result = stack.command("verify", DONE[:8])
    assert (result.exit_code, result.err) == (0, "")
    assert result.out.splitlines() == [
        f"verified  {SCOPE}/{DONE}  {stack.show(DONE)['artifact']['sha256']}",
        "1 of 1 report verified",
    ]
    artifact = stack.show(DONE)["artifact"]
    s3 = stack.aws.client("s3")
    # Another version under the same key is not the recorded one, and does no harm.
    s3.put_object(Bucket=artifact["bucket"], Key=artifact["key"], Body=b"other")
    assert stack.command("verify", "--all").exit_code == 0
    s3.delete_object(Bucket=artifact["bucket"], Key=artifact["key"], VersionId=artifact["version_id"])
    result = stack.command("verify", "--all", "-f", "json")
    (row,) = json.loads(result.out)
    assert (result.exit_code, row["verified"], row["problem"]) == (1, False, "the object is gone")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"size_bytes": 5}, "20480 bytes are stored, 5 are recorded"),
        ({"sha256": "0" * 64}, "the SHA-256 of the"),
    ],
)
def test_a_report_that_differs_is_named(stack: Stack, change: dict[str, object], problem: str) -> None:
    stack.act("adopt", f"{SCOPE}/{DONE}")
    place = stack.show(DONE)["record"]
    s3 = stack.aws.client("s3")
    document = json.loads(s3.get_object(Bucket=place["bucket"], Key=place["key"])["Body"].read())
    document["artifact"] |= change
    s3.put_object(Bucket=place["bucket"], Key=place["key"], Body=json.dumps(document).encode())
    result = stack.command("verify", DONE)
    assert result.exit_code == 1
    assert problem in result.out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("stop",), "name builds, or a --source whose builds are meant"),
        (("stop", "x", "--source", "insights"), "name builds, or a --source"),
        (("stop", "nothing"), "no build in flight begins with nothing"),
        (("retry",), "name builds, or --outcome"),
        (("retry", "x", "--outcome", "lost"), "name builds, or --outcome"),
        (("resend", "--outcome", "bad"), "--outcome: bad is not an outcome"),
        (("adopt", "abc"), "abc: a build that the courier does not know is SOURCE/SCOPE/ID"),
        (("pause", "nowhere"), "there is no source nowhere; configured: insights, red-team"),
        (("pause", "insights", "--until", "soon"), "--until: soon is neither like 2h, 30m or 1d nor a time like"),
        (("pause", "insights", "--until", "2020-01-01"), "--until: 2020-01-01 is in the past (times are UTC)"),
        (("verify",), "name builds, or pass --all"),
        (("verify", "--source", "insights"), "name builds, or pass --all"),
        (("request",), "name a SOURCE with --data-model or --template-id, or pass --file"),
        (("request", "insights", "--data-model", "a", "--template-id", "b"), "name a SOURCE with"),
        (("request", "insights", "--file", "-"), "pass either, not both"),
        (("request", "--file", "/nowhere"), "/nowhere: cannot be read (No such file or directory)"),
        (("request", "--file", "-"), "standard input: is empty"),
    ],
)
def test_a_mistake_is_one_line(stack: Stack, arguments: tuple[str, ...], expected: str) -> None:
    result = stack.command(*arguments)
    assert (result.exit_code, result.out) == (2, "")
    assert expected in result.error_line


@pytest.mark.parametrize("piped", [b"{", b"3", b'{"source": "a"}', b'{"source": "a"}\nx', b"\xff"])
def test_a_request_that_cannot_be_read_is_one_line(stack: Stack, piped: bytes) -> None:
    result = stack.command("request", "--file", "-", piped=piped)
    assert (result.exit_code, result.out) == (2, "")
    assert "standard input" in result.error_line


def test_an_unknown_source_is_a_result(stack: Stack) -> None:
    result = stack.command("request", "nowhere", "--data-model", "x")
    assert (result.exit_code, result.err) == (1, "")
    assert "there is no source nowhere; configured: insights, red-team" in result.out


def test_a_function_that_fails_is_a_result(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no\nmemory")

    monkeypatch.setattr("courier.usecases.operator_actions._perform", broken)
    result = stack.command("adopt", f"{SCOPE}/{DONE}")
    assert (result.exit_code, result.err) == (1, "")
    assert "RequestBuildFunction" in result.out
    assert "failed: no memory" in result.out
