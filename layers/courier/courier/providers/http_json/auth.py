"""Credentials of a request, as a definition describes them: a key, or an access token requested with the secret.

Access tokens outlive the invocation in a warm function, so that a tick costs none. A token is renewed a moment
before it expires, and when the API refuses it; its request counts in the source's rate limit like any other.
"""

from __future__ import annotations

import base64
import re
import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode, urlsplit

from courier.errors import SettingsError, SourceProtocolError, SourceUnauthorizedError
from courier.observability.redaction import redact
from courier.providers.api_call import ApiCall, Credentials
from courier.providers.http_json.auth_fields import origin_of
from courier.providers.http_json.expressions import ReadingError, search
from courier.providers.http_json.placeholders import fill_body, fill_text, fill_texts, placeholders
from courier.providers.parsing import parse_number

if TYPE_CHECKING:
    from pydantic import JsonValue

    from courier.config.secrets import Secret
    from courier.errors import SourceError
    from courier.providers import ReadSecret
    from courier.providers.base import Connect
    from courier.providers.error_mapping import ErrorResponse
    from courier.providers.http_client import ApiClient
    from courier.providers.http_json.settings import HttpJsonSettings

TOKEN_CALL: Final = "get_token"  # noqa: S105 - the name of a call
_LONGEST_LIFE_SECONDS: Final = 86_400.0
_SHORTEST_LIFE_SECONDS: Final = 30.0
# Before it expires by the clock of the token endpoint, and at most a tenth of its life.
_MARGIN_SECONDS: Final = 60.0
# Another thread may have requested it while this one was refused with the old one.
_FRESH: Final = timedelta(seconds=30)
_USABLE_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,16000}")
# Shorter texts would garble ordinary sentences, and are no secrets.
_SHORTEST_SECRET_CHARACTERS: Final = 8
# Looker's login says 404 of a client that it does not know.
_REFUSALS: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}
)


@dataclass(frozen=True)
class _Token:
    text: str = field(repr=False)
    issued_at: datetime
    expires_at: datetime


# Of a warm process, by what they were requested with; a token endpoint that is slow delays only its own source.
_TOKENS: dict[str, _Token] = {}
_LOCKS: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


class Authorizer:
    """Returns the credentials of one source; see `courier.providers.api_call.Authorize`."""

    def __init__(self, settings: HttpJsonSettings, read_secret: ReadSecret, connect: Connect) -> None:
        self._settings = settings
        self._read_secret = read_secret
        self._connect = connect

    def __call__(self, fresh: bool) -> Credentials:
        """Return the credentials; with True, read the secret again and request a new token."""
        auth = self._settings.api.auth
        if auth.kind == "none" and not auth.also:
            return Credentials(headers={})
        secret = self._read_secret(self._settings.secret, fresh)
        if auth.kind not in {"oauth2", "login"}:
            return static_credentials(self._settings, secret)
        token = self._token(secret, fresh=fresh)
        return Credentials(
            headers={**_also(self._settings, secret), auth.header.name: f"{auth.header.prefix}{token.text}"},
            secrets=(token.text, *_hidden(secret)),
        )

    def _token(self, secret: Secret, *, fresh: bool) -> _Token:
        api, call = self._token_call(secret)
        key = sha256(f"{self._settings.model_dump_json()} {secret.texts()}".encode()).hexdigest()
        with _LOCKS[key]:
            now = api.now()
            known = _TOKENS.get(key)
            if known is not None and now < known.expires_at and not (fresh and now - known.issued_at >= _FRESH):
                return known
            token = self._read_token(api, call, now)
            _TOKENS[key] = token
            return token

    def _read_token(self, api: ApiClient, call: ApiCall, now: datetime) -> _Token:
        auth = self._settings.api.auth
        document = api.call(call).document
        text, life = _search(auth.token, document), parse_number(_search(auth.lifetime, document))
        if not isinstance(text, str) or not _USABLE_TOKEN.fullmatch(text):
            name = self._settings.name
            raise SourceProtocolError(f"{name}: {TOKEN_CALL} returned no usable token at {auth.token}")
        seconds = auth.lifetime_seconds if life is None else life
        seconds = min(max(seconds, _SHORTEST_LIFE_SECONDS), _LONGEST_LIFE_SECONDS)
        usable = seconds - min(_MARGIN_SECONDS, seconds / 10)
        return _Token(text, issued_at=now, expires_at=now + timedelta(seconds=usable))

    def _token_call(self, secret: Secret) -> tuple[ApiClient, ApiCall]:
        settings, auth = self._settings, self._settings.api.auth
        values = _values(settings, secret)
        hidden, name = _hidden(secret), settings.name
        if auth.kind == "login":
            api = self._connect(settings.endpoint.rstrip("/"), lambda _: Credentials(headers={}, secrets=hidden))
            login = ApiCall(
                source=name,
                kind=TOKEN_CALL,
                method="POST",
                path=fill_text(auth.post or "", values) or "",
                body=fill_body(auth.body, values),
                form=None if auth.form is None else fill_texts(auth.form, values),
                map_error=lambda response: _map_token_error(response, hidden),
                hides_cause=True,
            )
            return api, login
        url = settings.full_token_url or ""
        form = {"grant_type": auth.grant, **fill_texts(auth.form or {}, values)}
        if auth.grant == "refresh_token":
            form["refresh_token"] = secret.field("refresh_token")
        client = {"client_id": secret.field("client_id"), "client_secret": secret.field("client_secret")}
        headers = _basic(*client.values()) if auth.client == "basic" else {}
        form |= {} if auth.client == "basic" else client
        in_query = auth.send == "query"
        path = urlsplit(url).path or "/"
        call = ApiCall(
            source=name,
            kind=TOKEN_CALL,
            method="GET" if in_query else "POST",
            path=f"{path}?{urlencode(form)}" if in_query else path,
            form=None if in_query else form,
            map_error=lambda response: _map_token_error(response, hidden),
            hides_cause=True,
        )
        credentials = Credentials(headers=headers, secrets=hidden)
        return self._connect(origin_of(url), lambda _: credentials), call


