"""The file of a build: which one it is, where it is, and whether it is requested with our credentials."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

from courier.errors import ArtifactRefusedError, SourceProtocolError
from courier.links import ArtifactLink, SecretUrl
from courier.observability.provider_events import UnexpectedKind
from courier.observability.redaction import redact
from courier.providers.http_json.auth_fields import origin_of
from courier.providers.http_json.expressions import is_true
from courier.providers.http_json.placeholders import fill_text, has_lone_surrogate, values_of_response
from courier.providers.parsing import parse_number
from courier.providers.times import read_time

if TYPE_CHECKING:
    from pydantic import JsonValue

    from courier.providers.http_client import ApiClient
    from courier.providers.http_json.caller import Caller, Reply
    from courier.providers.http_json.definition import Link
    from courier.providers.http_json.fields import Reading
    from courier.providers.http_json.reader import Reader, Report
    from courier.providers.http_json.settings import HttpJsonSettings

# Above this a float cannot count single bytes, and no object store accepts such an object.
_SIZE_LIMIT_BYTES: Final = 2.0**53
_SHOWN_FILES: Final = 10
_SHOWN_CHARACTERS: Final = 80
_NAMES: Final = ("name", "filename", "file_name", "fileName", "path", "type", "id")
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
# Headers that decide how the download works, or where it goes: no response may set them.
_RESERVED_HEADERS: Final = frozenset(
    {
        *("host", "range", "if-match", "if-range", "if-none-match", "if-modified-since", "if-unmodified-since"),
        *("accept-encoding", "connection", "content-length", "transfer-encoding", "te", "upgrade", "expect", "cookie"),
        *("authorization", "proxy-authorization", "user-agent"),
    }
)
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e]{0,2000}")
_HEADER_LIMIT: Final = 20
_URL_LIMIT_CHARACTERS: Final = 16_000


@dataclass(frozen=True)
class Files:
    """Finds the file of a finished build."""

    settings: HttpJsonSettings
    api: ApiClient
    caller: Caller
    reader: Reader
    report: Report

    @property
    def _link(self) -> Link:
        link = self.settings.api.link
        if link is None:
            raise AssertionError("a definition without link leaves no file")
        return link

    def is_none(self, reply: Reply) -> bool:
        """Return whether a finished build has left no file, as far as its status says it."""
        link = self._link
        if link.none_when is not None:
            return self.reader.is_true(link.none_when, reply.body, "link.none_when")
        if link.none_means is None:
            return False
        return not (self._entries(reply.body) if link.each is not None else self._read(link.url, reply, {}))

    def size(self, reply: Reply) -> int | None:
        """Return the size in a status response; None where it holds none, or the files have one each."""
        link = self._link
        return None if link.each is not None or link.call is not None else self._size(reply, {})

    def has_address(self, reply: Reply) -> bool:
        """Return whether a status response holds a link, whatever its words say."""
        link = self._link
        return (
            link.url is not None and link.call is None and link.each is None and bool(self._read(link.url, reply, {}))
        )

    def locate(self, reply: Reply, values: Mapping[str, JsonValue], *, where: str) -> ArtifactLink:
        """Return the link to the file.

        Parameters
        ----------
        reply
            The status response, or that of the link's own call.
        where
            Name of the call, for messages.

        Raises
        ------
        SourceProtocolError
            There is none.
        ArtifactRefusedError
            There are several, or it would have to be requested with credentials at an origin that may not see them.
        """
        link = self._link
        number, entry = 1, None
        if link.each is not None:
            number, entry = self._choose(self._entries(reply.body))
        values = {**values, "n": number}
        whole: Mapping[str, JsonValue] = {} if entry is None else {"entry": entry}
        if link.file is not None:
            with values_of_response(self.settings.name, where):
                address = self.caller.file_address(link.file, link.query, values)
        else:
            found = self._read(link.url, reply, whole)
            if not isinstance(found, str) or not found or len(found) > _URL_LIMIT_CHARACTERS:
                raise SourceProtocolError(f"{self.settings.name}: {where} returned no link to the file")
            if has_lone_surrogate(found):
                raise SourceProtocolError(f"{self.settings.name}: {where} returned a link with a lone surrogate")
            address = self._absolute(found.strip())
        credentials = self._credentials(address, self._wants_credentials(reply, whole))
        with values_of_response(self.settings.name, where):
            headers = self.caller.headers(
                {**(self.settings.api.headers if credentials else {}), **link.headers}, values
            )
            name = fill_text(link.name, {**self.settings.values, **values}) or str(values["id"])
        is_gzip = self._flag(link.gzip, reply, whole)
        if self.reader.shows_secret(name):
            name = str(values["id"])
        return ArtifactLink(
            url=SecretUrl(address),
            size_bytes=self._size(reply, whole),
            expires_at=read_time(self._read(link.expires, reply, whole)).at,
            filename=f"{name}.gz" if is_gzip and not name.lower().endswith((".gz", ".gzip", ".tgz")) else name,
            sha256=self._sha256(reply, whole),
            headers={**self._prescribed(reply, whole), **headers},
            credentials=credentials,
        )

    def _absolute(self, address: str) -> str:
        """Return an address of a response; a relative one is below the endpoint."""
        try:
            return urljoin(f"{self.api.endpoint}/", address)
        except ValueError:
            raise ArtifactRefusedError(f"{self.settings.name}: the link to the file is no URL") from None

    def _entries(self, body: JsonValue) -> list[JsonValue]:
        found = self.reader.search(self._link.each or "@", body, "link.each")
        return found if isinstance(found, list) else []

    def _choose(self, entries: list[JsonValue]) -> tuple[int, JsonValue]:
        """Return the one file that is left, and its number in the list."""
        picked: JsonValue = entries
        if self._link.pick is not None:
            picked = self.reader.search(self._link.pick, entries, "link.pick")
        left = picked if isinstance(picked, list) else [] if picked is None else [picked]
        if len(left) != 1:
            names = ", ".join(self._name_of(entry) for entry in (left or entries)[:_SHOWN_FILES])
            more = ", …" if len(left or entries) > _SHOWN_FILES else ""
            chosen = "link.pick leaves" if self._link.pick is not None else "the build has"
            raise ArtifactRefusedError(
                f"{self.settings.name}: {chosen} {len(left)} files, and exactly one is copied; write link.pick so that "
                f"it leaves one of {names or 'none'}{more}"
            )
        return (entries.index(left[0]) + 1 if left[0] in entries else 1), left[0]

    def _name_of(self, entry: JsonValue) -> str:
        """Return what names a file in a message: never a whole address, which may be a secret."""
        found: JsonValue = entry
        if isinstance(entry, dict):
            found = next((entry[name] for name in _NAMES if isinstance(entry.get(name), str | int)), None)
        if isinstance(found, str) and "://" in found:
            found = found.partition("?")[0].rpartition("/")[2]
        text = str(found) if isinstance(found, str | int) and found != "" else "a file without a name"
        return redact(text, limit=_SHOWN_CHARACTERS, secrets=self.api.hidden())

    def _read(self, reading: Reading | None, reply: Reply, whole: Mapping[str, JsonValue]) -> JsonValue:
        """Read from the entry first, then from the response."""
        if reading is None:
            return None
        for document in (*whole.values(), reply.body, reply.document):
            found = self.reader.value(reading, document, "link", headers=reply.headers)
            if found is not None:
                return found
        return None

    def _wants_credentials(self, reply: Reply, whole: Mapping[str, JsonValue]) -> bool | None:
        """Return what the definition says; None where it says nothing."""
        auth = self._link.auth
        if auth is None:
            return True if self._link.file is not None else None
        if isinstance(auth, bool):
            return auth
        for document in (*whole.values(), reply.body, reply.document):
            found = self.reader.search(auth, document, "link.auth")
            if found is not None:
                return is_true(found)
        return False

    def _credentials(self, address: str, wanted: bool | None) -> Mapping[str, str] | None:
        name, allowed = self.settings.name, self.settings.download_origins
        try:
            origin = origin_of(address)
        except ValueError:
            raise ArtifactRefusedError(f"{name}: the link to the file is no URL") from None
        if wanted is None and origin == allowed[0] and self.settings.api.auth.kind != "none":
            raise ArtifactRefusedError(
                f"{name}: the file is on the API's own host, which would refuse a request without credentials; "
                "set link.auth to true, or to false if the link itself is enough"
            )
        if not wanted:
            return None
        if origin not in allowed:
            shown = redact(origin, limit=_SHOWN_CHARACTERS, secrets=self.api.hidden())
            raise ArtifactRefusedError(
                f"{name}: the file at {shown} would have to be requested with credentials, which may go to "
                f"{', '.join(allowed)} only; add the origin to auth.also_for if it is the vendor's"
            )
        # A request to the API like any other, though the copy sends it.
        self.api.count("download")
        return self.api.credentials().headers

    def _size(self, reply: Reply, whole: Mapping[str, JsonValue]) -> int | None:
        number = parse_number(self._read(self._link.bytes, reply, whole))
        return int(number) or None if number is not None and number < _SIZE_LIMIT_BYTES else None

    def _sha256(self, reply: Reply, whole: Mapping[str, JsonValue]) -> str | None:
        found = self._read(self._link.sha256, reply, whole)
        if found is None:
            return None
        if isinstance(found, str) and _SHA256.fullmatch(found.strip()):
            return found.strip().lower()
        self.report(UnexpectedKind.UNREADABLE_VALUE, "link.sha256: is no hexadecimal SHA-256")
        return None

    def _flag(self, reading: Reading | None, reply: Reply, whole: Mapping[str, JsonValue]) -> bool:
        return is_true(self._read(reading, reply, whole))

    def _prescribed(self, reply: Reply, whole: Mapping[str, JsonValue]) -> dict[str, str]:
        """Return the headers that the response prescribes, without those that would change what is requested."""
        expression = self._link.headers_from
        if expression is None:
            return {}
        found: JsonValue = None
        for document in (*whole.values(), reply.body, reply.document):
            found = self.reader.search(expression, document, "link.headers_from")
            if found is not None:
                break
        headers: dict[str, str] = {}
        for name, value in found.items() if isinstance(found, dict) else ():
            is_usable = _HEADER_NAME.fullmatch(name) and isinstance(value, str) and _HEADER_VALUE.fullmatch(value)
            if not is_usable or name.lower() in _RESERVED_HEADERS or len(headers) == _HEADER_LIMIT:
                self.report(UnexpectedKind.UNREADABLE_VALUE, "link.headers_from: a header that is not sent")
                continue
            headers[name] = str(value)
        return headers
