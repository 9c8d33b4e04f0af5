"""Links and redirects are untrusted: where the download connects to, and what it sends there."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import pytest

from courier.errors import ArtifactRefusedError, SettingsError
from courier.links import ArtifactLink, SecretUrl
from courier.transfer.options import MIB
from courier.transfer.url_policy import LinkRules
from local.simulator import Redirect
from local.simulator.faults import Fault
from local.simulator.messages import Request
from tests.functional.transfer.conftest import NewHarness
from tests.functional.transfer.harness import CopyHarness

SIZES = [300_000, 12 * MIB]


def port_of(harness: CopyHarness) -> str:
    return harness.providers.url.rpartition(":")[2]


def url_on(harness: CopyHarness, origin: str) -> str:
    """Return a fresh link, on another host."""
    return harness.locate().url.reveal().replace(f"http://localhost:{port_of(harness)}", origin)


@pytest.mark.parametrize("size_bytes", SIZES)
def test_redirect_to_an_allowed_host_is_followed(new_harness: NewHarness, size_bytes: int) -> None:
    harness = new_harness(size_bytes)
    harness.inject(Redirect(harness.locate().url.reveal(), status=307))
    harness.inject(Redirect(harness.locate().url.reveal()), nth=3)
    harness.copy()
    assert harness.stored() == harness.report
    assert 307 in harness.statuses()


def test_redirect_may_be_relative(new_harness: NewHarness) -> None:
    harness = new_harness(300_000)
    relative = "/" + harness.locate().url.reveal().split("/", 3)[3]
    harness.inject(Redirect(relative))
    harness.copy()
    assert harness.stored() == harness.report


@pytest.mark.parametrize(
    "elsewhere",
    [
        "http://169.254.169.254/latest/meta-data/iam/security-credentials/",
        "https://169.254.169.254/",
        "http://evil.example/",
        "https://10.0.0.1/",
        "file:///etc/passwd",
        "//evil.example/",
        "http://[::ffff:169.254.169.254]/",
        "http://[broken/",
    ],
)
@pytest.mark.parametrize("nth", [1, 3])
def test_redirect_to_anything_else_is_refused(new_harness: NewHarness, elsewhere: str, nth: int) -> None:
    harness = new_harness(12 * MIB)
    harness.inject(Redirect(elsewhere), nth=nth)
    with pytest.raises(ArtifactRefusedError) as caught:
        harness.copy()
    assert "X-Amz" not in str(caught.value)
    assert harness.stored() is None


def test_at_most_three_redirects_are_followed(new_harness: NewHarness) -> None:
    harness = new_harness(300_000)
    harness.inject(Redirect(harness.locate().url.reveal()), times=3)
    harness.copy()
    harness.inject(Redirect(harness.locate().url.reveal()), times=4)
    with pytest.raises(ArtifactRefusedError, match="redirects more than 3 times"):
        harness.copy()


def test_name_is_resolved_once_per_connection_and_the_address_is_the_one_that_was_checked(
    new_harness: NewHarness,
) -> None:
    harness = new_harness(300_000)
    requested: list[str] = []

    def resolve(host: str, _: int) -> Sequence[str]:
        requested.append(host)
        return ["127.0.0.1"]

    # No resolver knows this name: only a connection to the checked address can succeed.
    link = url_on(harness, f"http://storage.invalid:{port_of(harness)}")
    harness.inject(_AnyHost(port_of(harness)), times=None)
    harness.copy(locate=lambda: _link(link), rules=_rules(harness, private=True), resolver=resolve)
    assert requested == ["storage.invalid"]
    assert harness.stored() == harness.report


def test_name_that_points_inside_is_refused_without_a_connection(new_harness: NewHarness) -> None:
    harness = new_harness(300_000)
    link = url_on(harness, f"http://storage.invalid:{port_of(harness)}")
    with pytest.raises(ArtifactRefusedError, match=r"storage\.invalid resolves to 127\.0\.0\.1, a loopback address"):
        harness.copy(locate=lambda: _link(link), rules=_rules(harness), resolver=lambda *_: ["127.0.0.1"])
    assert harness.statuses() == []


@pytest.mark.parametrize("dead_first", [True, False])
def test_next_address_is_tried_when_one_does_not_respond(new_harness: NewHarness, dead_first: bool) -> None:
    harness = new_harness(300_000)
    with _closed_address(int(port_of(harness))) as dead:
        addresses = [dead, "127.0.0.1"] if dead_first else ["127.0.0.1", dead]
        harness.copy(resolver=lambda *_: addresses)
    assert harness.stored() == harness.report
    assert harness.waits == []


def test_certificate_of_an_unknown_authority_is_refused(new_harness: NewHarness) -> None:
    harness = new_harness(300_000, tls=True)
    with pytest.raises(ArtifactRefusedError, match=r"certificate of localhost is not trusted .* ca_bundle"):
        harness.copy()
    assert harness.statuses() == []


@pytest.mark.parametrize("size_bytes", SIZES)
def test_authority_of_ones_own_is_trusted_when_named(new_harness: NewHarness, size_bytes: int) -> None:
    harness = new_harness(size_bytes, tls=True)
    assert harness.providers.ca_file is not None
    harness.copy(ca_bundle=harness.providers.ca_file.read_text())
    assert harness.stored() == harness.report


def test_certificate_must_be_for_the_name_and_not_the_address(new_harness: NewHarness) -> None:
    harness = new_harness(300_000, tls=True)
    assert harness.providers.ca_file is not None
    link = harness.locate().url.reveal().replace("localhost", "storage.invalid")
    rules = LinkRules.parse([f"storage.invalid:{port_of(harness)}"], private_addresses=True)
    with pytest.raises(ArtifactRefusedError, match=r"certificate of storage\.invalid is not trusted"):
        harness.copy(
            locate=lambda: _link(link),
            rules=rules,
            resolver=lambda *_: ["127.0.0.1"],
            ca_bundle=harness.providers.ca_file.read_text(),
        )


def test_authority_that_cannot_be_read_is_a_setting(new_harness: NewHarness) -> None:
    harness = new_harness(300_000, tls=True)
    broken = "-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n"
    with pytest.raises(SettingsError, match="ca_bundle"):
        harness.copy(ca_bundle=broken)


def test_download_carries_nothing_but_itself(new_harness: NewHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    # A client that heeds the environment would send requests for localhost, the store, to a closed port.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    harness = new_harness(12 * MIB)
    seen = _Headers()
    harness.inject(seen, times=None)
    harness.copy()
    assert seen.names == {"host", "user-agent", "accept", "accept-encoding", "range", "if-match"}
    assert seen.encodings == {"identity"}


def test_connections_are_kept_alive(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)
    requested: list[str] = []

    def resolve(host: str, _: int) -> Sequence[str]:
        requested.append(host)
        return ["127.0.0.1"]

    harness.copy(resolver=resolve)
    assert len(requested) <= 4
    assert len(harness.ranges()) == 6


class _Headers(Fault):
    """Changes nothing and records which headers arrive."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.encodings: set[str] = set()

    def on_request(self, request: Request) -> Request:
        self.names |= set(request.headers)
        self.encodings.add(request.headers.get("accept-encoding", ""))
        return request


class _AnyHost(Fault):
    """Lets the store check the signature for its own name."""

    def __init__(self, port: str) -> None:
        self._host = f"localhost:{port}"

    def on_request(self, request: Request) -> Request:
        headers = {**request.headers, "host": self._host}
        return Request(request.at, request.method, request.path, request.query, headers, request.target, request.body)


def _rules(harness: CopyHarness, *, private: bool = False) -> LinkRules:
    return LinkRules.parse([f"http://storage.invalid:{port_of(harness)}"], private_addresses=private)


def _link(url: str) -> ArtifactLink:
    return ArtifactLink(url=SecretUrl(url), size_bytes=None, expires_at=None, filename="report.pdf")


@contextmanager
def _closed_address(port: int) -> Iterator[str]:
    """Return a loopback address on which no server listens on this port."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.9", port))
        yield "127.0.0.9"
