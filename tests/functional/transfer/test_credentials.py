"""A file on the API's own host is requested with our credentials, and no other origin ever receives them."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from courier.errors import ArtifactExpiredError, ArtifactRefusedError
from courier.links import ArtifactLink, SecretUrl
from courier.transfer.options import MIB
from courier.transfer.url_policy import LinkRules
from tests.functional.transfer.conftest import NewHarness
from tests.functional.transfer.harness import CopyHarness

TOKEN = "Bearer hush-token"
PDF = b"%PDF-1.7\n"


@dataclass
class Origin:
    """A server on a port of its own, with what it was sent."""

    content: bytes
    token: str | None = None
    redirects: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    def serve(self, stack: ExitStack) -> Origin:
        origin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                origin.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        self.url = f"http://127.0.0.1:{server.server_port}"
        return self

    def answer(self, request: Any) -> None:  # noqa: ANN401 - a handler
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((request.path, headers))
        if request.path in self.redirects:
            return self._send(request, 302, b"", {"Location": self.redirects[request.path]})
        if self.token is not None and headers.get("authorization") != self.token:
            return self._send(request, 401, b"{}", {})
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", headers.get("range", ""))
        usual = {"Content-Type": "application/pdf", "ETag": '"one"', "Accept-Ranges": "bytes"}
        if found is None:
            return self._send(request, 200, self.content, usual)
        first, last = int(found[1]), min(int(found[2]), len(self.content) - 1)
        extent = {"Content-Range": f"bytes {first}-{last}/{len(self.content)}"}
        return self._send(request, 206, self.content[first : last + 1], {**usual, **extent})

    def _send(self, request: Any, status: int, body: bytes, headers: dict[str, str]) -> None:  # noqa: ANN401 - as above
        request.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)


@pytest.fixture
def new_origin() -> Iterator[Callable[..., Origin]]:
    with ExitStack() as stack:
        yield lambda **fields: Origin(**fields).serve(stack)


def link_to(url: str, **more: Any) -> ArtifactLink:  # noqa: ANN401 - fields of a link
    usual = {"size_bytes": None, "expires_at": None, "filename": "r.pdf", "credentials": {"Authorization": TOKEN}}
    return ArtifactLink(url=SecretUrl(url), **{**usual, **more})


def rules_for(*origins: Origin) -> LinkRules:
    return LinkRules.parse([origin.url for origin in origins], private_addresses=True)


def harness_for(new_harness: NewHarness, origin: Origin) -> CopyHarness:
    harness = new_harness(300_000)
    # What the bucket may hold in the end.
    harness.others.append(origin.content)
    return harness


def content_of(size_bytes: int) -> bytes:
    return PDF + bytes(size_bytes - len(PDF) - 6) + b"%%EOF\n"


@pytest.mark.parametrize("size_bytes", [300_000, 12 * MIB])
def test_the_apis_own_host_gets_the_credentials_with_every_request(
    new_harness: NewHarness, new_origin: Callable[..., Origin], size_bytes: int
) -> None:
    api = new_origin(content=content_of(size_bytes), token=TOKEN)
    harness = harness_for(new_harness, api)
    link = link_to(f"{api.url}/file", headers={"accept": "application/octet-stream"})
    harness.copy(locate=lambda: link, rules=rules_for(api))
    assert harness.stored() == api.content
    assert {headers["authorization"] for _, headers in api.requests} == {TOKEN}
    assert {headers["accept"] for _, headers in api.requests} == {"application/octet-stream"}


@pytest.mark.parametrize("size_bytes", [300_000, 12 * MIB])
def test_a_redirect_to_another_origin_is_followed_bare_and_once(
    new_harness: NewHarness, new_origin: Callable[..., Origin], size_bytes: int
) -> None:
    store = new_origin(content=content_of(size_bytes))
    harness = harness_for(new_harness, store)
    api = new_origin(content=b"", token=TOKEN, redirects={"/archive": f"{store.url}/presigned?sig=hush"})
    link = link_to(f"{api.url}/archive", headers={"X-Prescribed": "hush"})
    harness.copy(locate=lambda: link, rules=rules_for(api, store))
    assert harness.stored() == store.content
    assert all("authorization" not in headers and "x-prescribed" not in headers for _, headers in store.requests)
    assert len(api.requests) == 1, "the other parts take the link that the API handed out"


def test_credentials_do_not_come_back_after_a_redirect_has_left(
    new_harness: NewHarness, new_origin: Callable[..., Origin]
) -> None:
    evil = new_origin(content=b"")
    api = new_origin(content=content_of(300_000), redirects={"/archive": f"{evil.url}/bounce"})
    harness = harness_for(new_harness, api)
    evil.redirects["/bounce"] = f"{api.url}/file"
    harness.copy(locate=lambda: link_to(f"{api.url}/archive"), rules=rules_for(api, evil))
    assert [("authorization" in headers) for _, headers in api.requests][:2] == [True, False]
    assert all("authorization" not in headers for _, headers in evil.requests)


def test_a_redirect_within_the_origin_keeps_them(new_harness: NewHarness, new_origin: Callable[..., Origin]) -> None:
    api = new_origin(content=content_of(300_000), token=TOKEN)
    harness = harness_for(new_harness, api)
    api.redirects["/archive"] = "/file"
    harness.copy(locate=lambda: link_to(f"{api.url}/archive"), rules=rules_for(api))
    assert harness.stored() == api.content


def test_a_redirect_to_a_host_that_is_not_allowed_is_refused(
    new_harness: NewHarness, new_origin: Callable[..., Origin]
) -> None:
    evil = new_origin(content=content_of(300_000))
    harness = harness_for(new_harness, evil)
    api = new_origin(content=b"", token=TOKEN, redirects={"/archive": f"{evil.url}/file"})
    with pytest.raises(ArtifactRefusedError) as caught:
        harness.copy(locate=lambda: link_to(f"{api.url}/archive"), rules=rules_for(api))
    assert evil.requests == []
    assert "hush" not in str(caught.value)


def test_a_renewed_token_is_a_fresh_link_and_the_same_one_is_not(
    new_harness: NewHarness, new_origin: Callable[..., Origin]
) -> None:
    api = new_origin(content=content_of(300_000), token=TOKEN)
    harness = harness_for(new_harness, api)
    old = link_to(f"{api.url}/file", credentials={"Authorization": "Bearer hush-old"})
    links = [old, link_to(f"{api.url}/file")]
    harness.copy(locate=lambda: links.pop(0), rules=rules_for(api))
    assert harness.stored() == api.content
    with pytest.raises(ArtifactExpiredError, match="returns the same link again") as caught:
        harness.copy(locate=lambda: old, rules=rules_for(api))
    assert "hush" not in str(caught.value)


def test_a_link_shows_neither_its_query_nor_its_credentials() -> None:
    link = link_to("https://api.example.com/f?sig=hush", headers={"X-Key": "hush"})
    assert "hush" not in f"{link!r}{link}"
