"""Where the file of a build is, and who gets to see our credentials for it."""

from __future__ import annotations

from typing import Any

import pytest

from courier.errors import ArtifactRefusedError, SourceProtocolError
from tests.unit.providers.fake_api import Reply
from tests.unit.providers.http_json.described import REF, Described, job

KEY = {"Authorization": "Bearer a-key-of-the-vendor"}


def locate(link: dict[str, Any], *replies: Reply, **more: Any) -> tuple[Described, Any]:  # noqa: ANN401 - a source
    described = Described(*replies, api={"link": {"name": "{id}.csv", **link}, **more.pop("api", {})}, **more)
    # The transport's script does not need a real key here.
    return described, described.client.locate_artifact(REF)


def test_a_bare_link_carries_nothing_of_ours() -> None:
    described, link = locate(
        {"url": "url", "bytes": "size", "expires": "until"},
        job("done", url="https://store.example/f?sig=hush", size="12", until="2026-04-15T13:00:00Z"),
    )
    assert (link.credentials, link.headers, link.size_bytes) == (None, {}, 12)
    assert link.expires_at is not None
    assert "hush" not in repr(link)
    assert described.details == []


def test_a_file_of_the_api_is_requested_with_our_credentials_and_counted() -> None:
    described, link = locate(
        {"file": "/jobs/{id}/file", "query": {"alt": "media"}}, job("done"), api={"query": {"v": "1"}}
    )
    assert link.url.reveal() == "https://api.example.com/jobs/b1/file?v=1&alt=media"
    assert link.credentials == {"Authorization": "TD1 a-key-of-the-vendor"}
    assert "a-key" not in repr(link)
    assert described.client.download_origins == ("https://api.example.com",)


@pytest.mark.parametrize(
    ("auth", "address", "sends"),
    [
        (True, "https://api.example.com/f", True),
        (True, "https://files.example.com/f", True),
        (True, "/f", True),
        (True, "report?id=1", True),
        (False, "https://api.example.com/f", False),
        (None, "https://store.example/f", False),
        ("needs_token", "https://api.example.com/f", False),
        ("!needs_token", "https://api.example.com/f", True),
    ],
)
def test_credentials_go_where_the_definition_allows(auth: object, address: str, sends: bool) -> None:
    api = {"auth": {"kind": "header", "also_for": ["https://files.example.com"]}}
    fields = {"url": "url"} if auth is None else {"url": "url", "auth": auth}
    _, link = locate(fields, job("done", url=address, needs_token=False), api=api)
    assert (link.credentials is not None) == sends


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/f",
        "http://api.example.com/f",
        "https://api.example.com:8443/f",
        "https://api.example.com.evil.example/f",
        "https://user@evil.example/f",
        "//evil.example/f",
        "https://api.example.com@evil.example/",
        "https://[broken/",
        "https://api.example.com:99999/f",
    ],
)
def test_no_answer_can_send_the_credentials_elsewhere(address: str) -> None:
    with pytest.raises(ArtifactRefusedError, match=r"would have to be requested with credentials|no URL"):
        locate({"url": "url", "auth": True}, job("done", url=address))


def test_a_link_on_the_apis_own_host_needs_a_word_about_credentials() -> None:
    with pytest.raises(ArtifactRefusedError, match=r"set link\.auth to true"):
        locate({"url": "url"}, job("done", url="https://api.example.com/f"))


def test_a_second_call_may_hold_the_link() -> None:
    described, link = locate(
        {"get": "/documents/{document}", "url": "url", "gzip": "algorithm == 'GZIP'", "name": "{id}.txt"},
        job("done", document="d/1"),
        Reply(json={"url": "https://store.example/x", "algorithm": "GZIP"}),
        api={"build": {"id": "id", "status": "state", "keep": {"document": "document"}}},
    )
    assert [sent.path for sent in described.fake.sent] == ["/jobs/b1", "/documents/d%2F1"]
    assert link.filename == "b1.txt.gz"
    with pytest.raises(SourceProtocolError, match="get_link returned no link"):
        locate({"get": "/documents/{id}", "url": "url"}, job("done"), Reply(json={}))


