"""The results of a run of the embedded AWS, as plain data."""

import json
import os
import tempfile
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from local.embedded.moto.step_functions import RawExecution

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

_CHUNK_BYTES = 1024 * 1024


class UnsafeKeyError(Exception):
    """An S3 key that would leave the folder it is mirrored into."""


@dataclass(frozen=True, kw_only=True)
class ExecutionReport:
    """One execution of a state machine.

    ``states``
        The states that it entered, in order; a retried state counts each time it is entered, as AWS bills it.
    ``input``, ``output``
        JSON text; output only if it succeeded.
    ``seconds``
        From start to end; None while it runs.
    """

    name: str
    arn: str
    status: str
    input: str
    output: str | None
    error: str | None
    cause: str | None
    states: tuple[str, ...]
    history_events: int
    started_at: datetime
    stopped_at: datetime | None
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class ReceivedNotice:
    """One SNS message, as a queue receives it that is subscribed without raw delivery.

    ``message``
        The published text (of a JSON-structured message, the part for this protocol).
    ``attributes``
        Message attributes: values by name.
    ``envelope``
        The whole body, as text.
    """

    topic_arn: str
    message_id: str
    subject: str | None
    message: str
    attributes: dict[str, str]
    envelope: str


class Subscription:
    """A queue that is subscribed to a topic, as a consumer's queue would be."""

    def __init__(self, sqs: "SQSClient", queue_url: str) -> None:
        self._sqs = sqs
        self._queue_url = queue_url

    def notices(self) -> list[ReceivedNotice]:
        """Receive and delete the messages that have arrived since the last call."""
        return [parse_envelope(body) for body in drain_queue(self._sqs, self._queue_url)]


def report_execution(run: RawExecution) -> ExecutionReport:
    """Return the report of one execution."""
    described = run.description
    started = datetime.fromisoformat(described["startDate"])
    stopped = datetime.fromisoformat(described["stopDate"]) if described.get("stopDate") else None
    return ExecutionReport(
        name=described["name"],
        arn=described["executionArn"],
        status=described["status"],
        input=described["input"],
        output=described.get("output"),
        error=described.get("error"),
        cause=described.get("cause"),
        states=tuple(
            event["stateEnteredEventDetails"]["name"] for event in run.history if event["type"].endswith("StateEntered")
        ),
        history_events=len(run.history),
        started_at=started,
        stopped_at=stopped,
        seconds=(stopped - started).total_seconds() if stopped else None,
    )


def drain_queue(sqs: "SQSClient", queue_url: str) -> list[str]:
    """Receive and delete all messages of a queue, and return their bodies."""
    bodies: list[str] = []
    # Each round receives at least one message of a queue that has any, so this ends when the queue is empty.
    while messages := sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages", []):
        bodies += [message["Body"] for message in messages]
        receipts = enumerate(message["ReceiptHandle"] for message in messages)
        sqs.delete_message_batch(
            QueueUrl=queue_url, Entries=[{"Id": str(number), "ReceiptHandle": receipt} for number, receipt in receipts]
        )
    return bodies


def parse_envelope(envelope: str) -> ReceivedNotice:
    """Parse the message that SNS sends to a queue without raw delivery."""
    fields = json.loads(envelope)
    attributes = fields.get("MessageAttributes", {})
    return ReceivedNotice(
        topic_arn=fields["TopicArn"],
        message_id=fields["MessageId"],
        subject=fields.get("Subject"),
        message=fields["Message"],
        attributes={name: attribute["Value"] for name, attribute in attributes.items()},
        envelope=envelope,
    )


@dataclass(frozen=True, kw_only=True)
class MirroredObject:
    """The properties of an object whose bytes lie in a folder."""

    etag: str
    content_type: str
    content_encoding: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    version_id: str | None = None


def mirror_bucket(
    s3: "S3Client", bucket: str, folder: Path, known: MutableMapping[str, MirroredObject] | None = None
) -> list[Path]:
    """Copy the objects of a bucket into a folder, under their keys, and return the written files.

    ``known`` are the objects that lie there already, by key: those that have not changed are skipped, the others are
    added. A file is complete or absent, whatever interrupts the copy.

    Raises
    ------
    UnsafeKeyError
        A key that would leave the folder, or that cannot be a file's name; nothing of the bucket is copied.
    """
    known = {} if known is None else known
    etags = {
        entry["Key"]: entry.get("ETag", "")
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        for entry in page.get("Contents", [])
    }
    targets = {key: folder / _safe_path(key) for key in etags}
    changed = {key: target for key, target in targets.items() if key not in known or known[key].etag != etags[key]}
    for key, target in changed.items():
        known[key] = _mirror_object(s3, bucket, key, target)
    return list(changed.values())


def _mirror_object(s3: "S3Client", bucket: str, key: str, target: Path) -> MirroredObject:
    target.parent.mkdir(parents=True, exist_ok=True)
    response = s3.get_object(Bucket=bucket, Key=key)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".", delete=False) as file:
        for chunk in response["Body"].iter_chunks(_CHUNK_BYTES):
            file.write(chunk)
    # Temporary files are private, results are not.
    Path(file.name).chmod(0o644)
    os.replace(file.name, target)  # noqa: PTH105 - the same, and says that it replaces
    return MirroredObject(
        etag=response["ETag"],
        content_type=response["ContentType"],
        content_encoding=response.get("ContentEncoding"),
        metadata=response.get("Metadata", {}),
        version_id=response.get("VersionId"),
    )


def scan_table(dynamodb: "DynamoDBClient", table: str) -> list[dict[str, object]]:
    """Return all rows of a table as plain values, sorted by their keys' text."""
    # Imported here: only this function needs boto3's type mapping, whose stubs are untyped.
    from boto3.dynamodb.types import TypeDeserializer  # noqa: PLC0415

    plain = TypeDeserializer().deserialize
    rows = [
        {name: plain(value) for name, value in item.items()}
        for page in dynamodb.get_paginator("scan").paginate(TableName=table)
        for item in page["Items"]
    ]
    return sorted(rows, key=repr)


def _safe_path(key: str) -> PurePosixPath:
    parts = key.split("/")
    if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
        raise UnsafeKeyError(f"the key {key!r} is not a path below a folder")
    return PurePosixPath(*parts)
