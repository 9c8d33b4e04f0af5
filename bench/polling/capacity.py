"""DynamoDB units of every request, counted at the table of the embedded AWS by the rules of the developer guide.

* A write costs a unit for each started KB of the larger of the item before and after; one that fails its
  condition costs the same, by the existing item. ("DynamoDB on-demand capacity mode", "Condition expressions")
* A secondary index costs extra: one write if an entry appears, disappears or changes, and two if its key changes,
  because one entry is deleted and another one put. It costs nothing if no projected attribute changed.
  ("Write capacity for global secondary indexes")
* A strongly consistent read costs a unit for each started 4 KB, an eventually consistent one half of that; a missing
  item costs the minimum. A query is rounded up once over all its entries, a BatchGetItem per item.
  ("Read consistency", "Read operations")
* Sizes: names and strings in UTF-8 bytes, a number as half its digits plus one byte, a boolean as one byte.
  ("DynamoDB item sizes and formats")
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import ceil
from typing import Any
from unittest.mock import patch

from moto.dynamodb.responses import DynamoHandler

from local.embedded.server import OPERATOR_ACCESS_KEY

KB = 1024
READ_BYTES = 4 * KB

# moto's task tokens have 36 characters. AWS's have several hundred: up to 2,048 ("SendTaskSuccess", API reference),
# observed ones stay below 1,000. The size of a row is computed with this length.
TOKEN_BYTES = 1_000
_TOKEN = "task_token"  # noqa: S105 - the name of an attribute

Item = Mapping[str, Mapping[str, Any]]


def item_bytes(item: Item) -> int:
    """Return the size of an item in DynamoDB's JSON, with a task token as long as AWS's."""
    return sum(len(name.encode()) + _value_bytes(name, value) for name, value in item.items())


def _value_bytes(name: str, value: Mapping[str, Any]) -> int:
    if name == _TOKEN:
        return TOKEN_BYTES
    if "S" in value:
        return len(str(value["S"]).encode())
    if "N" in value:
        return ceil(len(str(value["N"]).lstrip("-0.").replace(".", "")) / 2) + 1
    if "BOOL" in value:
        return 1
    raise ValueError(f"{name}: the courier writes no values of type {next(iter(value))}")


def write_units(size_bytes: int) -> int:
    """Return the units of one write of this size."""
    return max(1, ceil(size_bytes / KB))


class Index:
    """A secondary index: its keys and projected attributes."""

    def __init__(self, description: Mapping[str, Any], table_keys: list[str]) -> None:
        self.keys = [key["AttributeName"] for key in description["KeySchema"]]
        self._attributes = {*self.keys, *table_keys, *description["Projection"].get("NonKeyAttributes", ())}

    def entry(self, item: Item | None) -> Item | None:
        """Return the index entry of an item, or None if it has none."""
        if item is None or not all(key in item for key in self.keys):
            return None
        return {name: value for name, value in item.items() if name in self._attributes}

    def units(self, before: Item | None, after: Item | None) -> int:
        """Return the units that a change of an item costs in this index."""
        old, new = self.entry(before), self.entry(after)
        if old == new:
            return 0
        if old is not None and new is not None and all(old[key] == new[key] for key in self.keys):
            return write_units(max(item_bytes(old), item_bytes(new)))
        return sum(write_units(item_bytes(entry)) for entry in (old, new) if entry is not None)


class CapacityMeter:
    """Units and requests so far: `requests` by operation, units by operation or by the kind of row."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._keys = [key["AttributeName"] for key in table["KeySchema"]]
        self._indexes = [Index(index, self._keys) for index in table.get("GlobalSecondaryIndexes", ())]
        self._lock = threading.Lock()
        self.requests: Counter[str] = Counter()
        self.write_units: Counter[str] = Counter()
        self.read_units: dict[str, float] = defaultdict(float)

    def count_write(self, before: Item | None, after: Item | None, *, refused: bool) -> None:
        """Count one write."""
        units = write_units(max(item_bytes(item) if item else 0 for item in (before, after)))
        in_indexes = 0 if refused else sum(index.units(before, after) for index in self._indexes)
        kind = _kind(str((after or before or {}).get(self._keys[0], {}).get("S", "")))
        with self._lock:
            self.requests["write"] += 1
            self.write_units[f"{kind}, refused" if refused else kind] += units
            self.write_units["index"] += in_indexes

    def count_read(self, operation: str, body: Mapping[str, Any], response: Mapping[str, Any]) -> None:
        """Count one read."""
        with self._lock:
            self.requests[operation] += 1
            self.read_units[operation] += _read_units(operation, body, response)


def _kind(key: str) -> str:
    return key.partition("/")[0] if key.startswith("#") else "build"


def _read_units(operation: str, body: Mapping[str, Any], response: Mapping[str, Any]) -> float:
    if operation == "batch_get":
        requested = sum(len(table["Keys"]) for table in body["RequestItems"].values())
        found = [item for items in response["Responses"].values() for item in items]
        return (sum(ceil(item_bytes(item) / READ_BYTES) for item in found) + requested - len(found)) / 2
    # A count returns no items; the only one reads a single item, which is smaller than a block.
    items = (
        response.get("Items", ())
        if operation in {"query", "scan"}
        else [response["Item"]]
        if response.get("Item")
        else []
    )
    blocks = max(1, ceil(sum(map(item_bytes, items)) / READ_BYTES))
    return blocks if body.get("ConsistentRead") else blocks / 2


@contextmanager
def metered(table: Mapping[str, Any]) -> Iterator[CapacityMeter]:
    """Count the requests of functions and state machines to the tables; the operator's reads are not counted.

    This patches moto, because only moto sees an item before and after a change by any caller.
    """
    meter = CapacityMeter(table)
    with patch.multiple(
        DynamoHandler,
        update_item=_writing(DynamoHandler.update_item, meter),
        delete_item=_writing(DynamoHandler.delete_item, meter),
        get_item=_reading("get", DynamoHandler.get_item, meter),
        batch_get_item=_reading("batch_get", DynamoHandler.batch_get_item, meter),
        query=_reading("query", DynamoHandler.query, meter),
        scan=_reading("scan", DynamoHandler.scan, meter),
    ):
        yield meter


def _writing(original: Callable[[DynamoHandler], Any], meter: CapacityMeter) -> Callable[[DynamoHandler], Any]:
    def write(handler: DynamoHandler) -> Any:  # noqa: ANN401 - moto's own
        before = _stored(handler)
        refused = True
        try:
            response = original(handler)
            refused = False
        finally:
            meter.count_write(before, before if refused else _stored(handler), refused=refused)
        return response

    return write


def _stored(handler: DynamoHandler) -> Item | None:
    item = handler.dynamodb_backend.get_item(handler.body["TableName"], handler.body["Key"])
    return None if item is None else dict(item.to_json()["Attributes"])


def _reading(
    operation: str, original: Callable[[DynamoHandler], Any], meter: CapacityMeter
) -> Callable[[DynamoHandler], Any]:
    def read(handler: DynamoHandler) -> Any:  # noqa: ANN401 - moto's own
        response = original(handler)
        if f"Credential={OPERATOR_ACCESS_KEY}/" not in handler.headers["Authorization"]:
            meter.count_read(operation, handler.body, response.result)
        return response

    return read