def test_what_the_response_says_of_a_file_outside_its_entry_counts_as_well() -> None:
    link = {
        "each": "manifest.blobs",
        "url": "blobLink",
        "bytes": "byteCount",
        "expires": "validTill",
        "name": "{id}-{n}",
    }
    blobs = [{"blobLink": "https://store.example/x", "byteCount": 5}]
    _, found = locate(link, job("done", manifest={"blobs": blobs}, validTill="2026-04-15T13:00:00.1234567Z"))
    assert (found.size_bytes, found.filename) == (5, "b1-1")
    assert found.expires_at is not None


@pytest.mark.parametrize(
    ("said", "digest"),
    [("sha256:" + "AB" * 32, "ab" * 32), ("ab" * 32, "ab" * 32), ("nonsense", None), (7, None), (None, None)],
)
def test_a_digest_is_promised_only_if_it_is_one(said: object, digest: str | None) -> None:
    link = {"url": "url", "sha256": {"read": "sum", "match": "([0-9a-fA-F]{64})$"}}
    described, found = locate(link, job("done", url="https://store.example/x", sum=said))
    assert found.sha256 == digest
    assert bool(described.details) == (digest is None and said is not None)


def test_prescribed_headers_are_sent_but_for_those_that_change_the_request() -> None:
    said = {
        "X-Amz-Server-Side": "yes",
        "Host": "evil",
        "range": "bytes=0-0",
        "Authorization": "x",
        "X-Bad": "a\nb",
        "X": 1,
    }
    described, found = locate(
        {"url": "url", "headers": {"Accept": "text/csv"}, "headers_from": "headers"},
        job("done", url="https://store.example/x", headers=said),
    )
    assert found.headers == {"X-Amz-Server-Side": "yes", "Accept": "text/csv"}
    assert described.details == ["unreadable_value: link.headers_from: a header that is not sent"]


@pytest.mark.parametrize("size", ["-1", -5, "NaN", 1e300, {"a": 1}, "12 MB", True, 0])
def test_a_size_that_is_none_is_unknown(size: object) -> None:
    _, found = locate({"url": "url", "bytes": "size"}, job("done", url="https://store.example/x", size=size))
    assert found.size_bytes is None


@pytest.mark.parametrize("url", [None, "", 7, ["https://x/y"], "https://x/" + "y" * 20_000])
def test_a_link_that_is_none_is_no_link(url: object) -> None:
    with pytest.raises(SourceProtocolError, match="no link"):
        locate({"url": "url"}, job("done", url=url))


@pytest.mark.parametrize(
    "link",
    [
        {"file": "/files/{document}"},
        {"get": "/documents/{document}", "url": "url"},
        {"url": "url", "headers": {"X-Document": "{document}"}},
        {"url": "url", "name": "{document}"},
    ],
)
@pytest.mark.parametrize("kept", [{}, {"document": None}, {"document": "\ud800"}, {"document": {"a": 1}}])
def test_a_kept_value_that_cannot_be_used_is_the_fault_of_the_response(
    link: dict[str, Any], kept: dict[str, Any]
) -> None:
    build = {"id": "id", "status": "state", "keep": {"document": "document"}}
    with pytest.raises(SourceProtocolError, match=r"document|header"):
        locate(link, job("done", url="https://store.example/f", **kept), api={"build": build})


@pytest.mark.parametrize("kept", ["", ".", ".."])
@pytest.mark.parametrize("link", [{"file": "/files/{document}"}, {"get": "/documents/{document}", "url": "url"}])
def test_a_kept_value_that_is_no_segment_of_a_path_is_the_fault_of_the_response(
    link: dict[str, Any], kept: str
) -> None:
    build = {"id": "id", "status": "state", "keep": {"document": "document"}}
    with pytest.raises(SourceProtocolError, match="cannot be part of an API path"):
        locate(link, job("done", document=kept), api={"build": build})


@pytest.mark.parametrize("address", ["https://store.example/\ud800", "https://\ud800.example/f"])
def test_a_link_with_a_lone_surrogate_is_the_fault_of_the_response(address: str) -> None:
    with pytest.raises(SourceProtocolError, match="lone surrogate"):
        locate({"url": "url"}, job("done", url=address))
