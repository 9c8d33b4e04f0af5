"""Faults that rewrite a JSON response: wrong values, fields, types, times and lists."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Final

from typing_extensions import override

from local.simulator.faults import Fault
from local.simulator.messages import JsonObject, JsonValue, Request, SimulatedResponse

TIME_FIELDS: Final = ("created", "started", "completed", "created_at", "completed_at", "url_expires_at", "last_built")


class JsonFault(Fault):
    """A fault that rewrites a JSON response; other responses pass unchanged."""

    @abstractmethod
    def rewrite(self, body: JsonValue) -> JsonValue:
        """Return the replacement of `body`."""

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        if response.headers.get("Content-Type") != "application/json":
            return response
        return replace(response, body=json.dumps(self.rewrite(json.loads(bytes(response.body)))).encode())


class ObjectFault(JsonFault):
    """A fault that changes every object of the response: the response itself, or those in its list."""

    @override
    def rewrite(self, body: JsonValue) -> JsonValue:
        if isinstance(body, list):
            return [self.rewrite(item) for item in body]
        return self.change(body) if isinstance(body, dict) else body

    @abstractmethod
    def change(self, item: JsonObject) -> JsonObject:
        """Return the replacement of one object."""


@dataclass(frozen=True)
class SetFields(ObjectFault):
    """Fields are set or added: a status, a wrong type, null, a wrong size, an extra field.

    With `build_id` only the object of that build changes.
    """

    fields: Mapping[str, JsonValue]
    build_id: str | None = None

    @override
    def change(self, item: JsonObject) -> JsonObject:
        if self.build_id not in {None, item.get("oid"), item.get("job_id")}:
            return item
        return {**item, **self.fields}


@dataclass(frozen=True)
class DropFields(ObjectFault):
    """Fields are missing."""

    names: tuple[str, ...]

    @override
    def change(self, item: JsonObject) -> JsonObject:
        return {name: value for name, value in item.items() if name not in self.names}


@dataclass(frozen=True)
class ShiftTimes(ObjectFault):
    """Every time is shifted, for example into the future."""

    seconds: float

    @override
    def change(self, item: JsonObject) -> JsonObject:
        return {name: self._shift(value) if name in TIME_FIELDS else value for name, value in item.items()}

    def _shift(self, value: JsonValue) -> JsonValue:
        if not isinstance(value, str):
            return value
        try:
            shifted = datetime.fromisoformat(value) + timedelta(seconds=self.seconds)
        except (ValueError, OverflowError):
            # Another fault replaced it, or the result would be outside the range of dates.
            return value
        return shifted.isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class RepeatItems(JsonFault):
    """Every item of the list is repeated `times` times."""

    times: int = 2

    @override
    def rewrite(self, body: JsonValue) -> JsonValue:
        return body * self.times if isinstance(body, list) else body


@dataclass(frozen=True)
class ReorderItems(JsonFault):
    """The list is in another order."""

    seed: int = 0

    @override
    def rewrite(self, body: JsonValue) -> JsonValue:
        if not isinstance(body, list):
            return body
        shuffled = list(body)
        Random(self.seed).shuffle(shuffled)  # noqa: S311 - order of a test list
        return shuffled


@dataclass(frozen=True)
class DropItems(JsonFault):
    """The list has only the first `keep` items, by default none."""

    keep: int = 0

    @override
    def rewrite(self, body: JsonValue) -> JsonValue:
        return body[: self.keep] if isinstance(body, list) else body


@dataclass(frozen=True)
class FloodList(JsonFault):
    """The list has `count` additional items: old ended builds, each with its own id."""

    count: int

    @override
    def rewrite(self, body: JsonValue) -> JsonValue:
        if not isinstance(body, list):
            return body
        old: list[JsonValue] = [
            {
                "oid": f"00000000-0000-4000-8000-{number:012x}",
                "buildType": "full",
                "status": "done",
                "created": "2020-01-01T00:00:00.000Z",
                "started": "2020-01-01T00:00:00.005Z",
                "completed": "2020-01-01T00:00:40.000Z",
            }
            for number in range(self.count)
        ]
        return [*old, *body]


@dataclass(frozen=True)
class WrapBody(JsonFault):
    """The response is wrapped in an object under `name`, as if the API had introduced an envelope or paging."""

    name: str = "data"

    @override
    def rewrite(self, body: JsonValue) -> JsonValue:
        return {self.name: body}
