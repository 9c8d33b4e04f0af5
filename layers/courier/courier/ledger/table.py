"""The ledger's table: the encoding of attributes, and the few calls that all rows share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from courier.config.environment import DUE_INDEX

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, UniversalAttributeValueTypeDef

Scalar = str | int | float | bool
# BatchGetItem takes at most 100 keys a call.
BATCH_KEYS = 100


def encode(value: Scalar) -> UniversalAttributeValueTypeDef:
    """Encode one value for DynamoDB."""
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, str):
        return {"S": value}
    return {"N": repr(value)}


def decode(item: Mapping[str, AttributeValueTypeDef]) -> dict[str, Scalar]:
    """Decode the attributes of a row; types that the courier never writes are left out."""
    row: dict[str, Scalar] = {}
    for name, value in item.items():
        if "S" in value:
            row[name] = value["S"]
        elif "N" in value:
            row[name] = _number(value["N"])
        elif "BOOL" in value:
            row[name] = value["BOOL"]
    return row


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


@dataclass(frozen=True, kw_only=True)
class Change:
    """One conditional write to one row; a value of None leaves the attribute unchanged.

    Attributes
    ----------
    set, keep, add
        Attributes to write; to write only where there is none; to increment.
    remove
        Attributes to remove.
    condition
        An expression over ``#attribute`` and ``:placeholder`` names; ``values`` fills the latter.
    returns
        Which row `Table.update` returns: as it is afterwards, or as it was.
    """

    set: Mapping[str, Scalar | None] = field(default_factory=dict)
    keep: Mapping[str, Scalar | None] = field(default_factory=dict)
    add: Mapping[str, int] = field(default_factory=dict)
    remove: Sequence[str] = ()
    condition: str | None = None
    values: Mapping[str, Scalar] = field(default_factory=dict)
    returns: Literal["ALL_NEW", "ALL_OLD"] = "ALL_NEW"


class Table:
    """The one DynamoDB table; key ``build``, sparse index ``due``."""

    def __init__(self, name: str, client: DynamoDBClient) -> None:
        self.name = name
        self._client = client

    def update(self, key: str, change: Change) -> dict[str, Scalar] | None:
        """Write, and return the whole row, see `Change.returns`; None when the condition does not hold."""
        names: dict[str, str] = {}
        values: dict[str, UniversalAttributeValueTypeDef] = {
            f":{name}": encode(value) for name, value in change.values.items()
        }

        def named(attribute: str) -> str:
            names[f"#{attribute}"] = attribute
            return f"#{attribute}"

        def valued(attribute: str, value: Scalar) -> str:
            values[f":set_{attribute}"] = encode(value)
            return f":set_{attribute}"

        sets = [f"{named(a)} = {valued(a, v)}" for a, v in change.set.items() if v is not None]
        sets += [
            f"{named(a)} = if_not_exists({named(a)}, {valued(a, v)})" for a, v in change.keep.items() if v is not None
        ]
        clauses = [
            ("SET", sets),
            ("ADD", [f"{named(a)} {valued(a, v)}" for a, v in change.add.items()]),
            ("REMOVE", [named(a) for a in change.remove]),
        ]
        arguments: dict[str, Any] = {
            "TableName": self.name,
            "Key": {"build": {"S": key}},
            "UpdateExpression": " ".join(f"{word} {', '.join(parts)}" for word, parts in clauses if parts),
            "ReturnValues": change.returns,
        }
        if change.condition:
            for word in change.condition.replace("(", " ").replace(")", " ").replace(",", " ").split():
                if word.startswith("#"):
                    named(word[1:])
            arguments["ConditionExpression"] = change.condition
        if names:
            arguments["ExpressionAttributeNames"] = names
        if values:
            arguments["ExpressionAttributeValues"] = values
        try:
            response = self._client.update_item(**arguments)
        except self._client.exceptions.ConditionalCheckFailedException:
            return None
        return decode(response.get("Attributes", {}))

    def get(self, key: str) -> dict[str, Scalar] | None:
        """Read one row, consistently."""
        response = self._client.get_item(TableName=self.name, Key={"build": {"S": key}}, ConsistentRead=True)
        item = response.get("Item")
        return None if item is None else decode(item)

    def delete(self, key: str) -> None:
        """Delete one row; harmless when there is none."""
        self._client.delete_item(TableName=self.name, Key={"build": {"S": key}})

    def get_many(self, keys: Sequence[str]) -> Iterator[dict[str, Scalar]]:
        """Read the rows that exist, in no particular order."""
        for start in range(0, len(keys), BATCH_KEYS):
            wanted: list[dict[str, UniversalAttributeValueTypeDef]] = [
                {"build": {"S": key}} for key in keys[start : start + BATCH_KEYS]
            ]
            # Each response holds at least one row or an error (API reference of BatchGetItem), so the loop ends.
            while wanted:
                response = self._client.batch_get_item(RequestItems={self.name: {"Keys": wanted}})
                for item in response["Responses"].get(self.name, []):
                    yield decode(item)
                left = response["UnprocessedKeys"].get(self.name)
                wanted = list(left["Keys"]) if left else []  # type: ignore[arg-type]  # the stubs distinguish input from output types

    def due(self, source: str, *, until: str, limit: int) -> list[dict[str, Scalar]]:
        """Read the index rows of one source that are due by ``until``, the oldest first."""
        arguments: dict[str, Any] = {
            "TableName": self.name,
            "IndexName": DUE_INDEX,
            "KeyConditionExpression": "due_source = :source AND next_poll_at <= :until",
            "ExpressionAttributeValues": {":source": {"S": source}, ":until": {"S": until}},
        }
        rows: list[dict[str, Scalar]] = []
        # A page ends after 1 MB; each one has rows or is the last.
        while len(rows) < limit:
            response = self._client.query(**arguments, Limit=limit - len(rows))
            rows += [decode(item) for item in response["Items"]]
            if "LastEvaluatedKey" not in response:
                break
            arguments["ExclusiveStartKey"] = response["LastEvaluatedKey"]
        return rows
