"""Pages of a list: those that a response announces are followed, or reported as unread.

No list of either API is documented to have pages (docs/source-apis.md, 1.3), so a page is read only where its link
is certainly safe: RFC 8288, ``rel=next``, to the same host and path. Of the link, only the query is used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urljoin, urlsplit

from courier.errors import SourceProtocolError

if TYPE_CHECKING:
    from pydantic import JsonValue

    from courier.providers.error_mapping import MapError
    from courier.providers.http_client import ApiClient

PAGE_LIMIT = 100
_QUERY_LIMIT_CHARACTERS = 2_000
_LINK = re.compile(r"<([^<>]*)>([^<>]*)")
_RELATION = re.compile(r";\s*rel\s*=\s*(?:\"([^\"]*)\"|([^\s;,]+))", re.IGNORECASE)
_QUERY = re.compile(r"[\x21-\x7e]+")
_TOTALS: Final = ("X-Total-Count", "X-Total", "X-WP-Total", "Total-Count")
_CURSORS: Final = ("X-Next-Page", "X-Next-Cursor", "X-Next-Token", "X-Continuation-Token", "x-ms-continuation")
_CONTENT_RANGE_TOTAL = re.compile(r"/\s*(\d{1,15})\s*$")


@dataclass(frozen=True)
class PagedList:
    """A list with all pages that could be read; ``unread`` says what announces more, None where nothing does."""

    entries: list[JsonValue]
    unread: str | None


def read_list(
    api: ApiClient, path: str, *, kind: str, addresses_build: bool = False, map_error: MapError | None = None
) -> PagedList:
    """Get a list with all its pages.

    Each page is one request, and all of them must succeed. The pages end at `PAGE_LIMIT`, or when they have taken
    as long as one call may.

    Raises
    ------
    SourceProtocolError
        A page is not a list.
    SourceError
        As with `ApiClient.get_json`.
    """
    entries: list[JsonValue] = []
    total, query = 0, ""
    seen = {query}
    deadline = api.deadline()
    while True:
        page = api.get_page(
            f"{path}?{query}" if query else path, kind=kind, addresses_build=addresses_build, map_error=map_error
        )
        if not isinstance(page.document, list):
            raise SourceProtocolError(f"{api.source}: {kind} returned a document that is not a list")
        entries += page.document
        total = max(total, _announced_total(page.headers))
        link = next_link(page.headers)
        if link is None:
            break
        following = query_of(link, f"{api.endpoint}{path}")
        if following is None or following in seen:
            return PagedList(entries, f"{kind}: a next page whose link is not followed")
        if len(seen) == PAGE_LIMIT or api.is_past(deadline):
            return PagedList(entries, f"{kind}: more pages than the {len(seen)} that were read")
        query = following
        seen.add(query)
    if total > len(entries):
        return PagedList(entries, f"{kind}: {len(entries)} entries of {total} that its headers announce")
    cursor = next((name for name in _CURSORS if page.headers.get(name, "").strip()), None)
    return PagedList(entries, None if cursor is None else f"{kind}: a next page, announced by {cursor}")


def next_link(headers: Mapping[str, str]) -> str | None:
    """Return the link to the next page that a response announces (RFC 8288); None where there is none."""
    for link in _LINK.finditer(headers.get("Link", "")):
        relation = _RELATION.search(link[2])
        if relation is not None and "next" in (relation[1] or relation[2] or "").lower().split():
            return link[1].strip()
    return None


def query_of(link: str, url: str) -> str | None:
    """Return the query of a link to the same host and path as the URL; None where it leads elsewhere."""
    try:
        target, here = urlsplit(urljoin(url, link)), urlsplit(url)
        # Not the scheme: behind a proxy that terminates TLS, an API may write http. The request goes to our endpoint.
        is_here = target.hostname == here.hostname and unquote(target.path) == unquote(here.path)
    except ValueError:
        return None
    is_valid = len(target.query) <= _QUERY_LIMIT_CHARACTERS and _QUERY.fullmatch(target.query) is not None
    return target.query if is_here and is_valid else None


def _announced_total(headers: Mapping[str, str]) -> int:
    values = [headers.get(name, "").strip() for name in _TOTALS]
    if (found := _CONTENT_RANGE_TOTAL.search(headers.get("Content-Range", ""))) is not None:
        values.append(found[1])
    return max((int(value) for value in values if re.fullmatch(r"[0-9]{1,15}", value)), default=0)
