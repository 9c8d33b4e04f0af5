"""Credentials: where the secret goes, how access tokens are requested and renewed, and that no text shows either."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests.adapters

from courier.config.secrets import Secret, parse_secret
from courier.errors import (
    SettingsError,
    SourceProtocolError,
    SourceThrottledError,
    SourceUnauthorizedError,
    SourceUnavailableError,
)
from courier.models import BuildRequest, BuildStatus
from courier.providers.api_call import Authorize
from courier.providers.http_client import BACKOFF, ApiClient
from courier.providers.http_json import auth
from courier.providers.http_json.provider import HttpJson
from tests.unit.providers.fake_api import FakeTransport, Reply, Sent, Step
from tests.unit.providers.http_json.described import REF, job, settings

FIELDS = {"client_id": "the-client-id", "client_secret": "hush-client-secret", "refresh_token": "hush-refresh-token"}
OAUTH = {"kind": "oauth2", "token_url": "https://login.example.com/tenant/token", "form": {"scope": "s/.default"}}
START = datetime(2026, 4, 15, 12, 0, tzinfo=UTC)


def token(text: str = "hush-token-1", **more: object) -> Reply:
    return Reply(json={"access_token": text, "expires_in": 3600, **more})


@pytest.fixture(autouse=True)
def cold_start() -> Iterator[None]:
    """Forget the tokens of other tests."""
    auth._TOKENS.clear()
    yield
    auth._TOKENS.clear()


class Vendor:
    """A source with its own token endpoint; each origin plays its own script."""

    def __init__(
        self,
        api_auth: Mapping[str, Any],
        secret: object,
        *,
        more: Mapping[str, Any] | None = None,
        **scripts: list[Step],
    ) -> None:
        self.now = START
        self.requests: list[str] = []
        self.transports = {name: FakeTransport(steps) for name, steps in scripts.items()}
        self.settings = settings({"auth": api_auth, **(more or {})})
        self.secret: Secret | None = None
        self.secrets = [secret] if not isinstance(secret, list) else secret
        self.read: list[bool] = []
        authorize = HttpJson.authorize(self.settings, self._read_secret, self._connect)
        self.client = HttpJson(self.settings, self._connect(self.settings.endpoint, authorize))

    def sent(self, name: str) -> list[Sent]:
        return self.transports[name].sent

    def _read_secret(self, name: str, fresh: bool) -> Secret:
        self.read.append(fresh)
        if fresh and len(self.secrets) > 1:
            self.secrets.pop(0)
        value = self.secrets[0]
        return parse_secret(name, text_of(value))

    def _connect(self, endpoint: str, authorize: Authorize) -> ApiClient:
        name = "login" if "login" in endpoint else "api"
        transport: requests.adapters.BaseAdapter = self.transports[name]
        return ApiClient(
            endpoint,
            authorize,
            source="vendor",
            transport=transport,
            before_request=self.requests.append,
            backoff=replace(BACKOFF, sleep=lambda _: None),
            now=lambda: self.now,
        )


def text_of(secret: object) -> str:
    return secret if isinstance(secret, str) else json.dumps(secret)


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


@pytest.mark.parametrize(
    ("api_auth", "secret", "headers"),
    [
        ({"kind": "header"}, "key-1", {"Authorization": "Bearer key-1"}),
        ({"kind": "header"}, "bearer key-1", {"Authorization": "Bearer key-1"}),
        ({"kind": "header", "name": "X-Api-Key", "prefix": ""}, {"api_key": "key-1"}, {"X-Api-Key": "key-1"}),
        ({"kind": "header", "prefix": "TD1 "}, "TD1 key-1", {"Authorization": "TD1 key-1"}),
        ({"kind": "basic"}, {"user": "u", "password": "p"}, {"Authorization": basic("u", "p")}),
        ({"kind": "basic", "user": "{secret}", "password": ""}, "key-1", {"Authorization": basic("key-1", "")}),
        (
            {"kind": "header", "value": "accessKey={secret.a};secretKey={secret.b}", "prefix": "", "name": "X-ApiKeys"},
            {"a": "one", "b": "two"},
            {"X-ApiKeys": "accessKey=one;secretKey=two"},
        ),
        (
            {"kind": "header", "also": {"DeveloperToken": "{secret.developer}"}},
            {"token": "key-1", "developer": "dev-1"},
            {"Authorization": "Bearer key-1", "DeveloperToken": "dev-1"},
        ),
        ({"kind": "none"}, "key-1", {}),
    ],
)
def test_a_key_goes_where_the_definition_says(
    api_auth: dict[str, Any], secret: object, headers: dict[str, str]
) -> None:
    vendor = Vendor(api_auth, secret, api=[job("done")])
    vendor.client.get_build(REF)
    sent = vendor.sent("api")[0].headers
    assert {name: sent.get(name) for name in headers} == headers
    assert ("Authorization" in sent) == ("Authorization" in headers)


def test_a_key_in_the_body_goes_into_every_body() -> None:
    more = {"status": {"post": "/info", "body": {"id": "{id}"}}}
    vendor = Vendor(
        {"kind": "body", "field": "key"}, "hush-the-key", more=more, api=[job("done"), Reply(json={"id": 1})]
    )
    vendor.client.get_build(REF)
    vendor.client.start_build(BuildRequest(source="vendor", input={"kind": "x"}))
    assert [sent.body for sent in vendor.sent("api")] == [
        {"id": "b1", "key": "hush-the-key"},
        {"kind": "x", "key": "hush-the-key"},
    ]


@pytest.mark.parametrize(
    ("api_auth", "secret", "words"),
    [
        ({"kind": "header"}, "Bearer", "holds only a prefix"),
        ({"kind": "header"}, {"other": "x"}, "must hold the key in one of api_key, key, token"),
        ({"kind": "basic"}, "key-1", "must be a JSON object with the field"),
        ({"kind": "basic"}, {"user": "u"}, "has no field password"),
        (OAUTH, {"client_id": "x"}, "has no field client_secret"),
        ({**OAUTH, "grant": "refresh_token"}, {"client_id": "x", "client_secret": "y"}, "has no field refresh_token"),
        ({"kind": "none", "also": {"X": "{secret.a}"}}, {"b": "y"}, "has no field a"),
    ],
)
def test_a_secret_without_a_part_is_refused_before_anything_is_sent(
    api_auth: dict[str, Any], secret: object, words: str
) -> None:
    vendor = Vendor(api_auth, secret, api=[job("done")], login=[token()])
    with pytest.raises(SettingsError, match=words):
        vendor.client.get_build(REF)
    with pytest.raises(SettingsError, match=words):
        HttpJson.check_secret(
            vendor.settings, parse_secret("s", secret if isinstance(secret, str) else json.dumps(secret))
        )
    assert vendor.requests == []


def form_of(sent: Sent) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(str(sent.body)).items()}


def is_basic(sent: Sent) -> bool:
    is_right = sent.headers["Authorization"] == basic("the-client-id", "hush-client-secret")
    return is_right and "client_id" not in form_of(sent)


def is_query(sent: Sent) -> bool:
    return sent.method == "GET" and "client_secret=hush-client-secret" in sent.path and sent.body is None


def test_a_token_is_requested_once_and_serves_until_it_expires() -> None:
    vendor = Vendor(OAUTH, FIELDS, api=[job("busy")], login=[token(), token("hush-token-2")])
    for _ in range(3):
        vendor.client.get_build(REF)
    assert vendor.requests == ["get_token", "get_build", "get_build", "get_build"]
    (request,) = vendor.sent("login")
    assert (request.method, request.path) == ("POST", "/tenant/token")
    assert form_of(request) == {
        "grant_type": "client_credentials",
        "scope": "s/.default",
        "client_id": "the-client-id",
        "client_secret": "hush-client-secret",
    }
    assert {sent.headers["Authorization"] for sent in vendor.sent("api")} == {"Bearer hush-token-1"}
    vendor.now += timedelta(seconds=3550)
    vendor.client.get_build(REF)
    assert vendor.sent("api")[-1].headers["Authorization"] == "Bearer hush-token-2"


@pytest.mark.parametrize(
    ("api_auth", "check"),
    [
        ({**OAUTH, "client": "basic"}, is_basic),
        ({**OAUTH, "grant": "refresh_token"}, lambda sent: form_of(sent)["refresh_token"] == "hush-refresh-token"),
        ({**OAUTH, "send": "query"}, is_query),
    ],
)
def test_tokens_are_requested_in_each_way(api_auth: dict[str, Any], check: Callable[[Sent], bool]) -> None:
    vendor = Vendor(api_auth, FIELDS, api=[job("busy")], login=[token()])
    vendor.client.get_build(REF)
    assert check(vendor.sent("login")[0])


def test_a_login_buys_a_token_at_the_api_itself() -> None:
    login = {
        "kind": "login",
        "post": "/login",
        "body": {"user": "{secret.client_id}", "password": "{secret.client_secret}"},
        "token": "response.token",
        "lifetime_seconds": 7200,
        "header": {"name": "X-Session", "prefix": ""},
    }
    vendor = Vendor(login, FIELDS, api=[Reply(json={"response": {"token": "hush-session"}}), job("busy")])
    vendor.client.get_build(REF)
    assert vendor.sent("api")[0].body == {"user": "the-client-id", "password": "hush-client-secret"}
    assert vendor.sent("api")[1].headers["X-Session"] == "hush-session"


def test_a_token_that_is_refused_is_renewed_once() -> None:
    vendor = Vendor(OAUTH, FIELDS, api=[job("busy")], login=[token(), token("hush-token-2"), token("hush-token-3")])
    vendor.client.get_build(REF)
    vendor.now += timedelta(minutes=5)
    vendor.transports["api"].steps = [Reply(401, json={"error": "expired"}), job("done")]
    assert vendor.client.get_build(REF).status is BuildStatus.SUCCEEDED
    assert [sent.headers["Authorization"][-1] for sent in vendor.sent("api")] == ["1", "1", "2"]
    vendor.now += timedelta(minutes=5)
    vendor.transports["api"].steps = [Reply(401, json={"error": "hush-token-3 is not welcome"})]
    with pytest.raises(SourceUnauthorizedError) as caught:
        vendor.client.get_build(REF)
    assert "hush" not in str(caught.value)
    assert len(vendor.sent("login")) == 3, "one more for each call that is refused, and no more"


def test_a_token_that_was_just_issued_is_not_requested_again() -> None:
    vendor = Vendor(OAUTH, FIELDS, api=[Reply(403, json={"error": "no permission"})], login=[token()])
    with pytest.raises(SourceUnauthorizedError):
        vendor.client.get_build(REF)
    assert len(vendor.sent("login")) == 1


def test_a_new_secret_buys_a_new_token_at_once() -> None:
    rotated = {**FIELDS, "client_secret": "hush-rotated-secret"}
    vendor = Vendor(
        OAUTH, [FIELDS, rotated], api=[Reply(401, json={"error": "x"}), job("done")], login=[token(), token("hush-2")]
    )
    assert vendor.client.get_build(REF).status is BuildStatus.SUCCEEDED
    assert form_of(vendor.sent("login")[1])["client_secret"] == "hush-rotated-secret"


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (
            Reply(400, json={"error": "invalid_client", "error_description": "no hush-client-secret here"}),
            SourceUnauthorizedError,
            "invalid_client.*check the secret",
        ),
        (Reply(401, json={"error": "invalid_grant"}), SourceUnauthorizedError, "get_token returned 401: invalid_grant"),
        (Reply(429, headers={"Retry-After": "30"}), SourceThrottledError, "get_token returned 429"),
        (Reply(503), SourceUnavailableError, "get_token returned 503"),
        (
            Reply(body=b"<html>login</html>", headers={"Content-Type": "text/html"}),
            SourceProtocolError,
            r"not JSON \(text/html\)",
        ),
        (
            Reply(403, body=b"<html>blocked</html>", headers={"Content-Type": "text/html"}),
            SourceUnavailableError,
            "a gateway responded 403",
        ),
        (Reply(json={"token": "x"}), SourceProtocolError, "no usable token at access_token"),
        (Reply(json={"access_token": ["hush"]}), SourceProtocolError, "no usable token"),
        (Reply(json={"access_token": "hush hush\nHost: evil"}), SourceProtocolError, "no usable token"),
        (TimeoutError(), SourceUnavailableError, "get_token timed out"),
        (ConnectionRefusedError(), SourceUnavailableError, "get_token cannot connect"),
        (
            Reply(302, headers={"Location": "https://evil.example/?t=hush"}),
            Exception,
            "redirects to https://evil.example are not",
        ),
    ],
)
def test_a_token_endpoint_that_fails_says_so_and_nothing_else_is_sent(
    reply: Step, error: type[Exception], words: str
) -> None:
    vendor = Vendor(OAUTH, FIELDS, api=[job("done")], login=[reply])
    with pytest.raises(error, match=words) as caught:
        vendor.client.get_build(REF)
    assert "hush" not in str(caught.value)
    assert vendor.sent("api") == []
    with pytest.raises(error, match="get_token"):
        vendor.client.start_build(BuildRequest(source="vendor", input={"kind": "x"}))
    assert vendor.sent("api") == []


def test_a_life_that_is_no_number_counts_as_the_usual_one() -> None:
    vendor = Vendor(OAUTH, FIELDS, api=[job("busy")], login=[token(expires_in="soon"), token("hush-token-2")])
    vendor.client.get_build(REF)
    vendor.now += timedelta(seconds=500)
    vendor.client.get_build(REF)
    assert len(vendor.sent("login")) == 1
    vendor.now += timedelta(seconds=100)
    vendor.client.get_build(REF)
    assert len(vendor.sent("login")) == 2


def test_no_text_shows_a_secret() -> None:
    secret = parse_secret("build-courier/x", json.dumps(FIELDS))
    assert "hush" not in repr(secret)
    vendor = Vendor(
        OAUTH, FIELDS, api=[Reply(400, json={"error": "bad hush-token-1 and hush-client-secret"})], login=[token()]
    )
    assert "hush" not in repr(vendor.client.api.credentials())
    with pytest.raises(Exception, match="get_build returned 400") as caught:
        vendor.client.get_build(REF)
    assert "hush" not in str(caught.value)
    vendor.transports["api"].steps = [job("bad", error="sent Bearer hush-token-1"), job("odd hush-token-1")]
    build = vendor.client.get_build(REF)
    assert build.error_message == "sent …"
    assert "hush" not in (vendor.client.get_build(REF).provider_status or "")
