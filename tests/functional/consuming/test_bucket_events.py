"""The documented EventBridge patterns, over the events of a bucket into which the courier's code writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.functional.consuming.deliveries import deliver_all
from tests.functional.consuming.document import example
from tests.functional.consuming.queues import Queue
from tests.functional.consuming.test_subscribers import handler_of, resources
from tests.support.aws import BUCKET
from tests.support.providers import REGION


@pytest.fixture
def queue(bucket: None) -> Queue:
    boto3.client("s3", region_name=REGION).put_bucket_notification_configuration(
        Bucket=BUCKET, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    return Queue.make("events")


def keys_that_pass(queue: Queue, pattern: dict[str, Any]) -> list[str]:
    queue.follow(pattern)
    deliver_all()
    return sorted(json.loads(body)["detail"]["object"]["key"] for body in queue.bodies())


RECORDS_OF_RED_TEAM = [
    "records/source=red-team/date=2026-04-15/acme/main/chatbot/j1.json",
    "records/source=red-team/date=2026-04-15/acme/main/chatbot/j3.json",
    "records/source=red-team/date=2026-04-16/acme/lab/agents/j2.json",
    "records/source=red-team/date=2026-04-16/acme/main/chatbot/j4.json",
]


def test_records_of_one_source(queue: Queue) -> None:
    pattern = json.loads(example("records of one source").replace("BUCKET", BUCKET))
    assert keys_that_pass(queue, pattern) == RECORDS_OF_RED_TEAM


def test_reports_of_one_project(queue: Queue) -> None:
    pattern = json.loads(example("reports of one project").replace("BUCKET", BUCKET))
    assert keys_that_pass(queue, pattern) == ["artifacts/red-team/acme/main/chatbot/2026/04/15/j1/j1.pdf"]


def test_another_bucket_does_not_match(queue: Queue) -> None:
    pattern = json.loads(example("records of one source").replace("BUCKET", "another"))
    assert keys_that_pass(queue, pattern) == []


def test_the_rule_of_the_template(queue: Queue, tmp_path: Path) -> None:
    rule = resources("bucket events template", tmp_path)["ReadRecordFunctionWritten"]
    pattern = json.loads(json.dumps(rule["EventPattern"]).replace('{"Ref": "BucketName"}', f'"{BUCKET}"'))
    assert keys_that_pass(queue, pattern) == RECORDS_OF_RED_TEAM


def test_the_function_reads_the_event_of_the_rule(queue: Queue) -> None:
    queue.follow(json.loads(example("records of one source").replace("BUCKET", BUCKET)))
    deliver_all()
    handler = handler_of("read_record/app.py")
    assert {handler(json.loads(body), None)["outcome"] for body in queue.bodies()} == {
        "delivered",
        "failed",
        "undeliverable",
    }
