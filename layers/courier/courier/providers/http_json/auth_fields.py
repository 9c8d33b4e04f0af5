"""The models of ``auth``, the only part of a definition that the secret may stand in, and the origins it may reach."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import MappingProxyType
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, JsonValue, StringConstraints, model_validator

from courier.models import StrictModel
from courier.providers.http_json.fields import Expression, HeaderName, Headers, Path, Quoted, Text, Texts

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\[\]:_-]+")
_URL_PATH = re.compile(r"/[A-Za-z0-9._~%/{}-]*")


def _is_origin(text: str) -> bool:
    try:
        return _ORIGIN.fullmatch(text) is not None and bool(urlsplit(text).hostname) and urlsplit(text).port != 0
    except ValueError:
        return False


def check_origin(text: str) -> str:
    """Return an origin.

    Raises
    ------
    ValueError
        It is none, or more than one.
    """
    if not _is_origin(text):
        raise ValueError("must be an origin such as https://files.example.com, without a path and without placeholders")
    return text


def check_token_url(text: str) -> str:
    """Return the address of a token endpoint, or its path on the endpoint's origin.

    Raises
    ------
    ValueError
        It is neither, or has a placeholder in its host: settings must name every host that sees a credential.
    """
    scheme, separator, rest = text.partition("://")
    host, slash, path = rest.partition("/")
    path = f"{slash}{path}" if separator else text
    if (separator and not _is_origin(f"{scheme}{separator}{host}")) or not _URL_PATH.fullmatch(path):
        raise ValueError(
            "must be an address such as https://login.example.com/oauth/token, with placeholders in its path only, "
            "or a path on the endpoint's origin"
        )
    return text


Origin = Annotated[str, AfterValidator(check_origin)]
TokenUrl = Annotated[str, Quoted, AfterValidator(check_token_url)]

_HEADER = frozenset({"name", "prefix", "value"})
_TOKEN = frozenset({"header", "token", "lifetime", "lifetime_seconds"})
# Which fields belong to which kind, besides ``also`` and ``also_for``.
_FIELDS = MappingProxyType(
    {
        "header": _HEADER,
        "basic": frozenset({"user", "password"}),
        "body": frozenset({"field", "value"}),
        "oauth2": _TOKEN | {"grant", "token_url", "client", "send", "form"},
        "login": _TOKEN | {"post", "body", "form"},
        "none": frozenset(),
    }
)
_COMMON = frozenset({"kind", "also", "also_for"})


class TokenHeader(StrictModel):
    """The header that carries an access token.

    ``name``
        Its name.
    ``prefix``
        What stands in front of the token.
    """

    name: HeaderName = "Authorization"
    prefix: str = "Bearer "


class Auth(StrictModel):
    """How requests are authorized. ``{secret}`` is a secret with one key, ``{secret.name}`` a field of a JSON object.

    ``kind``
        ``header``: the key in a header. ``basic``: HTTP Basic. ``body``: the key in the body of every call.
        ``oauth2``: an access token from ``token_url``. ``login``: an access token from a call to the API.
        ``none``: no key, or only those under ``also``.
    ``name``
        Of ``header``: the name of the header.
    ``prefix``
        Of ``header``: what stands in front of the key; taken off the secret where that begins with it already.
    ``value``
        Of ``header`` and ``body``: the key.
    ``user``, ``password``
        Of ``basic``; the password may be empty.
    ``field``
        Of ``body``: the field at the top of every body.
    ``grant``
        Of ``oauth2``. The secret holds ``client_id``, ``client_secret`` and, for ``refresh_token``, that.
    ``token_url``
        Of ``oauth2``, required: an address, or a path on the endpoint's origin.
    ``client``
        Of ``oauth2``: ``basic`` sends id and secret as HTTP Basic, ``body`` as fields.
    ``send``
        Of ``oauth2``: ``query`` makes a GET of the request.
    ``form``
        Of ``oauth2``: further fields, such as ``scope`` or ``audience``. Of ``login``: what is sent.
    ``post``
        Of ``login``, required: the path.
    ``body``
        Of ``login``: what is sent, as JSON.
    ``token``
        Of ``oauth2`` and ``login``: where the response holds the access token.
    ``lifetime``
        Of both: where it holds the life of the token, in seconds.
    ``lifetime_seconds``
        Of both: its life where the response says nothing.
    ``header``
        Of both: the header that carries the token.
    ``also``
        Further headers with parts of the secret, on every call.
    ``also_for``
        Origins besides the endpoint's that may receive the credentials, for downloads.
    """

    kind: Literal["header", "basic", "body", "oauth2", "login", "none"]
    name: HeaderName = "Authorization"
    prefix: str = "Bearer "
    value: Text = "{secret}"
    user: Text = "{secret.user}"
    password: Text = "{secret.password}"  # noqa: S105 - a placeholder
    field: Annotated[str, StringConstraints(min_length=1, max_length=100)] = "key"
    grant: Literal["client_credentials", "refresh_token"] = "client_credentials"
    token_url: TokenUrl | None = None
    client: Literal["body", "basic"] = "body"
    send: Literal["body", "query"] = "body"
    post: Path | None = None
    body: JsonValue = None
    form: Texts | None = None
    token: Expression = "access_token"  # noqa: S105 - an expression
    lifetime: Expression = "expires_in"
    lifetime_seconds: Annotated[float, Field(ge=30, le=86_400)] = 600
    header: TokenHeader = TokenHeader()
    also: Headers = Field({})
    also_for: tuple[Origin, ...] = ()

    @model_validator(mode="after")
    def _has_the_fields_of_its_kind(self) -> Self:
        foreign = sorted(self.model_fields_set - _FIELDS[self.kind] - _COMMON)
        if foreign:
            known = ", ".join(sorted(_FIELDS[self.kind])) or "none"
            raise ValueError(f"{foreign[0]} does not belong to kind {self.kind}, which has {known}")
        if self.kind == "oauth2" and self.token_url is None:
            raise ValueError("token_url: field required for kind oauth2")
        if self.kind == "login" and self.post is None:
            raise ValueError("post: field required for kind login")
        if self.kind == "login" and (self.body is None) == (self.form is None):
            raise ValueError("name exactly one of body and form for kind login")
        return self

    def secret_texts(self) -> Iterator[tuple[str, JsonValue]]:
        """Yield each text that may hold the secret, with its place."""
        texts: dict[str, JsonValue] = {"body": self.body, "form": dict(self.form or {}), "also": dict(self.also)}
        texts |= {name: getattr(self, name) for name in ("value", "user", "password") if name in _FIELDS[self.kind]}
        yield from texts.items()


def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL, as they are compared and shown."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    is_usual = parts.port in {None, {"https": 443, "http": 80}.get(parts.scheme)}
    return f"{parts.scheme}://{shown}" + ("" if is_usual else f":{parts.port}")
