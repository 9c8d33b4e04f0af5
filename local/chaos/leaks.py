"""Looks for secrets in everything that somebody may read."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote

# Whatever a link may be signed with: a parameter of a query, or any URL that has a query.
_LINK = re.compile(r"X-Amz-|AWSAccessKeyId|https?://[^\s\"'\\<>]+\?[^\s\"'\\<>]+")


def find_leaks(places: Mapping[str, Iterable[str]], secrets: Iterable[str]) -> list[str]:
    """Say where secrets are, in any usual spelling, or links that anybody could follow."""
    spellings = {spelling for secret in secrets for spelling in _spellings(secret)}
    needles = re.compile("|".join(sorted(map(re.escape, spellings)))) if spellings else None
    found = []
    for place, texts in places.items():
        for text in texts:
            if needles is not None and needles.search(text):
                found.append(f"a secret in {place}")
            elif match := _LINK.search(text):
                found.append(f"a link in {place}: {match[0][:20]}")
    return found


def _spellings(secret: str) -> Iterator[str]:
    yield secret
    yield quote(secret, safe="")
    yield base64.b64encode(secret.encode()).decode().rstrip("=")
