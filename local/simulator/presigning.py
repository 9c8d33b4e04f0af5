"""AWS Signature Version 4 in a query string, as S3 signs a GET; the artifact store checks it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl, quote

from local.simulator.timeformat import amz_date, from_amz_date

ALGORITHM: Final = "AWS4-HMAC-SHA256"
REGION: Final = "us-east-1"
ACCESS_KEY_ID: Final = "AKIASIMULATED0000000"


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _encode(pairs: Sequence[tuple[str, str]]) -> str:
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(pairs))


@dataclass(frozen=True)
class SignedLink:
    """The parsed query of a presigned URL."""

    signed_at: datetime
    lifetime_seconds: int
    token_expires_at: datetime | None
    authentic: bool

    @property
    def expires_at(self) -> datetime:
        """When the link expires."""
        return self.signed_at + timedelta(seconds=self.lifetime_seconds)


@dataclass(frozen=True)
class Signer:
    """Signs and checks with one secret key."""

    secret_key: str = field(repr=False)

    def presign(
        self,
        path: str,
        *,
        host: str,
        at: datetime,
        lifetime_seconds: int,
        token_expires_at: datetime | None = None,
        serial: int | None = None,
    ) -> str:
        """Return the query of a URL that allows one GET of `path` at `host`.

        `serial` numbers the links, so that two links of the same second differ, as they do on a real clock.
        """
        date = amz_date(at)
        pairs = [
            ("X-Amz-Algorithm", ALGORITHM),
            ("X-Amz-Credential", f"{ACCESS_KEY_ID}/{date[:8]}/{REGION}/s3/aws4_request"),
            ("X-Amz-Date", date),
            ("X-Amz-Expires", str(lifetime_seconds)),
            ("X-Amz-SignedHeaders", "host"),
        ]
        if token_expires_at is not None:
            token = amz_date(token_expires_at)
            pairs.append(("X-Amz-Security-Token", f"{token}.{_hmac(self.secret_key.encode(), token).hex()}"))
        if serial is not None:
            pairs.append(("x-mint", str(serial)))
        signature = self._signature("GET", path, pairs, host, date)
        return _encode([*pairs, ("X-Amz-Signature", signature)])

    def read(self, method: str, path: str, query: str, *, host: str) -> SignedLink | None:
        """Parse the query of a request, or return None if it is not presigned.

        Raises
        ------
        ValueError
            The date, the lifetime or the token is invalid.
        """
        pairs = parse_qsl(query, keep_blank_values=True)
        fields = dict(pairs)
        if "X-Amz-Signature" not in fields:
            return None
        date, token = fields.get("X-Amz-Date", ""), fields.get("X-Amz-Security-Token")
        unsigned = [(name, value) for name, value in pairs if name != "X-Amz-Signature"]
        expected = self._signature(method, path, unsigned, host, date)
        return SignedLink(
            signed_at=from_amz_date(date),
            lifetime_seconds=int(fields.get("X-Amz-Expires", "")),
            token_expires_at=from_amz_date(token.partition(".")[0]) if token else None,
            authentic=hmac.compare_digest(expected, fields["X-Amz-Signature"]),
        )

    def _signature(self, method: str, path: str, pairs: Sequence[tuple[str, str]], host: str, date: str) -> str:
        canonical = "\n".join((method, path, _encode(pairs), f"host:{host}", "", "host", "UNSIGNED-PAYLOAD"))
        scope = f"{date[:8]}/{REGION}/s3/aws4_request"
        to_sign = "\n".join((ALGORITHM, date, scope, hashlib.sha256(canonical.encode()).hexdigest()))
        key = f"AWS4{self.secret_key}".encode()
        for part in (date[:8], REGION, "s3", "aws4_request"):
            key = _hmac(key, part)
        return _hmac(key, to_sign).hex()
