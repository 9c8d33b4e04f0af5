"""``courier config push``: all or nothing, and nothing unsaid."""

from __future__ import annotations

import pytest

from local.runs.demo import DREADNODE_SECRET, TREASURE_SECRET
from local.simulator import ErrorStatus, FaultRule, RequestKind
from tests.functional.operating.desk import Desk, aws_refuses, settings_in

PEM = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"


def test_each_source_is_seen_and_written_and_the_functions_find_its_builds(desk: Desk) -> None:
    ended = desk.push([desk.insights(backfill_hours=2), desk.red_team()])
    assert (ended.exit_code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "insights: the API key works and can see 2 data models",
        "red-team: the API key works; to verify acme/main/chatbot as well, add a report to requests",
        f"add     {desk.path}/insights",
        f"add     {desk.path}/red-team",
        "Done. The functions read it within a minute.",
    ]
    assert desk.parameters().keys() == {"insights", "red-team"}
    result = desk.aws.invoke("discover_builds", {})
    assert settings_in(result.payload)["begun"] == {"insights": 4}
    desk.aws.wait_until_idle()


def test_a_second_push_changes_nothing(desk: Desk) -> None:
    sources = [desk.insights(polling={"longest_seconds": 600}), desk.red_team()]
    desk.push(sources)
    versions = _versions(desk)
    ended = desk.push(sources)
    assert ended.exit_code == 0
    assert ended.out.splitlines()[2:] == [
        f"keep    {desk.path}/insights",
        f"keep    {desk.path}/red-team",
        "Nothing to do.",
    ]
    assert _versions(desk) == versions


def test_a_changed_source_is_shown_setting_by_setting(desk: Desk) -> None:
    desk.push([desk.insights(polling={"longest_seconds": 600}, requests_per_minute=5), desk.red_team()], "--no-check")
    ended = desk.push([desk.insights(polling={"longest_seconds": 700}, account_id="1"), desk.red_team()], "--no-check")
    assert ended.out.splitlines()[2:] == [
        f"change  {desk.path}/insights",
        '        account_id: default -> "1"',
        "        polling.longest_seconds: 600.0 -> 700.0",
        "        requests_per_minute: 5 -> default",
        f"keep    {desk.path}/red-team",
        "Done. The functions read it within a minute.",
    ]


def test_what_a_person_has_put_into_a_parameter_is_replaced_and_not_shown(desk: Desk) -> None:
    desk.put_parameter("insights", desk.scenario.treasure.key)
    ended = desk.push([desk.insights()], "--dry-run")
    assert ended.out.splitlines()[1:] == [
        f"would change  {desk.path}/insights",
        "              the current value is not a valid source",
    ]
    assert desk.no_secret_in(ended)


def test_a_dry_run_says_everything_and_writes_nothing(desk: Desk) -> None:
    desk.push([desk.insights(), desk.red_team()])
    before = desk.parameters()
    ended = desk.push([desk.insights(requests_per_minute=7), desk.red_team("new")], "--dry-run")
    assert (ended.exit_code, ended.err) == (0, "")
    assert ended.out.splitlines()[2:] == [
        f"would add     {desk.path}/new",
        f"would change  {desk.path}/insights",
        "              requests_per_minute: default -> 7",
        f"would remove  {desk.path}/red-team",
    ]
    assert desk.parameters() == before


@pytest.mark.parametrize(("typed", "removes"), [("y\n", True), ("n\n", False), ("\n", False), (None, False)])
def test_a_removal_is_asked_for(desk: Desk, typed: str | None, removes: bool) -> None:
    desk.push([desk.insights(), desk.red_team()], "--no-check")
    ended = desk.push([desk.insights(requests_per_minute=7)], "--no-check", typed=typed)
    assert f"remove  {desk.path}/red-team" in ended.out
    assert ("Remove red-team?" in ended.err) is (typed is not None)
    assert (ended.exit_code == 0) is removes
    assert ("red-team" not in desk.parameters()) is removes
    assert ("requests_per_minute" in desk.parameters()["insights"]) is removes
    if not removes:
        assert ended.exit_code == 1
        assert ended.err.splitlines()[-1].endswith("Nothing was written; --yes removes without asking.")


def test_a_removal_that_is_agreed_to_beforehand_is_not_asked_for(desk: Desk) -> None:
    desk.push([desk.insights(), desk.red_team()], "--no-check")
    ended = desk.push([desk.insights()], "--no-check", "--yes")
    assert (ended.exit_code, ended.err) == (0, "")
    assert desk.parameters().keys() == {"insights"}


def test_without_a_check_no_provider_is_asked_but_secrets_are_looked_for(desk: Desk) -> None:
    asked = len(desk.providers.requests)
    ended = desk.push([desk.insights()], "--no-check")
    assert ended.out.startswith(f"insights: the secret {TREASURE_SECRET} exists; the provider was not called\n")
    assert len(desk.providers.requests) == asked
    desk.forget_keys()
    assert desk.push([desk.insights()], "--no-check").exit_code == 2


