"""Lists of a definition, with all their pages. A next page's address is never taken from a response, only its query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from courier.errors import SourceProtocolError
from courier.providers.http_json.expressions import scalar_text
from courier.providers.http_json.placeholders import fill_path, fill_texts
from courier.providers.paging import PAGE_LIMIT, PagedList, next_link, query_of

if TYPE_CHECKING:
    from pydantic import JsonValue

    from courier.providers.http_client import ApiClient
    from courier.providers.http_json.caller import Caller, Reply
    from courier.providers.http_json.calls import Listing, Next, Scopes
    from courier.providers.http_json.fields import CallName
    from courier.providers.http_json.reader import Reader
    from courier.providers.http_json.settings import HttpJsonSettings

_CURSOR_LIMIT_CHARACTERS = 4_000
# A next page that is announced, and not requested: its address leads elsewhere, or its cursor is too long.
_NOT_FOLLOWED = ""


class ListReader:
    """Reads the lists of one source."""

    def __init__(self, settings: HttpJsonSettings, api: ApiClient, caller: Caller, reader: Reader) -> None:
        self._settings = settings
        self._api = api
        self._caller = caller
        self._reader = reader

    def read(
        self,
        name: CallName,
        call: Listing | Scopes,
        values: Mapping[str, JsonValue],
        *,
        kind: str,
        addresses_build: bool = False,
    ) -> PagedList:
        """Return the entries; the pages end where nothing announces another, at `PAGE_LIMIT`, or when time is up.

        Raises
        ------
        SourceProtocolError
            A page has no list where the definition says.
        SourceError
            As with `Caller.send`.
        """
        entries: list[JsonValue] = []
        query: str | None = None
        seen: set[str | None] = {query}
        deadline = self._api.deadline()
        while True:
            reply = self._caller.send(name, call, values, kind=kind, addresses_build=addresses_build, query=query)
            found = self._reader.search(call.each, reply.body, f"{name}.each")
            if not isinstance(found, list):
                raise SourceProtocolError(f"{self._api.source}: {kind} returned no list at {call.each}")
            entries += found
            query = None if call.next is None else self._next_query(call, call.next, reply, values, name)
            if query is None:
                return PagedList(entries, None)
            if query == _NOT_FOLLOWED or query in seen:
                return PagedList(entries, f"{kind}: a next page whose link is not followed")
            if len(seen) == PAGE_LIMIT or self._api.is_past(deadline):
                return PagedList(entries, f"{kind}: more pages than the {len(seen)} that were read")
            seen.add(query)

    def _next_query(
        self, call: Listing | Scopes, following: Next, reply: Reply, values: Mapping[str, JsonValue], name: str
    ) -> str | None:
        """Return the query of the next page; None where there is none."""
        filled = {**self._settings.values, **values}
        if following.query is None:
            address = self._address(following, reply, name)
            if address is None:
                return None
            return query_of(address, f"{self._api.endpoint}{fill_path(call.path, filled)}") or _NOT_FOLLOWED
        cursor = self._cursor(following, reply, name)
        if cursor is None or len(cursor) > _CURSOR_LIMIT_CHARACTERS:
            return None if cursor is None else _NOT_FOLLOWED
        own = {} if following.alone else fill_texts(call.query, filled)
        parameters = {**fill_texts(self._settings.api.query, filled), **own, following.query: cursor}
        return urlencode(parameters, quote_via=quote, errors="replace")

    def _address(self, following: Next, reply: Reply, name: str) -> str | None:
        if following.url is None:
            return next_link(reply.headers)
        address = self._reader.search(following.url, reply.body, f"{name}.next.url")
        return address if isinstance(address, str) and address else None

    def _cursor(self, following: Next, reply: Reply, name: str) -> str | None:
        if following.more is not None and not self._reader.is_true(following.more, reply.body, f"{name}.next.more"):
            return None
        return scalar_text(self._reader.search(following.value or "@", reply.body, f"{name}.next.value")) or None
