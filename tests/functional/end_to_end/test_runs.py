"""What the demonstration and a customer's run leave behind: outcomes, artifacts, records and notices, without a secret.

In one file, so that one process makes the two runs.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from local.simulator.scenario import MEBIBYTE
from tests.functional.end_to_end.conftest import ObservedRun, api_requests
from tests.functional.end_to_end.customer import (
    BIG_JOB,
    CANCELED_BUILD,
    MODEL,
    NEW_BUILD,
    OLD_BUILD,
    UNKNOWN_JOB,
)
from tests.functional.end_to_end.evidence import leaks
from tests.support.page_content import data_in

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"
FUNCTIONS = {"discover_builds", "request_build", "poll_builds", "copy_artifact", "record_outcome"}
PREFIXES = re.compile(
    r"artifacts/[^/]+(/[^/]+)+/\d{4}/\d\d/\d\d/[^/]+/[^/]+"
    r"|records/source=[^/]+/date=\d{4}-\d\d-\d\d(/[^/]+)+\.json"
    r"|latest/[^/]+(/[^/]+)+\.json"
)
INSIDE = ("standard output", "logs", "histories", "inputs", "ledger", "notices", "parameters")


def outcomes(run: ObservedRun) -> Counter[tuple[str, str]]:
    return Counter((payload["provider"], payload["outcome"]) for payload in run.evidence.payloads)


def test_the_demonstration_has_every_kind_of_outcome_and_succeeds(demo: ObservedRun) -> None:
    assert demo.evidence.ended.exit_code == 0
    assert demo.evidence.ended.err == ""
    assert outcomes(demo) == {
        ("treasure_insights", "succeeded"): 2,
        ("treasure_insights", "failed"): 1,
        ("treasure_insights", "canceled"): 1,
        ("dreadnode_airt", "delivered"): 2,
        ("dreadnode_airt", "failed"): 1,
        ("dreadnode_airt", "empty"): 1,
    }


def test_the_demonstration_delivers_a_report_above_16_mebibytes(demo: ObservedRun) -> None:
    sizes = [payload["artifact"]["size_bytes"] for payload in demo.evidence.payloads if payload["artifact"]]
    assert max(sizes) > 16 * MEBIBYTE


def test_the_notice_of_a_failed_treasure_build_has_the_limits_and_the_advice(demo: ObservedRun) -> None:
    (payload,) = [
        payload
        for payload in demo.evidence.payloads
        if payload["outcome"] == "failed" and payload["provider"] == "treasure_insights"
    ]
    assert payload["limits"] == {"build_size_gb": 8, "query_size_gb": 4}
    assert "Suspect memory first" in payload["problem"]["advice"]
    assert "8 GB" in payload["problem"]["advice"]
    assert "4 GB" in payload["problem"]["advice"]


def test_the_summary_names_every_build_with_its_outcome_and_files(any_run: ObservedRun) -> None:
    summary = any_run.evidence.ended.out
    for payload in any_run.evidence.payloads:
        build = "/".join((payload["build"]["source"], payload["build"]["scope"], payload["build"]["build_id"]))
        assert f"{payload['outcome']:<13}  {build}" in summary
        for stored in filter(None, (payload["record"], payload["artifact"])):
            assert str(any_run.evidence.folder / "bucket" / stored["key"]) in summary


def test_a_request_without_a_build_is_never_shown_with_an_unknown_status(any_run: ObservedRun) -> None:
    assert "unknown" not in any_run.evidence.ended.out


def test_every_request_is_served(customer: ObservedRun) -> None:
    ended = {payload["build"]["build_id"]: payload["outcome"] for payload in customer.evidence.payloads}
    assert ended[BIG_JOB] == "delivered"
    assert ended[OLD_BUILD] == "succeeded"
    assert ended[NEW_BUILD] == "succeeded"
    assert ended[CANCELED_BUILD] == "canceled"
    assert outcomes(customer) == {
        ("treasure_insights", "succeeded"): 2,
        ("treasure_insights", "canceled"): 1,
        ("dreadnode_airt", "delivered"): 2,
        ("dreadnode_airt", "failed"): 1,
        ("dreadnode_airt", "empty"): 1,
    }


def test_each_invalid_source_gets_one_line_and_stops_no_other(customer: ObservedRun) -> None:
    ended = customer.evidence.ended
    assert ended.exit_code == 2
    lines = ended.err.splitlines()
    for number, text in enumerate(
        (
            "sources[3].name:",
            "sources[4].project: field required",
            "source no-secret: secret build-courier/missing is missing from ",
            "request-3.json: skipped, because source no-project cannot be used",
        )
    ):
        assert text in lines[number], lines
    assert "Traceback" not in ended.err


def test_a_dead_key_and_an_unknown_job_are_reported_at_the_end(customer: ObservedRun) -> None:
    *_, unknown, unhealthy = customer.evidence.ended.err.splitlines()
    assert "RequestBuildFunction failed 3 times: BuildNotFoundError" in unknown
    assert unhealthy.startswith("courier: source revoked is unhealthy: ")
    assert "build-courier/revoked" in unhealthy
    assert UNKNOWN_JOB not in {payload["build"]["build_id"] for payload in customer.evidence.payloads}


def test_latest_is_the_newer_build_although_an_older_one_was_recorded_too(customer: ObservedRun) -> None:
    latest = customer.evidence.objects[f"latest/models/{MODEL}.json"].read_text(encoding="utf-8")
    assert NEW_BUILD in latest
    assert OLD_BUILD not in latest


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((SCHEMAS / name).read_text(encoding="utf-8")))


def ended_at(record: dict[str, Any]) -> datetime:
    times = record["timeline"]
    return datetime.fromisoformat(times["completed_at"] or times["detected_at"])


def test_artifacts_are_byte_for_byte_what_the_provider_rendered(any_run: ObservedRun) -> None:
    delivered = [record for record in any_run.evidence.records.values() if record["outcome"] == "delivered"]
    assert delivered
    for record in delivered:
        stored = record["artifact"]
        content = any_run.evidence.objects[stored["key"]].read_bytes()
        assert content == any_run.providers.artifact_bytes(record["build"]["build_id"])
        assert stored["sha256"] == hashlib.sha256(content).hexdigest()
        assert (stored["size_bytes"], stored["verified"]) == (len(content), True)


def test_every_key_is_a_documented_one(any_run: ObservedRun) -> None:
    assert {path.name for path in any_run.evidence.folder.iterdir()} == {
        *("bucket", "index.html", "notices.jsonl", "executions.json", "usage.json", "ledger.json", "run.log")
    }
    assert [key for key in any_run.evidence.objects if not PREFIXES.fullmatch(key)] == []


def test_the_page_shows_every_record_with_links_to_the_files_beside_it(any_run: ObservedRun) -> None:
    html = (any_run.evidence.folder / "index.html").read_text(encoding="utf-8")
    data = data_in(html)
    shown = {row[0]: data["outcomes"][row[2]] for row in data["builds"]}
    records = any_run.evidence.records.values()
    assert shown == {record["build"]["build_id"]: record["outcome"] for record in records}
    assert data["links"] == {"folder": "bucket"}
    assert f"Page: {any_run.evidence.folder / 'index.html'}" in any_run.evidence.ended.out
    # The stack is gone, so no command of the page would work.
    assert "data-copy" not in html.partition("<script")[0]


def test_every_artifact_has_its_record_and_no_upload_is_open(any_run: ObservedRun) -> None:
    artifacts = {key for key in any_run.evidence.objects if key.startswith("artifacts/")}
    assert artifacts == {
        record["artifact"]["key"] for record in any_run.evidence.records.values() if record["artifact"]
    }
    assert any_run.evidence.inside.open_uploads == 0


@pytest.mark.parametrize("where", ["records", "latest"])
def test_records_fit_the_published_schema(any_run: ObservedRun, where: str) -> None:
    check = validator("record.schema.json")
    texts = [path.read_text("utf-8") for key, path in any_run.evidence.objects.items() if key.startswith(where)]
    assert texts
    for text in texts:
        check.validate(json.loads(text))


def test_notices_fit_the_published_schema(any_run: ObservedRun) -> None:
    check = validator("notice.schema.json")
    assert any_run.evidence.notices
    for notice in any_run.evidence.notices:
        check.validate(notice["message"])


def test_each_outcome_is_published_exactly_once(any_run: ObservedRun) -> None:
    subjects = Counter(notice["message"]["subject"] for notice in any_run.evidence.notices)
    assert set(subjects.values()) == {1}
    ids = [notice["message"]["id"] for notice in any_run.evidence.notices]
    assert len(set(ids)) == len(ids)
    announced = {(payload["record"]["key"], payload["outcome"]) for payload in any_run.evidence.payloads}
    assert announced == {(key, record["outcome"]) for key, record in any_run.evidence.records.items()}


def test_attributes_let_a_subscriber_filter(any_run: ObservedRun) -> None:
    for notice in any_run.evidence.notices:
        payload = notice["message"]["data"]
        if "outcome" in payload:
            assert notice["attributes"] == {
                "source": payload["build"]["source"],
                "provider": payload["provider"],
                "scope": payload["build"]["scope"],
                "outcome": payload["outcome"],
            }
        else:
            assert notice["attributes"]["health"] == payload["health"]


def test_latest_is_the_newest_good_build_of_each_scope(any_run: ObservedRun) -> None:
    newest: dict[str, dict[str, Any]] = {}
    for record in any_run.evidence.records.values():
        if record["outcome"] in {"delivered", "succeeded"}:
            key = f"latest/{record['build']['source']}/{record['build']['scope']}.json"
            if key not in newest or ended_at(record) > ended_at(newest[key]):
                newest[key] = record
    found = {
        key: json.loads(path.read_text("utf-8"))
        for key, path in any_run.evidence.objects.items()
        if key.startswith("latest/")
    }
    assert found == newest


def test_executions_are_short_and_succeed(any_run: ObservedRun) -> None:
    executions = any_run.evidence.executions
    assert len(executions) == len(any_run.evidence.payloads)
    for run in executions:
        assert run["status"] == "SUCCEEDED"
        assert run["state_transitions"] == len(run["states"]) <= 5
        assert 0 < run["history_events"] <= 60
        assert run["seconds"] >= 0
    outcomes = Counter(run["outcome"] for run in executions)
    assert outcomes == Counter(payload["outcome"] for payload in any_run.evidence.payloads)


def test_usage_counts_every_request_that_the_providers_received(any_run: ObservedRun) -> None:
    usage = any_run.evidence.usage
    assert set(usage["lambda_invocations"]) == FUNCTIONS
    assert all(count > 0 for count in usage["lambda_invocations"].values())
    assert sum(usage["provider_requests"].values()) == api_requests(any_run.providers)


def test_the_ledger_has_every_build_closed(any_run: ObservedRun) -> None:
    rows = [row for row in any_run.evidence.inside.rows if not str(row["build"]).startswith("#")]
    assert {row["record_key"] for row in rows} == set(any_run.evidence.records)
    assert not any(name in row for row in rows for name in ("task_token", "kept_token", "next_poll_at", "checkpoint"))


def test_every_place_and_every_secret_is_searched(any_run: ObservedRun) -> None:
    places = any_run.evidence.places()
    assert [name for name in INSIDE if not places[name]] == []
    assert any(name.endswith(".pdf") for name in places)
    # Keys and signatures: a search for nothing would find nothing.
    assert len(any_run.secrets) > 6
    assert all(len(secret) >= 10 for secret in any_run.secrets)


def test_dead_letters_are_searched_too(customer: ObservedRun) -> None:
    assert "BuildNotFoundError" in customer.evidence.places()["dead letters"]


def test_no_secret_and_no_link_is_found(any_run: ObservedRun) -> None:
    assert leaks(any_run.evidence.places(), any_run.secrets) == []


def test_a_planted_secret_is_found_in_every_place(any_run: ObservedRun) -> None:
    (secret, *_) = any_run.secrets
    for name, text in any_run.evidence.places().items():
        middle = len(text) // 2
        assert leaks({name: text[:middle] + secret + text[middle:]}, [secret]) == [f"a secret in {name}"]


@pytest.mark.parametrize(
    "planted",
    [
        "https://store.example.com/report.pdf?X-Amz-Signature=00",
        '{"query": "X-Amz-Expires=3600"}',
        "GET https://store.example.com/report.pdf?sv=2024&sig=abc",
    ],
)
def test_a_planted_link_is_found(planted: str) -> None:
    assert len(leaks({"logs": planted}, ())) == 1


@pytest.mark.parametrize("spelling", ["1234%2F0123456789abcdef", "MTIzNC8wMTIzNDU2Nzg5YWJjZGVm"])
def test_a_planted_key_is_found_in_other_spellings(spelling: str) -> None:
    assert leaks({"logs": f"… {spelling} …"}, ["1234/0123456789abcdef"]) == ["a secret in logs"]
