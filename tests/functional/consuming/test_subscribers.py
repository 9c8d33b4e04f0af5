"""The documented SAM templates and the functions in them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from jsonschema import Draft202012Validator

from local.sam.expansion import expand
from tests.functional.consuming.deliveries import Delivery, publish, source_notices
from tests.functional.consuming.document import example
from tests.functional.consuming.queues import Queue
from tests.support.aws import BUCKET
from tests.support.providers import REGION

Handler = Callable[[dict[str, Any], object], Any]
TEMPLATES = ("subscribers template", "bucket events template", "chat template")
PARAMETERS = {"TopicArn": "arn:aws:sns:eu-central-1:123456789012:outcomes", "BucketName": BUCKET}


def written(template: str, folder: Path) -> Path:
    """Write a documented template to a folder, with the folders of its functions."""
    path = folder / "template.yaml"
    path.write_text(example(template), encoding="utf-8")
    for function in ("open_ticket", "check_report", "read_record", "notify_chat"):
        (folder / function).mkdir()
    return path


def resources(template: str, folder: Path) -> dict[str, dict[str, Any]]:
    path = written(template, folder)
    declared = [name for name in PARAMETERS if f"  {name}:\n" in path.read_text(encoding="utf-8")]
    expanded = expand(path, parameters={name: PARAMETERS[name] for name in declared})
    return {name: resource["Properties"] for name, resource in expanded["Resources"].items()}


def handler_of(name: str) -> Handler:
    """Import the module of a documented function, as Lambda does, and return its handler."""
    module: dict[str, Any] = {"__name__": "app"}
    exec(compile(example(name), name, "exec"), module)  # noqa: S102 - the text is our own document
    handler: Handler = module["handler"]
    return handler


@pytest.mark.parametrize("template", TEMPLATES)
def test_cfn_lint_accepts_the_template(template: str, tmp_path: Path) -> None:
    path = written(template, tmp_path)
    lint = [str(Path(sys.executable).with_name("cfn-lint")), "--non-zero-exit-code", "informational", str(path)]
    result = subprocess.run(lint, capture_output=True, text=True, check=False)  # noqa: S603 - both are ours
    assert (result.returncode, result.stdout) == (0, "")


def test_the_queue_gets_the_failures_of_its_source(topic: str, deliveries: list[Delivery], tmp_path: Path) -> None:
    subscription = resources("subscribers template", tmp_path)["FailuresSubscription"]
    queue = Queue.make("failures")
    queue.subscribe(topic, subscription["FilterPolicy"], raw=subscription["RawMessageDelivery"])
    for delivery in deliveries:
        publish(topic, delivery.publication)
    assert [json.loads(body)["data"]["outcome"] for body in queue.bodies()] == ["failed", "timed_out", "lost"]


def test_the_function_gets_the_delivered_reports(topic: str, deliveries: list[Delivery], tmp_path: Path) -> None:
    subscription = resources("subscribers template", tmp_path)["CheckReportFunctionDelivered"]
    assert subscription["Protocol"] == "lambda"
    queue = Queue.make("in-place-of-the-function")
    queue.subscribe(topic, subscription["FilterPolicy"])
    for delivery in deliveries:
        publish(topic, delivery.publication)
    assert {json.loads(body)["data"]["build"]["build_id"] for body in queue.bodies()} == {"j1", "j2"}


@pytest.fixture
def tickets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict[str, Any]]]:
    made = resources("subscribers template", tmp_path)["Tickets"]
    dynamodb = boto3.client("dynamodb", region_name=REGION)
    dynamodb.create_table(TableName="tickets", **made)
    monkeypatch.setenv("TICKETS", "tickets")
    return lambda: [dict(item) for item in dynamodb.scan(TableName="tickets")["Items"]]


def message(number: int, body: str) -> dict[str, str]:
    return {"messageId": f"message-{number}", "body": body}


def test_a_repeated_notice_opens_one_ticket(
    deliveries: list[Delivery], tickets: Callable[[], list[dict[str, Any]]]
) -> None:
    text = deliveries[0].publication.message["default"]
    batch = {"Records": [message(1, text), message(2, text)]}
    handler = handler_of("open_ticket/app.py")
    assert [handler(batch, None), handler(batch, None)] == [{"batchItemFailures": []}] * 2
    [ticket] = tickets()
    assert ticket["build"]["S"] == str(deliveries[0].record.build)
    assert ticket["advice"]["S"] == "Build from less data, or ask for a higher limit."


def test_every_outcome_makes_a_ticket_of_its_own(
    deliveries: list[Delivery], tickets: Callable[[], list[dict[str, Any]]]
) -> None:
    batch = {"Records": [message(n, d.publication.message["default"]) for n, d in enumerate(deliveries)]}
    assert handler_of("open_ticket/app.py")(batch, None) == {"batchItemFailures": []}
    assert len(tickets()) == len(deliveries)


def test_only_unreadable_messages_are_reported_as_failed(
    deliveries: list[Delivery], tickets: Callable[[], list[dict[str, Any]]]
) -> None:
    batch = {"Records": [message(1, "no JSON"), message(2, deliveries[0].publication.message["default"])]}
    failed = handler_of("open_ticket/app.py")(batch, None)
    assert failed == {"batchItemFailures": [{"itemIdentifier": "message-1"}]}
    assert len(tickets()) == 1


def announcement(delivery: Delivery) -> dict[str, Any]:
    return {"Records": [{"Sns": {"Message": delivery.publication.message["default"]}}]}


def test_a_report_is_verified_even_if_the_key_has_a_newer_version(deliveries: list[Delivery]) -> None:
    delivered = next(each for each in deliveries if each.record.artifact)
    assert delivered.record.artifact is not None
    s3 = boto3.client("s3", region_name=REGION)
    s3.put_object(Bucket=BUCKET, Key=delivered.record.artifact.key, Body=b"something else")
    handler_of("check_report/app.py")(announcement(delivered), None)


def test_a_report_that_differs_from_its_notice_is_detected(deliveries: list[Delivery]) -> None:
    delivered = next(each for each in deliveries if each.record.artifact)
    assert delivered.record.artifact is not None
    s3 = boto3.client("s3", region_name=REGION)
    s3.put_object(Bucket=BUCKET, Key=delivered.record.artifact.key, Body=b"something else")
    message = delivered.publication.message["default"].replace(f'"{delivered.record.artifact.version_id}"', "null")
    with pytest.raises(ValueError, match="is not what was announced"):
        handler_of("check_report/app.py")({"Records": [{"Sns": {"Message": message}}]}, None)


def test_the_function_reads_the_record_of_the_event(deliveries: list[Delivery]) -> None:
    event = {"detail": {"bucket": {"name": BUCKET}, "object": {"key": deliveries[0].key}}}
    response = handler_of("read_record/app.py")(event, None)
    assert response == {"build": deliveries[0].record.build.build_id, "outcome": "failed"}


# The fields of https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html, "Event schema".
CUSTOM_NOTIFICATION = {
    "type": "object",
    "required": ["version", "source", "content"],
    "additionalProperties": False,
    "properties": {
        "version": {"const": "1.0"},
        "source": {"const": "custom"},
        "id": {"type": "string"},
        "content": {
            "type": "object",
            "required": ["description"],
            "additionalProperties": False,
            "properties": {
                "textType": {"const": "client-markdown"},
                "title": {"type": "string"},
                "description": {"type": "string"},
                "nextSteps": {"type": "array", "items": {"type": "string"}},
                "keywords": {"type": "array", "items": {"type": "string"}},
            },
        },
        "metadata": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "threadId": {"type": "string"},
                "summary": {"type": "string"},
                "eventType": {"type": "string"},
                "relatedResources": {"type": "array", "items": {"type": "string"}},
                "additionalContext": {"type": "object"},
            },
        },
    },
}


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Queue:
    """What the topic of a chat channel receives."""
    topic = boto3.client("sns", region_name=REGION).create_topic(Name="chat")["TopicArn"]
    monkeypatch.setenv("CHAT_TOPIC", topic)
    queue = Queue.make("chat")
    queue.subscribe(topic, {})
    return queue


def test_a_channel_gets_every_notice_that_needs_attention(
    topic: str, deliveries: list[Delivery], chat: Queue, tmp_path: Path
) -> None:
    subscribed = resources("chat template", tmp_path)
    queues = []
    for name in ("NotifyChatFunctionFailure", "NotifyChatFunctionHealth"):
        queues.append(Queue.make(name))
        queues[-1].subscribe(topic, subscribed[name]["FilterPolicy"], raw=False)
    for publication in (*(each.publication for each in deliveries), *source_notices()):
        publish(topic, publication)
    handler = handler_of("notify_chat/app.py")
    envelopes = [json.loads(body) for queue in queues for body in queue.bodies()]
    handler({"Records": [{"Sns": {"Message": envelope["Message"]}} for envelope in envelopes]}, None)
    posted = [json.loads(body) for body in chat.bodies()]
    for notification in posted:
        Draft202012Validator(CUSTOM_NOTIFICATION).validate(notification)
    kinds = {notification["metadata"]["eventType"].removeprefix("build-courier.") for notification in posted}
    assert kinds == {
        *(f"build.{outcome}" for outcome in ("failed", "timed_out", "lost", "undeliverable")),
        *("source.unhealthy", "source.recovered"),
    }
    failed = next(each for each in posted if each["metadata"]["eventType"] == "build-courier.build.failed")
    assert failed["content"]["nextSteps"][0] == "Build from less data, or ask for a higher limit."
    assert failed["content"]["nextSteps"][1].startswith("courier show ")


def test_words_of_a_provider_are_no_mention_and_no_link_in_a_chat(deliveries: list[Delivery], chat: Queue) -> None:
    document = json.loads(deliveries[0].publication.message["default"])
    document["data"]["problem"]["message"] = (
        "<!channel> @here <https://evil.example|the report> [now](https://evil.example)"
    )
    handler_of("notify_chat/app.py")({"Records": [{"Sns": {"Message": json.dumps(document)}}]}, None)
    [posted] = [json.loads(body) for body in chat.bodies()]
    assert posted["content"]["description"] == (
        "(!channel) @ here (https://evil.example|the report) [now] (https://evil.example)"
    )
