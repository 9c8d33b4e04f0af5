"""``latest`` while two versions of the courier write it."""

from __future__ import annotations

import json
from datetime import timedelta

import boto3
import pytest

from courier.outcomes.records import Record, RecordStore
from tests.functional.upgrades.samples import sample, text
from tests.support.aws import BUCKET
from tests.support.providers import REGION

KEY = "latest/red-team/acme/main/chatbot.json"


@pytest.fixture
def store(bucket: None) -> RecordStore:
    return RecordStore(BUCKET, "", boto3.client("s3", region_name=REGION))


def put(document: object) -> None:
    body = json.dumps(document).encode()
    boto3.client("s3", region_name=REGION).put_object(Bucket=BUCKET, Key=KEY, Body=body)


def newest() -> dict[str, object]:
    body = boto3.client("s3", region_name=REGION).get_object(Bucket=BUCKET, Key=KEY)["Body"].read()
    document: dict[str, object] = json.loads(body)
    return document


def another(*, days: int) -> Record:
    record = Record.model_validate_json(text("records", "delivered"))
    completed_at = record.timeline.completed_at
    assert completed_at is not None
    return record.model_copy(
        update={
            "build": record.build.model_copy(update={"build_id": "another"}),
            "timeline": record.timeline.model_copy(update={"completed_at": completed_at + timedelta(days=days)}),
        }
    )


def test_what_a_later_version_wrote_is_not_moved_back_in_time(store: RecordStore) -> None:
    put(later := {**sample("records", "delivered"), "schema_version": "1.1", "cost": 1})
    assert not store.write_latest(another(days=-1))
    assert newest() == later


def test_a_newer_build_replaces_what_a_later_version_wrote(store: RecordStore) -> None:
    put({**sample("records", "delivered"), "schema_version": "1.1", "cost": 1})
    assert store.write_latest(another(days=1))
    assert newest()["build"] == {**sample("records", "delivered")["build"], "build_id": "another"}


def test_an_unreadable_latest_is_replaced(store: RecordStore) -> None:
    put("a note")
    assert store.write_latest(another(days=-1))