def test_nothing_is_written_when_a_source_is_wrong(desk: Desk) -> None:
    ended = desk.push([desk.insights(), desk.red_team(project=None), {"name": "x"}])
    assert ended.exit_code == 2
    assert ended.out == "insights: the API key works and can see 2 data models\n"
    first, second, last = ended.err.splitlines()
    assert "sources[1].project: input should be a valid string" in first
    assert "sources[2].provider: field required" in second
    assert last == "Nothing was written."
    assert desk.parameters() == {}


def test_nothing_is_written_when_a_secret_is_missing_or_empty(desk: Desk) -> None:
    client = desk.aws.client("secretsmanager")
    client.put_secret_value(SecretId=DREADNODE_SECRET, SecretString=" ")
    ended = desk.push([desk.insights(), desk.insights("other", secret="build-courier/nobody"), desk.red_team()])
    assert ended.exit_code == 2
    missing = (
        "courier: other: secret build-courier/nobody does not exist; "
        "create it (courier config set-secret build-courier/nobody), or correct the source's secret setting"
    )
    assert ended.err.splitlines() == [
        missing,
        f"courier: red-team: secret {DREADNODE_SECRET} is empty",
        "Nothing was written.",
    ]
    assert desk.parameters() == {}


def test_nothing_is_written_when_a_provider_refuses_the_key_or_does_not_answer(desk: Desk) -> None:
    dead_key = "1234/" + "00" * 20
    desk.aws.client("secretsmanager").put_secret_value(SecretId=TREASURE_SECRET, SecretString=dead_key)
    desk.providers.faults.add(FaultRule(ErrorStatus(418), RequestKind.GET_JOB, times=None))
    ended = desk.push([desk.insights(), desk.red_team()])
    assert (ended.exit_code, ended.out) == (2, "")
    refused, down, last = ended.err.splitlines()
    assert refused.startswith("courier: insights: list_models returned 401")
    assert down.startswith("courier: red-team: get_build returned 418")
    assert last == "Nothing was written."
    assert dead_key not in ended.err
    assert desk.parameters() == {}


def test_more_sources_than_one_page_of_parameters_are_all_seen(desk: Desk) -> None:
    sources = [desk.insights(f"account-{number:02}", backfill_hours=2) for number in range(23)]
    desk.push(sources, "--no-check")
    assert len(desk.parameters()) == 23
    ended = desk.push(sources[:-1], "--no-check", "--dry-run")
    assert ended.out.count("would keep") == 22
    assert f"would remove  {desk.path}/account-22" in ended.out
    status = desk.command("status")
    assert all(str(source["name"]) in status.out for source in sources)


def test_two_braces_arrive_although_parameter_store_refuses_them(desk: Desk) -> None:
    report = {"preset": {"title": "{{{month}}}", "format": "pdf"}}
    desk.push([desk.red_team(requests=[{"report": report}])], "--no-check")
    text = desk.parameters()["red-team"]
    assert "{{" not in text
    assert settings_in(text)["requests"] == [{"report": report}]
    assert desk.push([desk.red_team(requests=[{"report": report}])], "--no-check").out.endswith("Nothing to do.\n")


def test_a_source_above_four_kilobytes_is_said_to_be_billed(desk: Desk) -> None:
    ended = desk.push([desk.insights(ca_bundle=PEM.format("x" * 5_000)), desk.red_team()], "--no-check")
    assert ended.exit_code == 0
    added = ended.out.splitlines()[2]
    assert added.startswith(f"add     {desk.path}/insights (an advanced parameter, which is billed: 5,")
    shown = desk.push([desk.insights(ca_bundle=PEM.format("y" * 5_000)), desk.red_team()], "--no-check", "--dry-run")
    assert max(map(len, shown.out.splitlines())) < 250


def test_a_source_above_eight_kilobytes_is_refused_by_name(desk: Desk) -> None:
    ended = desk.push([desk.red_team(), desk.insights(ca_bundle=PEM.format("ü" * 4_100))], "--no-check")
    assert ended.exit_code == 2
    mistake, last = ended.err.splitlines()
    assert mistake.startswith("courier: insights: its settings take 8,")
    assert "a parameter holds 8,192" in mistake
    assert last == "Nothing was written."
    assert desk.parameters() == {}


def test_a_write_that_aws_refuses_is_one_line_and_the_next_push_does_the_rest(desk: Desk) -> None:
    desk.push([desk.insights()], "--no-check")
    sources = [desk.insights(), desk.red_team()]
    with aws_refuses("PutParameter", "AccessDeniedException", "no ssm:PutParameter"):
        ended = desk.push(sources, "--no-check")
    assert ended.exit_code == 2
    assert ended.complaint.startswith(f"courier: {desk.path}/red-team: ")
    assert "no ssm:PutParameter" in ended.complaint
    assert desk.push(sources, "--no-check").exit_code == 0
    assert desk.parameters().keys() == {"insights", "red-team"}


def _versions(desk: Desk) -> dict[str, int]:
    found = desk.aws.client("ssm").get_parameters_by_path(Path=desk.path)["Parameters"]
    return {item["Name"]: item["Version"] for item in found}
