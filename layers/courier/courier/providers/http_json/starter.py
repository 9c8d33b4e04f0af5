"""How a build is started: a dry run, the start itself with its idempotency key, and a second step that names the id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

from courier.errors import EmptyReportError, RequestUncertainError, SourceError, SourceRejectedError
from courier.observability.logger import logger
from courier.observability.redaction import redact
from courier.providers.http_json.expressions import scalar_text

if TYPE_CHECKING:
    from pydantic import JsonValue

    from courier.providers.http_client import ApiClient
    from courier.providers.http_json.build_reader import BuildReader
    from courier.providers.http_json.caller import Caller, Reply
    from courier.providers.http_json.calls import Start
    from courier.providers.http_json.definition import Definition
    from courier.providers.http_json.reader import Reader


class Starter:
    """Starts the builds of one source."""

    def __init__(
        self, definition: Definition, api: ApiClient, caller: Caller, reader: Reader, builds: BuildReader
    ) -> None:
        self._definition = definition
        self._api = api
        self._caller = caller
        self._reader = reader
        self._builds = builds

    def start(self, start: Start, values: Mapping[str, JsonValue], *, once: str) -> tuple[str, Reply]:
        """Start a build; return its id, and the response.

        Raises
        ------
        EmptyReportError, RequestUncertainError, SourceError
            As with `courier.providers.base.Provider.start_build`.
        """
        self._preflight(values)
        place = start.once if once else None
        # The same request always has the same key, also when another invocation repeats it.
        key = str(uuid5(NAMESPACE_URL, f"{self._api.source}/{once}"))
        reply = self._caller.send(
            "start",
            start,
            values,
            kind="start_build",
            starts_build=place is None,
            may_be_anything=start.id is not None and (start.id.header is not None or start.id.scope is not None),
            once=None if place is None else (place, key),
        )
        if reply.state == "empty":
            raise EmptyReportError(f"{self._api.source}: {reply.message or 'the build would be empty'}")
        build_id = self._id(start, reply)
        if start.then is not None:
            self._second_step({**values, "id": build_id})
        return build_id, reply

    def _id(self, start: Start, reply: Reply) -> str:
        reading = start.id or self._definition.build.id
        if reading is not None and reading.scope is not None:
            # The API has no ids; the next build of the scope must be another one all the same.
            return f"{self._api.now():started-%Y-%m-%dT%H-%M-%SZ}"
        build_id = self._builds.build_id(reading, reply, "start")
        if build_id is None:
            text = f"{self._api.source}: start_build was accepted, but the response names no usable id"
            raise RequestUncertainError(text)
        return build_id

    def _preflight(self, values: Mapping[str, JsonValue]) -> None:
        call = self._definition.preflight
        if call is None:
            return
        try:
            reply = self._caller.send("preflight", call, values, kind="preflight")
        except SourceRejectedError as exc:
            if not call.optional or type(exc) is not SourceRejectedError:
                raise
            return
        found = self._reader.search(call.empty, reply.body, "preflight.empty")
        entries = found if isinstance(found, list) else [] if found in (None, False, "") else [found]
        if not entries and reply.state != "empty":
            return
        hidden = self._api.hidden()
        names = [redact(text, limit=120, secrets=hidden) for entry in entries[:50] if (text := scalar_text(entry))]
        named = f" in {', '.join(names)}" if names else ""
        raise EmptyReportError(f"{self._api.source}: the build would be empty{named}", sections=names)

    def _second_step(self, values: Mapping[str, JsonValue]) -> None:
        """Make the second call of a start; a build whose second call fails is followed all the same."""
        start = self._definition.start
        if start is None or start.then is None:
            return
        try:
            self._caller.send("then", start.then, values, kind="start_build_then", may_be_anything=True)
        except SourceError as exc:
            logger.warning("second step of a start failed", build_id=str(values["id"]), reason=str(exc))
