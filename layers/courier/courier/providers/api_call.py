"""One request to a provider's API: what is sent with which credentials, and how its response is decoded."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlencode

from pydantic import JsonValue

from courier.errors import SettingsError
from courier.providers.error_mapping import Operation, error_from_failure, media_type_of
from courier.providers.network_errors import AttemptFailure
from courier.providers.parsing import decode_json, secret_values

_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What authorizes a request; its repr shows nothing.

    Attributes
    ----------
    headers
        The headers that carry the API key.
    body
        Fields that every body gets, for the APIs that want the key there.
    secrets
        Further texts that no message may show, such as the parts of the secret that a token was requested with.
    """

    headers: Mapping[str, str] = field(repr=False)
    body: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def hidden(self) -> tuple[str, ...]:
        """Return every text that a response must not echo into our messages, longest first."""
        found = {*secret_values({**self.headers, **self.body}), *self.secrets}
        return tuple(sorted(found, key=len, reverse=True))


Authorize = Callable[[bool], Credentials]
"""Returns the credentials; with True it reads the key, or requests the access token, again."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A JSON document, and the headers of the response that it came with."""

    document: JsonValue
    headers: Mapping[str, str]
    status: int = 200


@dataclass(frozen=True, kw_only=True)
class ApiCall(Operation):
    """One request.

    Attributes
    ----------
    path
        Below the endpoint, with its query, quoted.
    headers
        Besides the usual ones and the credentials.
    body, form
        Sent as JSON, or form-encoded; None for no body.
    may_be_delayed
        A 202 with Retry-After is the response that was requested, as it is for everything but a GET.
    may_be_empty, may_be_anything
        A response without a body, or with one that is not JSON, is usable; its document is None.
    hides_cause
        The address or the body holds a secret, which the texts of the network's own exceptions would show.
    refuses_key
        Whether a usable response says that the key is refused, although its status does not.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: JsonValue = None
    form: Mapping[str, str] | None = None
    may_be_delayed: bool = False
    may_be_empty: bool = False
    may_be_anything: bool = False
    hides_cause: bool = False
    refuses_key: Callable[[Page], bool] | None = None

    @property
    def content_type(self) -> str:
        """The type of the body."""
        return _JSON if self.form is None else _FORM

    def encode(self, credentials: Credentials) -> bytes | None:
        """Return the body; None for none.

        Raises
        ------
        SettingsError
            It cannot be written as JSON.
        """
        if self.form is not None:
            return urlencode({**self.form, **credentials.body}).encode()
        body = self.body
        if credentials.body and self.method != "GET" and (body is None or isinstance(body, dict)):
            body = {**(body or {}), **credentials.body}
        if body is None:
            return None
        try:
            return json.dumps(body, allow_nan=False).encode()
        except (ValueError, RecursionError) as exc:
            raise SettingsError(f"{self.source}: the body of {self.kind} cannot be written as JSON") from exc

    def decode(self, response: "ApiResponse") -> Page:
        """Return the document of a usable response.

        Raises
        ------
        SourceError
            It is not JSON, and need be.
        """
        if self.may_be_empty and not response.body.strip():
            return Page(document=None, headers=response.headers, status=response.status)
        content_type = response.headers.get("Content-Type", "")
        try:
            document = decode_json(response.body, content_type=content_type)
        except ValueError as exc:
            if self.may_be_anything:
                return Page(document=None, headers=response.headers, status=response.status)
            media_type = media_type_of(content_type) or "no content type"
            text = f"returned {response.status} with a body that is not JSON ({media_type})"
            failure = AttemptFailure(label="undecodable", text=text, transient=False)
            raise error_from_failure(failure, self) from exc
        return Page(document=document, headers=response.headers, status=response.status)


@dataclass(frozen=True, kw_only=True)
class ApiResponse:
    """A usable response, with its body as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes
