"""Saved responses of an API, in place of the network."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.parser import BytesParser
from pathlib import Path
from types import MappingProxyType
from typing import Final

import requests
import requests.adapters
from urllib3 import HTTPHeaderDict, HTTPResponse

from courier.errors import SettingsError
from courier.providers.http_client import BODY_LIMIT_BYTES

# Names in --answer, by the kind that a provider's client has for the request.
CALLS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "get_token": "token",
        "preflight": "preflight",
        "start_build": "start",
        "start_build_then": "then",
        "get_build": "status",
        "get_link": "link",
        "list_builds": "list",
        "list_scopes": "scopes",
        "check": "check",
        "account_limits": "limits",
        "cancel_build": "cancel",
        "download": "file",
    }
)
_HEAD = re.compile(rb"HTTP/[0-9.]+ +([0-9]{3})[^\r\n]*\r?\n((?:[^\r\n]+\r?\n)*)\r?\n")
# They say how the body travelled; curl has undone that, or saved the body as it came.
_OF_THE_TRANSFER = frozenset({"content-encoding", "content-length", "transfer-encoding"})


@dataclass(frozen=True)
class SavedResponse:
    """A response: a file with a body, or what ``curl -i`` prints, which begins with the status and the headers."""

    path: Path
    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes = field(repr=False)

    @classmethod
    def read(cls, path: Path, *, is_file: bool = False) -> SavedResponse:
        """Read a file; the response to a download is left as it is, and must have its head.

        Raises
        ------
        SettingsError
            It cannot be read, is too large, or has no head.
        """
        try:
            content = path.read_bytes()
        except OSError as exc:
            raise SettingsError(f"{path}: cannot be read: {exc.strerror or type(exc).__name__}") from exc
        if len(content) > BODY_LIMIT_BYTES:
            raise SettingsError(f"{path}: has more than {BODY_LIMIT_BYTES:,} bytes, which the courier would not read")
        status, headers = 200, [("Content-Type", "application/json")]
        has_head = _HEAD.match(content) is not None
        # Behind a proxy, or after a redirect or "100 Continue", curl prints several heads; the last one counts.
        while head := _HEAD.match(content):
            status, content = int(head[1]), content[head.end() :]
            headers = [(name, str(value)) for name, value in BytesParser().parsebytes(head[2]).items()]
        if is_file and not has_head:
            raise SettingsError(
                f"{path}: has no status and headers that an empty line ends; save what curl -sI prints for the download"
            )
        if content.startswith(b"\x1f\x8b") and not is_file:
            content = _unpack(path, content)
        return cls(path, status, [pair for pair in headers if pair[0].lower() not in _OF_THE_TRANSFER], content)


@dataclass(frozen=True)
class SentRequest:
    """A request that would have been sent."""

    call: str
    method: str
    url: str
    body: str | None
    response: SavedResponse


class MissingResponseError(SettingsError):
    """A call would be made that no saved response answers."""


class SavedResponses(requests.adapters.BaseAdapter):
    """A transport that answers each call with its saved responses, in turn; the last one is repeated."""

    def __init__(self, responses: Mapping[str, Sequence[SavedResponse]]) -> None:
        super().__init__()
        self._responses = {call: list(saved) for call, saved in responses.items()}
        self._call = ""
        self.sent: list[SentRequest] = []

    def has(self, call: str) -> bool:
        """Return whether there are responses to a call."""
        return call in self._responses

    def upcoming(self, call: str) -> SavedResponse:
        """Return the response to the next request of a call, without using it up."""
        return self._responses[call][0]

    def announce(self, kind: str) -> None:
        """Receive the kind of the request that comes next."""
        self._call = CALLS.get(kind, kind)

    def send(  # type: ignore[override]  # the courier's client passes no more than this
        self, request: requests.PreparedRequest, **_: object
    ) -> requests.Response:
        """Return the next saved response.

        Raises
        ------
        MissingResponseError
            There is none for this call.
        """
        saved = self._responses.get(self._call)
        if saved is None:
            raise MissingResponseError(f"the {self._call} call would be made next: add --answer {self._call}=FILE")
        answer = saved.pop(0) if len(saved) > 1 else saved[0]
        read = getattr(request.body, "read", None)
        body = read() if read is not None else None
        text = body.decode("utf-8", "replace") if isinstance(body, bytes) else None
        self.sent.append(SentRequest(self._call, request.method or "", request.url or "", text, answer))
        headers = HTTPHeaderDict(answer.headers)
        response = requests.Response()
        response.status_code, response.url = answer.status, request.url or ""
        response.headers.update(headers)
        response.raw = HTTPResponse(io.BytesIO(answer.body), headers=headers, preload_content=False)
        return response

    def close(self) -> None:
        """Do nothing: there is no connection."""


def _unpack(path: Path, content: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as unpacked:
            found = unpacked.read(BODY_LIMIT_BYTES + 1)
    except (OSError, EOFError, zlib.error) as exc:
        raise SettingsError(f"{path}: its body is compressed and damaged; save it with curl --compressed") from exc
    if len(found) > BODY_LIMIT_BYTES:
        raise SettingsError(f"{path}: has more than {BODY_LIMIT_BYTES:,} bytes, which the courier would not read")
    return found
