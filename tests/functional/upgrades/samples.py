"""The frozen samples of tests/samples."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3

from courier.ledger.table import Scalar, Table, decode
from tests.support.providers import REGION

FOLDER = Path(__file__).resolve().parents[2] / "samples" / "v1.0"


def names(kind: str) -> list[str]:
    """Return the names of the samples of one kind."""
    found = sorted(path.stem for path in (FOLDER / kind).glob("*.json"))
    assert found, f"there is no sample in {kind}"
    return found


def text(kind: str, name: str) -> str:
    return (FOLDER / kind / f"{name}.json").read_text(encoding="utf-8")


def sample(kind: str, name: str) -> dict[str, Any]:
    """Return one sample as plain values, a row of the ledger as the courier reads it."""
    document: dict[str, Any] = json.loads(text(kind, name))
    return dict(decode(document)) if kind == "ledger" else document


def restore(table: Table, name: str, **changes: Scalar) -> Mapping[str, Any]:
    """Put a row into the table as an earlier version left it, with attributes changed."""
    item = json.loads(text("ledger", name))
    for attribute, value in changes.items():
        item[attribute] = {"S": value} if isinstance(value, str) else {"N": str(value)}
    boto3.client("dynamodb", region_name=REGION).put_item(TableName=table.name, Item=item)
    return sample("ledger", name)
