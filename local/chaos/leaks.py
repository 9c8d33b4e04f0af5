"""Search for secrets in every text that a person or a consumer may read."""

from __future__ import annotations

import base64
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from urllib.parse import quote

# A signed link: a parameter of S3's signatures, or any URL with a query.
_LINK = re.compile(r"X-Amz-|AWSAccessKeyId|https?://[^\s\"'\\<>]+\?[^\s\"'\\<>]+")


def find_leaks(
    places: Mapping[str, Iterable[str]], secrets: Iterable[str], *, binary: Container[str] = ()
) -> list[str]:
    """Return where a secret stands, in any usual spelling, or a link that anybody could follow.

    The texts of ``binary`` places are compressed noise, in which the pattern of a link would match by chance; they are
    searched for secrets only.
    """
    spellings = {spelling for secret in secrets for spelling in _spellings(secret)}
    needles = re.compile("|".join(sorted(map(re.escape, spellings)))) if spellings else None
    found = []
    for place, texts in places.items():
        for text in texts:
            if needles is not None and needles.search(text):
                found.append(f"a secret in {place}")
            elif place not in binary and (match := _LINK.search(text)):
                found.append(f"a link in {place}: {match[0][:20]}")
    return found


def _spellings(secret: str) -> Iterator[str]:
    yield secret
    yield quote(secret, safe="")
    yield base64.b64encode(secret.encode()).decode().rstrip("=")
