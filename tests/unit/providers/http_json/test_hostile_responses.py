"""Whatever an API says, in any place: only our errors come out, no secret does, and no request goes elsewhere."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.links import ArtifactLink
from courier.models import BuildRequest
from courier.providers.base import Provider
from courier.transfer.url_policy import LinkRules
from tests.unit.providers.fake_api import Reply
from tests.unit.providers.http_json.described import REF, Described
from tests.unit.providers.test_any_response import EVERYTHING, Call, outcome

LINK = "https://bucket.s3.amazonaws.com/x.csv?X-Amz-Signature=hushhush"
KEY = "hush-hush-the-api-key"
# Every kind of reading, of a list and of a link.
RICH: dict[str, Any] = {
    "auth": {"kind": "header", "also_for": ["https://files.example.com"]},
    "headers": {"X-Version": "1"},
    "query": {"v": "1"},
    "scope_parts": "a/b",
    "scopes": {"get": "/projects", "each": "data[].name", "next": {"url": "next"}},
    "preflight": {"post": "/check", "body": "{input}", "empty": "sections[].title", "optional": True},
    "start": {
        "post": "/{a}/{b}/jobs",
        "body": {"x": "{input.x?}"},
        "at": "data || @",
        "id": {"header": "Location", "match": "jobs/([^/?]+)"},
        "then": {"post": "/jobs/{id}/go"},
    },
    "status": {"get": "/{a}/{b}/jobs/{id}", "codes": {202: "running", 204: "empty", 410: "gone"}, "at": "data || @"},
    "list": {"get": "/{a}/{b}/jobs", "each": "data", "next": {"link": "next"}},
    "cancel": {"delete": "/{a}/{b}/jobs/{id}"},
    "check": {"get": "/me", "count": "length(data)"},
    "limits": {"get": "/account", "build_gb": "size", "query_gb": "to_number(sum)"},
    "build": {
        "id": {"read": "id", "match": "([0-9a-z]+)$"},
        "status": "state || status",
        "created": "created",
        "started": {"header": "X-Started"},
        "completed": "ended",
        "error": "error",
        "keep": {"document": "document"},
    },
    "words": {"queued": ["new"], "running": ["busy"], "succeeded": ["done"], "failed": ["bad"], "gone": ["expired"]},
    "rules": [
        {"when": "contains(error, 'slow')", "means": "throttled", "words": "errors[].message"},
        {"when": "code && to_number(code) > `0`", "means": "refused", "words": "errors[].message"},
        {"of": "status", "when": "sort_by(files, &size)[0].bad", "means": "failed"},
        {"code": "401", "when": "error == 'expired'", "means": "unauthorized"},
    ],
    "errors": {"words": "error.message || errors[].message"},
    "link": {
        "each": "files || [@]",
        "pick": "[?!bad] | [0]",
        "url": "url",
        "auth": "needs_token",
        "bytes": "size",
        "sha256": {"read": "sum", "match": "([0-9a-f]{64})$"},
        "expires": "until",
        "gzip": "zip",
        "headers_from": "headers",
        "name": "{id}-{n}.csv",
    },
    "advice": {"failed": "{build_gb}"},
}
OTHER: dict[str, Any] = {
    **RICH,
    "status": {"post": "/poll", "form": {"job": "{id}"}},
    "start": {"post": "/jobs", "id": "id", "once": {"query": "key"}},
    "list": {"get": "/jobs", "each": "@", "next": {"query": "after", "value": "[-1].id", "more": "[0]"}},
    "scopes": {"get": "/projects", "each": "@", "next": {"query": "t", "value": "next", "alone": True}},
    "link": {"get": "/documents/{document}", "url": "url", "name": "{id}"},
    "check": None,
}
# Every path that a request of these definitions may have, whatever the values in it.
PATHS = re.compile(
    r"/(projects|check|poll|me|account|jobs(/[^/?]+/go)?|a/b/jobs(/[^/?]+)?|documents/[^/?]+)(\?[\x21-\x7e]*)?"
)
NAMES = [
    *("id", "state", "status", "data", "name", "next", "sections", "title", "created", "ended", "error", "errors"),
    *("message", "document", "code", "files", "size", "bad", "url", "needs_token", "sum", "until", "zip", "headers"),
]
WORDS = st.sampled_from(
    [
        *("done", "busy", "bad", "expired", "odd " + KEY, "slow", "b1", "..", "a/b", "x\ny", LINK, KEY, "0", "NaN"),
        *("https://api.example.com/f", "https://files.example.com/f", "//evil.example/f", "https://[x/", "/../etc"),
        *("2026-01-05T08:36:21Z", "9" * 5_000, "\ud800", "{id}", "{secret}", "sha256:" + "a" * 64, "a" * 3_000),
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | WORDS
ENTRIES = st.dictionaries(st.sampled_from(NAMES), WORDS | SCALARS, min_size=1, max_size=8)
VALUES = WORDS | SCALARS | ENTRIES | st.lists(ENTRIES, max_size=3)
# Most of them have what the definitions read, or nothing would be read beyond the first missing field.
DOCUMENTS = (
    st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=5, max_size=16)
    | st.dictionaries(st.sampled_from(["data", "errors", "error", "files"]), VALUES, min_size=1)
    | st.lists(ENTRIES | SCALARS, max_size=3)
    | SCALARS
)
HEADER_VALUES = st.sampled_from(
    [
        *("/jobs/b1", "https://evil.example/jobs/b2?t=hush", "/jobs/..", "jobs/" + "x" * 5_000, "7", "Wed, 1 Jan 2030"),
        *('<https://evil.example/a/b/jobs?page=2>; rel="next"', '<?page=2>; rel="next"', "\xff", "1776254400"),
    ]
)
HEADERS = st.dictionaries(
    st.sampled_from(["Location", "Link", "Retry-After", "X-Started", "Content-Type"]), HEADER_VALUES, max_size=4
)
STATUSES = st.sampled_from([200, 200, 200, 201, 202, 204, 302, 400, 401, 403, 404, 410, 422, 429, 500, 503])
REPLIES = st.builds(Reply, status=STATUSES, json=DOCUMENTS, headers=HEADERS) | st.builds(
    Reply, status=STATUSES, body=st.binary(max_size=200), headers=HEADERS
)
SCOPED = REF.model_copy(update={"scope": "a/b"})


def calls() -> dict[str, Call]:
    request = BuildRequest(source="vendor", scope="a/b", input={"x": 1})

    def start(provider: Provider) -> object:
        return provider.start_build(request, once="r")

    return {
        **EVERYTHING,
        "get_build": lambda provider: provider.get_build(SCOPED),
        "list_builds": lambda provider: provider.list_builds("a/b"),
        "start_build": start,
        "locate_artifact": lambda provider: provider.locate_artifact(SCOPED),
        "cancel_build": lambda provider: provider.cancel_build(SCOPED),
        "advice": lambda provider: provider.failure_advice(provider.account_limits()),
    }


@pytest.mark.parametrize("call", calls().values(), ids=calls().keys())
@pytest.mark.parametrize("api", [RICH, OTHER], ids=["rich", "other"])
@given(replies=st.lists(REPLIES, min_size=1, max_size=3))
def test_only_our_errors_come_out_and_no_secret(api: dict[str, Any], call: Call, replies: list[Reply]) -> None:
    described = Described(*replies, api=api, keys=(KEY,), scopes="all")
    shown = outcome(call, described.client) + "".join(described.details)
    assert "hush" not in shown
    shown.encode()
    for sent in described.fake.sent:
        assert sent.url.startswith("https://api.example.com/")
        assert PATHS.fullmatch(sent.path), sent.path


@pytest.mark.parametrize(
    ("reply", "call"),
    [
        (Reply(400, json={"errors": [{"message": f"no {KEY}"}]}), "get_build"),
        (Reply(400, json={"error": {"message": f"no {KEY}"}}), "check"),
        (Reply(400, json={"detail": f"no {KEY}"}), "scopes"),
        (Reply(500, body=f"<html>{KEY}</html>".encode()), "list_builds"),
        (Reply(json={"code": 7, "errors": [{"message": KEY}]}), "get_build"),
        (Reply(json={"error": f"slow {KEY}", "errors": [{"message": KEY}]}), "get_build"),
        (Reply(json={"id": "b1", "state": "bad", "error": f"because {KEY}"}), "get_build"),
        (Reply(json={"id": "b1", "state": "bad", "error": {"message": f"because {KEY}"}}), "get_build"),
        (Reply(json={"id": "b1", "state": KEY}), "get_build"),
        (Reply(json={"data": [{"id": "b1", "state": KEY}]}), "list_builds"),
        (Reply(json={"data": [{"name": f"a/{KEY}"}]}), "scopes"),
        (Reply(json={"sections": [{"title": KEY}]}), "start_build"),
        (Reply(201, body=b"", headers={"Location": f"/jobs/{KEY}"}), "start_build"),
        (Reply(302, headers={"Location": f"https://evil.example/{KEY}?k={KEY}"}), "get_build"),
        (Reply(json={"id": "b1", "state": "done", "files": [{"bad": 1, "name": KEY}]}), "locate_artifact"),
        (
            Reply(json={"id": "b1", "state": "done", "url": f"https://{KEY}.example/x?{LINK}", "needs_token": True}),
            "locate_artifact",
        ),
        (Reply(json={"id": "b1", "state": "done", "created": KEY, "url": LINK, "sum": KEY}), "locate_artifact"),
        (Reply(json={"size": KEY, "sum": KEY}), "account_limits"),
        (Reply(json={"data": KEY}), "check"),
        (Reply(400, json={"error": KEY}), "cancel_build"),
    ],
)
def test_a_key_that_an_api_repeats_is_shown_nowhere(reply: Reply, call: str) -> None:
    described = Described(reply, api=RICH, keys=(KEY,), scopes="all")
    shown = outcome(calls()[call], described.client) + "".join(described.details)
    assert "hush" not in shown


@given(replies=st.lists(REPLIES, min_size=1, max_size=2))
def test_credentials_leave_for_no_origin_that_the_settings_do_not_name(replies: list[Reply]) -> None:
    described = Described(*replies, api=RICH, keys=(KEY,), scopes="all")
    try:
        link = described.client.locate_artifact(SCOPED)
    except Exception:  # noqa: BLE001 - the test above says which
        return
    assert isinstance(link, ArtifactLink)
    if link.credentials is not None:
        rules = LinkRules.parse(described.settings.credential_origins)
        assert rules.check(link.url.reveal()).origin in described.settings.credential_origins
