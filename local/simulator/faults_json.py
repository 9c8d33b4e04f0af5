"""Faults that rewrite a JSON response: wrong values, fields, types, times and lists."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final, Literal
from urllib.parse import parse_qs

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
class WriteTimes(ObjectFault):
    """Times are written in another form.

    ``text`` is ``2026-01-05 08:36:21 UTC``; ``epoch`` and ``epoch_ms`` are numbers; ``local`` has no zone and is
    ``offset_hours`` ahead of UTC; ``words`` is no time at all.
    """

    form: Literal["text", "epoch", "epoch_ms", "local", "words"]
    offset_hours: float = 0.0

    @override
    def change(self, item: JsonObject) -> JsonObject:
        return {name: self._write(value) if name in TIME_FIELDS else value for name, value in item.items()}

    def _write(self, value: JsonValue) -> JsonValue:
        try:
            instant = datetime.fromisoformat(value) if isinstance(value, str) else None
        except ValueError:
            instant = None
        if instant is None:
            return value
        match self.form:
            case "text":
                return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            case "epoch":
                return int(instant.timestamp())
            case "epoch_ms":
                return int(instant.timestamp() * 1000)
            case "local":
                local = instant.astimezone(UTC).replace(tzinfo=None) + timedelta(hours=self.offset_hours)
                return local.isoformat(timespec="seconds")
            case "words":
                return "a while ago"


@dataclass(frozen=True)
class CapitalIds(ObjectFault):
    """Ids are written in capitals."""

    @override
    def change(self, item: JsonObject) -> JsonObject:
        return {
            name: value.upper() if name in {"oid", "job_id"} and isinstance(value, str) else value
            for name, value in item.items()
        }


@dataclass(frozen=True)
class AddText(Fault):
    """Every object begins with ``text``, written as it is: a NaN, a name that stands twice, another charset.

    The body is written in ``charset``, and the Content-Type declares it.
    """

    text: str = '"score": NaN, "tags": 1, "tags": 2, "owner": "Jos\u00e9", '
    charset: str = "iso-8859-1"

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        if response.headers.get("Content-Type") != "application/json":
            return response
        body = bytes(response.body).decode().replace("{", "{" + self.text)
        headers = {**response.headers, "Content-Type": f"application/json; charset={self.charset}"}
        return replace(response, headers=headers, body=body.encode(self.charset, "replace"))


@dataclass(frozen=True)
class Paginate(Fault):
    """A list comes in pages of ``page_items``, with X-Total-Count, and with Link unless ``linked`` is false."""

    page_items: int = 2
    linked: bool = True

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        body = json.loads(bytes(response.body)) if response.headers.get("Content-Type") == "application/json" else None
        if not isinstance(body, list):
            return response
        page = int(parse_qs(request.query).get("page", ["1"])[0])
        end = page * self.page_items
        headers = {**response.headers, "X-Total-Count": str(len(body))}
        if self.linked and end < len(body):
            headers["Link"] = f'<{request.path}?page={page + 1}>; rel="next"'
        return replace(response, headers=headers, body=json.dumps(body[end - self.page_items : end]).encode())


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
