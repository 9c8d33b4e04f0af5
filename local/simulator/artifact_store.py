"""The artifact store: objects behind presigned GETs, with the errors of S3 (docs/source-apis.md, 3)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from local.simulator.error_bodies import store_error
from local.simulator.messages import Request, SimulatedResponse
from local.simulator.presigning import SignedLink, Signer
from local.simulator.timeformat import iso_z

SINGLE_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)\Z")


@dataclass(frozen=True)
class ArtifactObject:
    """One object: its bytes and the values of its headers; `etag` is quoted."""

    content: bytes = field(repr=False)
    modified_at: datetime
    etag: str
    content_type: str = "application/pdf"


def etag_of(content: bytes) -> str:
    """Return the ETag that S3 assigns to a single PUT of `content`."""
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


class ArtifactStore:
    """Path-style ``/{bucket}/{key}`` with SigV4 queries.

    Parameters
    ----------
    bucket
        The only bucket.
    signer
        Signs the links and checks them.
    find
        Returns the object of a key at an instant, or None.

    Attributes
    ----------
    origin
        Scheme, host and port under which clients reach the store; known once the server listens.
    """

    def __init__(self, bucket: str, signer: Signer, find: Callable[[str, datetime], ArtifactObject | None]) -> None:
        self.bucket = bucket
        self.origin = ""
        self._signer = signer
        self._find = find

    def presigned_url(
        self, key: str, *, at: datetime, lifetime_seconds: int, token_expires_at: datetime | None, serial: int | None
    ) -> str:
        """Return a URL that allows a GET of `key`; see `Signer.presign` for the parameters."""
        path = f"/{self.bucket}/{quote(key)}"
        query = self._signer.presign(
            path,
            host=urlsplit(self.origin).netloc,
            at=at,
            lifetime_seconds=lifetime_seconds,
            token_expires_at=token_expires_at,
            serial=serial,
        )
        return f"{self.origin}{path}?{query}"

    def respond(self, request: Request, replaced: Callable[[ArtifactObject], ArtifactObject]) -> SimulatedResponse:
        """Return the response to a request; `replaced` may replace the object."""
        try:
            link = self._signer.read(request.method, request.path, request.query, host=request.headers.get("host", ""))
        except ValueError as exc:
            return store_error(400, "AuthorizationQueryParametersError", str(exc))
        if link is None:
            return store_error(403)
        error = _check_headers(request) or _check_link(link, request.at)
        if error is not None:
            return error
        key = unquote(request.path.removeprefix(f"/{self.bucket}/"))
        found = self._find(key, request.at)
        if found is None:
            return store_error(404, elements={"Key": key})
        return _serve(request, replaced(found))


def expired(expires_at: datetime, lifetime_seconds: int, now: datetime) -> SimulatedResponse:
    """Return S3's response to an expired link."""
    return store_error(
        403,
        "AccessDenied",
        "Request has expired",
        elements={
            "X-Amz-Expires": str(lifetime_seconds),
            "Expires": iso_z(expires_at.replace(microsecond=0)),
            "ServerTime": iso_z(now.replace(microsecond=0)),
        },
    )


def token_expired() -> SimulatedResponse:
    """Return S3's response to a link whose signing credentials have expired."""
    return store_error(400, "ExpiredToken", "The provided token has expired.")


def _check_headers(request: Request) -> SimulatedResponse | None:
    authorization = request.headers.get("authorization")
    if authorization is not None:
        message = "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string"
        message += " parameter or the Authorization header should be specified"
        echoed = {"ArgumentName": "Authorization", "ArgumentValue": authorization}
        return store_error(400, "InvalidArgument", message, elements=echoed)
    unsigned = sorted(name for name in request.headers if name.startswith("x-amz-"))
    if unsigned:
        message = "There were headers present in the request which were not signed"
        return store_error(403, "AccessDenied", message, elements={"HeadersNotSigned": ", ".join(unsigned)})
    return None


def _check_link(link: SignedLink, now: datetime) -> SimulatedResponse | None:
    if now >= link.expires_at:
        return expired(link.expires_at, link.lifetime_seconds, now)
    if not link.authentic:
        message = "The request signature we calculated does not match the signature you provided."
        return store_error(403, "SignatureDoesNotMatch", message)
    if link.token_expires_at is not None and now >= link.token_expires_at:
        return token_expired()
    return None


def _serve(request: Request, found: ArtifactObject) -> SimulatedResponse:
    wanted, unwanted = request.headers.get("if-match"), request.headers.get("if-none-match")
    if wanted not in {None, "*", found.etag}:
        return store_error(412, elements={"Condition": "If-Match"})
    if unwanted in {"*", found.etag}:
        return SimulatedResponse(304, {"ETag": found.etag})
    size = len(found.content)
    headers = {
        "Content-Type": found.content_type,
        "ETag": found.etag,
        "Last-Modified": format_datetime(found.modified_at.replace(microsecond=0), usegmt=True),
        "Accept-Ranges": "bytes",
        "x-amz-request-id": "SIMULATED",
        "x-amz-id-2": "simulated",
        "Server": "AmazonS3",
    }
    span = _span(request.headers.get("range"), size)
    if span is None:
        return SimulatedResponse(200, headers, memoryview(found.content))
    if not span:
        elements = {"RangeRequested": request.headers["range"], "ActualObjectSize": str(size)}
        return store_error(416, elements=elements, headers={"Content-Range": f"bytes */{size}"})
    headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{size}"
    return SimulatedResponse(206, headers, memoryview(found.content)[span.start : span.stop])


def _span(header: str | None, size: int) -> range | None:
    """Return the bytes that a Range header selects; None for the whole object, empty if there are none.

    A header that is malformed or names several ranges is ignored, as S3 does.
    """
    match = SINGLE_RANGE.match(header) if header else None
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        return range(max(0, size - int(last)), size)
    if last and int(last) < int(first):
        return None
    return range(int(first), min(size, int(last) + 1 if last else size))
