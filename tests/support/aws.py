"""The template's table and bucket in moto, created from the template, so that keys and index are the real ones."""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from samtranslator.yaml_helper import yaml_parse

from courier.ledger import Table
from courier.ledger.table import Change, Scalar
from tests.support.providers import REGION

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

TEMPLATE = Path(__file__).resolve().parents[2] / "template.yaml"
TABLE = "ledger"
BUCKET = "reports"


@cache
def _properties(resource: str) -> dict[str, Any]:
    properties: dict[str, Any] = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))["Resources"][resource]["Properties"]
    return properties


# Clients are slow to make, and moto also intercepts those that were made before it started.
@cache
def _dynamodb() -> DynamoDBClient:
    return boto3.client("dynamodb", region_name=REGION, aws_access_key_id="t", aws_secret_access_key="t")


@cache
def s3() -> S3Client:
    """Return a client for what a test does in the bucket itself."""
    return boto3.client("s3", region_name=REGION, aws_access_key_id="t", aws_secret_access_key="t")


class AtomicTable(Table):
    """One write at a time, as in DynamoDB; moto's writes are not atomic."""

    _writing = threading.Lock()

    def update(self, key: str, change: Change) -> dict[str, Scalar] | None:
        with self._writing:
            return super().update(key, change)


def make_table() -> Table:
    """Create the ledger's table, with the key schema and the index of the template."""
    properties = _properties("LedgerTable")
    client = _dynamodb()
    client.create_table(
        TableName=TABLE,
        **{
            name: properties[name]
            for name in ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
        },
    )
    return Table(TABLE, client)


def make_bucket() -> None:
    """Create a versioned bucket, as in the template."""
    client = s3()
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    client.put_bucket_versioning(
        Bucket=BUCKET, VersioningConfiguration=_properties("ReportsBucket")["VersioningConfiguration"]
    )


def rows(table: Table) -> dict[str, dict[str, Any]]:
    """Read the whole table, by key."""
    return {item["build"]["S"]: dict(item) for item in _dynamodb().scan(TableName=table.name)["Items"]}
