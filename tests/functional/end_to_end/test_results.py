"""What a run leaves behind, whoever ran it: proven artifacts, records, notices, and what it took."""

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

from tests.functional.end_to_end.conftest import ObservedRun, api_requests

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"
FUNCTIONS = {"discover_builds", "request_build", "poll_builds", "copy_artifact", "record_outcome"}
PREFIXES = re.compile(
    r"artifacts/[^/]+(/[^/]+)+/\d{4}/\d\d/\d\d/[^/]+/[^/]+"
    r"|records/source=[^/]+/date=\d{4}-\d\d-\d\d(/[^/]+)+\.json"
    r"|latest/[^/]+(/[^/]+)+\.json"
)


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


def test_nothing_lies_outside_the_documented_places(any_run: ObservedRun) -> None:
    assert {path.name for path in any_run.evidence.folder.iterdir()} == {
        *("bucket", "notices.jsonl", "executions.json", "usage.json", "ledger.json", "run.log")
    }
    assert [key for key in any_run.evidence.objects if not PREFIXES.fullmatch(key)] == []


def test_every_artifact_has_its_record_and_nothing_was_left_unfinished(any_run: ObservedRun) -> None:
    artifacts = {key for key in any_run.evidence.objects if key.startswith("artifacts/")}
    assert artifacts == {
        record["artifact"]["key"] for record in any_run.evidence.records.values() if record["artifact"]
    }
    assert any_run.evidence.inside.open_uploads == 0


@pytest.mark.parametrize("where", ["records", "latest"])
def test_records_keep_the_published_schema(any_run: ObservedRun, where: str) -> None:
    check = validator("record.schema.json")
    texts = [path.read_text("utf-8") for key, path in any_run.evidence.objects.items() if key.startswith(where)]
    assert texts
    for text in texts:
        check.validate(json.loads(text))


def test_notices_keep_the_published_schema(any_run: ObservedRun) -> None:
    check = validator("notice.schema.json")
    assert any_run.evidence.notices
    for notice in any_run.evidence.notices:
        check.validate(notice["message"])


def test_each_outcome_is_announced_exactly_once(any_run: ObservedRun) -> None:
    sent = Counter(notice["message"]["subject"] for notice in any_run.evidence.notices)
    assert set(sent.values()) == {1}
    ids = [notice["message"]["id"] for notice in any_run.evidence.notices]
    assert len(set(ids)) == len(ids)
    announced = {(news["record"]["key"], news["outcome"]) for news in any_run.evidence.news}
    assert announced == {(key, record["outcome"]) for key, record in any_run.evidence.records.items()}


def test_attributes_let_a_subscriber_filter(any_run: ObservedRun) -> None:
    for notice in any_run.evidence.notices:
        news = notice["message"]["data"]
        if "outcome" in news:
            assert notice["attributes"] == {
                "source": news["build"]["source"],
                "provider": news["provider"],
                "scope": news["build"]["scope"],
                "outcome": news["outcome"],
            }
        else:
            assert notice["attributes"]["health"] == news["health"]


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


def test_executions_are_short_and_good(any_run: ObservedRun) -> None:
    executions = any_run.evidence.executions
    assert len(executions) == len(any_run.evidence.news)
    for run in executions:
        assert run["status"] == "SUCCEEDED"
        assert run["state_transitions"] == len(run["states"]) <= 5
        assert 0 < run["history_events"] <= 60
        assert run["seconds"] >= 0
    outcomes = Counter(run["outcome"] for run in executions)
    assert outcomes == Counter(news["outcome"] for news in any_run.evidence.news)


def test_usage_counts_every_request_that_the_providers_saw(any_run: ObservedRun) -> None:
    usage = any_run.evidence.usage
    assert set(usage["lambda_invocations"]) == FUNCTIONS
    assert all(count > 0 for count in usage["lambda_invocations"].values())
    assert sum(usage["provider_requests"].values()) == api_requests(any_run.providers)


def test_the_ledger_has_every_build_closed(any_run: ObservedRun) -> None:
    rows = [row for row in any_run.evidence.inside.rows if not str(row["build"]).startswith("#")]
    assert {row["record_key"] for row in rows} == set(any_run.evidence.records)
    assert not any(name in row for row in rows for name in ("task_token", "kept_token", "next_poll_at", "checkpoint"))
