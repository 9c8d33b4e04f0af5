"""Queues as targets of subscriptions and rules."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import boto3

from local.embedded.results import drain_queue
from tests.support.providers import REGION

JsonObject = dict[str, object]


@dataclass(frozen=True)
class Queue:
    """An SQS queue."""

    url: str
    arn: str

    @classmethod
    def make(cls, name: str) -> Queue:
        sqs = boto3.client("sqs", region_name=REGION)
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        return cls(url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"])

    def subscribe(self, topic: str, filter_policy: object, *, raw: bool = True) -> None:
        attributes = {"FilterPolicy": json.dumps(filter_policy), "RawMessageDelivery": json.dumps(raw)}
        boto3.client("sns", region_name=REGION).subscribe(
            TopicArn=topic, Protocol="sqs", Endpoint=self.arn, Attributes=attributes
        )

    def follow(self, pattern: Mapping[str, object]) -> None:
        events = boto3.client("events", region_name=REGION)
        events.put_rule(Name="rule", EventPattern=json.dumps(pattern))
        events.put_targets(Rule="rule", Targets=[{"Id": "queue", "Arn": self.arn}])

    def bodies(self) -> list[str]:
        return drain_queue(boto3.client("sqs", region_name=REGION), self.url)
