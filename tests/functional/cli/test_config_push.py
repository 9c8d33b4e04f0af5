"""``courier config push``: writes all sources or none, and prints every change."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.runs.demo import DREADNODE_SECRET, TREASURE_SECRET
from local.simulator import ErrorStatus, FaultRule, RequestKind
from tests.functional.cli.operator_setup import OperatorSetup, aws_refuses, settings_in
from tests.support.command import courier

PEM = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"


def test_each_source_is_checked_and_written_and_the_functions_find_its_builds(operator: OperatorSetup) -> None:
    result = operator.push([operator.insights(backfill_hours=2), operator.red_team()])
    assert (result.exit_code, result.err) == (0, "")
    assert result.out.splitlines() == [
        "insights: the API key works and can see 2 data models",
        "red-team: the API key works; to verify acme/main/chatbot as well, add a report to requests",
        f"add     {operator.path}/insights",
        f"add     {operator.path}/red-team",
        "Done. The functions read it within a minute.",
    ]
    assert operator.parameters().keys() == {"insights", "red-team"}
    invocation = operator.aws.invoke("discover_builds", {})
    assert settings_in(invocation.payload)["begun"] == {"insights": 4}
    operator.aws.wait_until_idle()


@pytest.mark.parametrize("content", [None, "sources: []", "a: [", "- x"])
def test_a_wrong_file_is_reported_before_aws_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "nope.yaml"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    result = courier("config", "push", file)
    assert result.exit_code == 2
    assert result.error_line.startswith(f"courier: {file}:")


def test_a_second_push_changes_nothing(operator: OperatorSetup) -> None:
    sources = [operator.insights(polling={"longest_seconds": 600}), operator.red_team()]
    operator.push(sources)
    versions = _versions(operator)
    result = operator.push(sources)
    assert result.exit_code == 0
    assert result.out.splitlines()[2:] == [
        f"keep    {operator.path}/insights",
        f"keep    {operator.path}/red-team",
        "Nothing to do.",
    ]
    assert _versions(operator) == versions


def test_a_changed_source_is_shown_setting_by_setting(operator: OperatorSetup) -> None:
    operator.push(
        [operator.insights(polling={"longest_seconds": 600}, requests_per_minute=5), operator.red_team()], "--no-check"
    )
    result = operator.push(
        [operator.insights(polling={"longest_seconds": 700}, account_id="1"), operator.red_team()], "--no-check"
    )
    assert result.out.splitlines()[2:] == [
        f"change  {operator.path}/insights",
        '        account_id: default -> "1"',
        "        polling.longest_seconds: 600.0 -> 700.0",
        "        requests_per_minute: 5 -> default",
        f"keep    {operator.path}/red-team",
        "Done. The functions read it within a minute.",
    ]


def test_a_parameter_written_by_hand_is_replaced_and_not_shown(operator: OperatorSetup) -> None:
    operator.put_parameter("insights", operator.scenario.treasure.key)
    result = operator.push([operator.insights()], "--dry-run")
    assert result.out.splitlines()[1:] == [
        f"would change  {operator.path}/insights",
        "              the current value is not a valid source",
    ]
    assert operator.no_secret_in(result)


def test_a_dry_run_prints_everything_and_writes_nothing(operator: OperatorSetup) -> None:
    operator.push([operator.insights(), operator.red_team()])
    before = operator.parameters()
    result = operator.push([operator.insights(requests_per_minute=7), operator.red_team("new")], "--dry-run")
    assert (result.exit_code, result.err) == (0, "")
    assert result.out.splitlines()[2:] == [
        f"would add     {operator.path}/new",
        f"would change  {operator.path}/insights",
        "              requests_per_minute: default -> 7",
        f"would remove  {operator.path}/red-team",
    ]
    assert operator.parameters() == before


@pytest.mark.parametrize(("typed", "removes"), [("y\n", True), ("n\n", False), ("\n", False), (None, False)])
def test_a_removal_needs_a_confirmation(operator: OperatorSetup, typed: str | None, removes: bool) -> None:
    operator.push([operator.insights(), operator.red_team()], "--no-check")
    result = operator.push([operator.insights(requests_per_minute=7)], "--no-check", typed=typed)
    assert f"remove  {operator.path}/red-team" in result.out
    assert ("Remove red-team?" in result.err) is (typed is not None)
    assert (result.exit_code == 0) is removes
    assert ("red-team" not in operator.parameters()) is removes
    assert ("requests_per_minute" in operator.parameters()["insights"]) is removes
    if not removes:
        assert result.exit_code == 1
        assert result.err.splitlines()[-1].endswith("Nothing was written; --yes removes without asking.")


def test_a_removal_with_yes_needs_no_confirmation(operator: OperatorSetup) -> None:
    operator.push([operator.insights(), operator.red_team()], "--no-check")
    result = operator.push([operator.insights()], "--no-check", "--yes")
    assert (result.exit_code, result.err) == (0, "")
    assert operator.parameters().keys() == {"insights"}


def test_without_a_check_no_provider_is_called_but_secrets_must_exist(operator: OperatorSetup) -> None:
    before = len(operator.providers.requests)
    result = operator.push([operator.insights()], "--no-check")
    assert result.out.startswith(f"insights: the secret {TREASURE_SECRET} exists; the provider was not called\n")
    assert len(operator.providers.requests) == before
    operator.delete_keys()
    assert operator.push([operator.insights()], "--no-check").exit_code == 2


def test_nothing_is_written_when_a_source_is_invalid(operator: OperatorSetup) -> None:
    result = operator.push([operator.insights(), operator.red_team(project=None), {"name": "x"}])
    assert result.exit_code == 2
    assert result.out == "insights: the API key works and can see 2 data models\n"
    first, second, last = result.err.splitlines()
    assert "sources[1].project: input should be a valid string" in first
    assert "sources[2].provider: field required" in second
    assert last == "Nothing was written."
    assert operator.parameters() == {}


def test_nothing_is_written_when_a_secret_is_missing_or_empty(operator: OperatorSetup) -> None:
    client = operator.aws.client("secretsmanager")
    client.put_secret_value(SecretId=DREADNODE_SECRET, SecretString=" ")
    result = operator.push(
        [operator.insights(), operator.insights("other", secret="build-courier/nobody"), operator.red_team()]
    )
    assert result.exit_code == 2
    missing = (
        "courier: other: secret build-courier/nobody does not exist; "
        "create it (courier config set-secret build-courier/nobody), or correct the source's secret setting"
    )
    assert result.err.splitlines() == [
        missing,
        f"courier: red-team: secret {DREADNODE_SECRET} is empty",
        "Nothing was written.",
    ]
    assert operator.parameters() == {}


def test_nothing_is_written_when_a_provider_rejects_the_key_or_fails(operator: OperatorSetup) -> None:
    dead_key = "1234/" + "00" * 20
    operator.aws.client("secretsmanager").put_secret_value(SecretId=TREASURE_SECRET, SecretString=dead_key)
    operator.providers.faults.add(FaultRule(ErrorStatus(418), RequestKind.GET_JOB, times=None))
    result = operator.push([operator.insights(), operator.red_team()])
    assert (result.exit_code, result.out) == (2, "")
    refused, down, last = result.err.splitlines()
    assert refused.startswith("courier: insights: list_models returned 401")
    assert down.startswith("courier: red-team: get_build returned 418")
    assert last == "Nothing was written."
    assert dead_key not in result.err
    assert operator.parameters() == {}


def test_sources_on_several_pages_of_parameters_are_all_read(operator: OperatorSetup) -> None:
    sources = [operator.insights(f"account-{number:02}", backfill_hours=2) for number in range(23)]
    operator.push(sources, "--no-check")
    assert len(operator.parameters()) == 23
    result = operator.push(sources[:-1], "--no-check", "--dry-run")
    assert result.out.count("would keep") == 22
    assert f"would remove  {operator.path}/account-22" in result.out
    status = operator.command("status")
    assert all(str(source["name"]) in status.out for source in sources)


def test_two_braces_are_stored_although_parameter_store_rejects_them(operator: OperatorSetup) -> None:
    report = {"preset": {"title": "{{{month}}}", "format": "pdf"}}
    operator.push([operator.red_team(requests=[{"report": report}])], "--no-check")
    text = operator.parameters()["red-team"]
    assert "{{" not in text
    assert settings_in(text)["requests"] == [{"report": report}]
    assert operator.push([operator.red_team(requests=[{"report": report}])], "--no-check").out.endswith(
        "Nothing to do.\n"
    )


def test_a_source_above_four_kilobytes_is_reported_as_billed(operator: OperatorSetup) -> None:
    result = operator.push([operator.insights(ca_bundle=PEM.format("x" * 5_000)), operator.red_team()], "--no-check")
    assert result.exit_code == 0
    added = result.out.splitlines()[2]
    assert added.startswith(f"add     {operator.path}/insights (an advanced parameter, which is billed: 5,")
    shown = operator.push(
        [operator.insights(ca_bundle=PEM.format("y" * 5_000)), operator.red_team()], "--no-check", "--dry-run"
    )
    assert max(map(len, shown.out.splitlines())) < 250


def test_a_source_above_eight_kilobytes_is_refused(operator: OperatorSetup) -> None:
    result = operator.push([operator.red_team(), operator.insights(ca_bundle=PEM.format("ü" * 4_100))], "--no-check")
    assert result.exit_code == 2
    mistake, last = result.err.splitlines()
    assert mistake.startswith("courier: insights: its settings take 8,")
    assert "a parameter holds 8,192" in mistake
    assert last == "Nothing was written."
    assert operator.parameters() == {}


def test_a_write_that_aws_rejects_is_one_line_and_the_next_push_does_the_rest(operator: OperatorSetup) -> None:
    operator.push([operator.insights()], "--no-check")
    sources = [operator.insights(), operator.red_team()]
    with aws_refuses("PutParameter", "AccessDeniedException", "no ssm:PutParameter"):
        result = operator.push(sources, "--no-check")
    assert result.exit_code == 2
    assert result.error_line.startswith(f"courier: {operator.path}/red-team: ")
    assert "no ssm:PutParameter" in result.error_line
    assert operator.push(sources, "--no-check").exit_code == 0
    assert operator.parameters().keys() == {"insights", "red-team"}


def _versions(operator: OperatorSetup) -> dict[str, int]:
    found = operator.aws.client("ssm").get_parameters_by_path(Path=operator.path)["Parameters"]
    return {item["Name"]: item["Version"] for item in found}
