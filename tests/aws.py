"""The template's stores in moto, made of its own properties, so that keys and index are the real ones."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import boto3
from samtranslator.yaml_helper import yaml_parse

from courier.ledger import Table
from tests.fakes import REGION

TEMPLATE = Path(__file__).resolve().parent.parent / "template.yaml"
TABLE = "ledger"
BUCKET = "reports"


@cache
def _properties(resource: str) -> dict[str, Any]:
    properties: dict[str, Any] = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))["Resources"][resource]["Properties"]
    return properties


def make_table() -> Table:
    """Make the ledger's table, with the key schema and the index that the template gives it."""
    properties = _properties("LedgerTable")
    client = boto3.client("dynamodb", region_name=REGION)
    client.create_table(
        TableName=TABLE,
        **{
            name: properties[name]
            for name in ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
        },
    )
    return Table(TABLE, client)


def make_bucket() -> None:
    """Make a versioned bucket, as the template's is."""
    client = boto3.client("s3", region_name=REGION)
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    client.put_bucket_versioning(
        Bucket=BUCKET, VersioningConfiguration=_properties("ReportsBucket")["VersioningConfiguration"]
    )


def rows(table: Table) -> dict[str, dict[str, Any]]:
    """Read the whole table, by key."""
    client = boto3.client("dynamodb", region_name=REGION)
    return {item["build"]["S"]: dict(item) for item in client.scan(TableName=table.name)["Items"]}