def static_credentials(settings: HttpJsonSettings, secret: Secret) -> Credentials:
    """Return credentials that need no token.

    Raises
    ------
    SettingsError
        The secret lacks a part of them.
    """
    auth = settings.api.auth
    values = _values(settings, secret)
    headers = _also(settings, secret)
    body: dict[str, str] = {}
    if auth.kind == "header":
        key = fill_text(auth.value, values) or ""
        prefix = auth.prefix.strip()
        if prefix and key.lower() == prefix.lower():
            raise SettingsError(f"secret {settings.secret} holds only a prefix, no key")
        if prefix and key.lower().startswith(f"{prefix.lower()} "):
            key = key[len(prefix) :].strip()
        headers[auth.name] = f"{auth.prefix}{key}"
    elif auth.kind == "basic":
        headers |= _basic(fill_text(auth.user, values) or "", fill_text(auth.password, values) or "")
    elif auth.kind == "body":
        body[auth.field] = fill_text(auth.value, values) or ""
    return Credentials(headers=headers, body=body, secrets=_hidden(secret))


def check_secret(settings: HttpJsonSettings, secret: Secret) -> None:
    """Check that a secret holds every part that the definition uses.

    Raises
    ------
    SettingsError
        It does not.
    """
    auth = settings.api.auth
    if auth.kind in {"oauth2", "login"}:
        _values(settings, secret)
        _also(settings, secret)
    else:
        static_credentials(settings, secret)
    if auth.kind == "oauth2":
        for name in secret_fields(settings):
            secret.field(name)


def secret_fields(settings: HttpJsonSettings) -> tuple[str, ...]:
    """Return the names of the fields that the secret must have; empty where it is one key, or none."""
    auth = settings.api.auth
    used = [found.field for _, text in auth.secret_texts() for found in placeholders(text) if found.name == "secret"]
    if auth.kind == "oauth2":
        used += ["client_id", "client_secret", *(["refresh_token"] if auth.grant == "refresh_token" else [])]
    return tuple(dict.fromkeys(name for name in used if name is not None))


def _values(settings: HttpJsonSettings, secret: Secret) -> Mapping[str, JsonValue]:
    """Return what placeholders under ``auth`` stand for; only the parts that are used need be there."""
    used = {
        found.field
        for _, text in settings.api.auth.secret_texts()
        for found in placeholders(text)
        if found.name == "secret"
    }
    values: dict[str, JsonValue] = {f"secret.{name}": secret.field(name) for name in used if name is not None}
    if None in used:
        values["secret"] = secret.key().reveal()
    return {**settings.values, **values}


def _also(settings: HttpJsonSettings, secret: Secret) -> dict[str, str]:
    return fill_texts(settings.api.auth.also, _values(settings, secret))


def _basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def _hidden(secret: Secret) -> tuple[str, ...]:
    return tuple(text for text in secret.texts() if len(text) >= _SHORTEST_SECRET_CHARACTERS)


def _search(expression: str, document: JsonValue) -> JsonValue:
    try:
        return search(expression, document)
    except ReadingError:
        return None


def _map_token_error(response: ErrorResponse, hidden: tuple[str, ...]) -> SourceError | None:
    """Map what token endpoints say of a wrong secret (RFC 6749, 5.2), which is 400 as often as 401."""
    if response.status not in _REFUSALS or response.is_page:
        return None
    described = response.document.get("error_description") if isinstance(response.document, dict) else None
    more = f": {redact(described, secrets=hidden)}" if isinstance(described, str) else ""
    return SourceUnauthorizedError(
        f"{response}{more}; check the secret, and its client_id, client_secret or refresh_token"
    )
