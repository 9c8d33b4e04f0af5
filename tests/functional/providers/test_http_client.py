"""Network failures, over real sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from courier.config.secrets import Secret
from courier.errors import RequestUncertainError, SourceProtocolError, SourceRejectedError, SourceUnavailableError
from courier.models import Build
from courier.providers import open_provider
from courier.providers.api_call import Credentials
from courier.providers.http_client import ApiClient
from local.simulator import (
    CutBody,
    Delay,
    GzipBody,
    NoLength,
    Redirect,
    ReplaceBody,
    RequestKind,
    ResetBeforeReading,
    SetHeaders,
    SlowBody,
    Unanswered,
)
from tests.functional.providers.simulated_apis import BUILD_REQUEST, NO_WAITING, SimulatedApis


def closed_port() -> str:
    """Return the URL of a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def client(endpoint: str, *, read_timeout_seconds: float = 10) -> ApiClient:
    return ApiClient(
        endpoint,
        lambda _: Credentials(headers={"Authorization": "TD1 1/key"}),
        source="x",
        read_timeout_seconds=read_timeout_seconds,
        backoff=NO_WAITING,
    )


def test_a_refused_connection_is_an_outage_for_either_kind_of_request() -> None:
    client_of_closed_port = client(closed_port())
    with pytest.raises(SourceUnavailableError, match="x: list_models cannot connect: "):
        client_of_closed_port.get_json("/", kind="list_models")
    with pytest.raises(SourceUnavailableError, match="x: start_build cannot connect: "):
        client_of_closed_port.post_json("/", {}, kind="start_build")


def test_an_unknown_host_name_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    def know_nothing(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", know_nothing)
    with pytest.raises(SourceUnavailableError, match="x: start_build cannot resolve the endpoint"):
        client("http://host.invalid").post_json("/", {}, kind="start_build")


@pytest.mark.parametrize(
    "fault",
    [
        ResetBeforeReading(),
        Unanswered(),
        CutBody(keep_bytes=5),
        CutBody(keep_bytes=5, ending=Unanswered().ending),
    ],
)
def test_a_broken_connection_is_retried(apis: SimulatedApis, fault: CutBody) -> None:
    apis.break_with(fault, RequestKind.LIST_MODELS, times=2)
    assert len(apis.insights().scopes()) == 2
    assert [attempt.failure for attempt in apis.attempts] == ["broken", "broken", None]


def test_a_start_on_a_broken_connection_is_not_retried(apis: SimulatedApis) -> None:
    apis.break_with(ResetBeforeReading(), RequestKind.START_BUILD)
    with pytest.raises(RequestUncertainError):
        apis.insights().start_build(BUILD_REQUEST)
    assert apis.request_count(RequestKind.START_BUILD) == 1


def test_a_missing_response_times_out(make_apis: Callable[..., SimulatedApis]) -> None:
    apis = make_apis(hold=True)
    apis.break_with(Delay(600), RequestKind.OTHER, times=None)
    impatient = client(apis.providers.url, read_timeout_seconds=0.05)
    with pytest.raises(SourceUnavailableError, match="timed out waiting for the response"):
        impatient.get_json("/", kind="list_models")
    with pytest.raises(RequestUncertainError, match="timed out waiting for the response"):
        impatient.post_json("/", {}, kind="start_build")


@pytest.mark.parametrize("fault", [GzipBody(), NoLength(), SlowBody(piece_bytes=7, pause_seconds=1)])
def test_bodies_arrive_in_many_encodings(apis: SimulatedApis, fault: GzipBody) -> None:
    apis.break_with(fault, RequestKind.LIST_MODELS)
    assert len(apis.insights().scopes()) == 2
    assert apis.request_count(RequestKind.LIST_MODELS) == 1


def test_a_body_that_is_not_the_declared_gzip_is_not_retried(apis: SimulatedApis) -> None:
    apis.break_with(SetHeaders({"Content-Encoding": "gzip"}), RequestKind.LIST_MODELS)
    with pytest.raises(SourceProtocolError, match="cannot be decoded"):
        apis.insights().scopes()
    assert apis.request_count(RequestKind.LIST_MODELS) == 1


def test_a_body_that_ends_early_without_a_length_is_no_list(apis: SimulatedApis) -> None:
    apis.break_with(CutBody(keep_bytes=5, with_length=False), RequestKind.LIST_MODELS)
    with pytest.raises(SourceProtocolError, match="not JSON"):
        apis.insights().scopes()


def test_a_start_with_an_empty_response_is_uncertain(apis: SimulatedApis) -> None:
    apis.break_with(ReplaceBody(b""), RequestKind.START_BUILD)
    with pytest.raises(RequestUncertainError):
        apis.insights().start_build(BUILD_REQUEST)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed(apis: SimulatedApis, status: int) -> None:
    elsewhere = f"{apis.providers.url}/elsewhere?token=hush"
    apis.break_with(Redirect(elsewhere, status), RequestKind.START_BUILD)
    apis.break_with(Redirect(elsewhere, status), RequestKind.LIST_MODELS)
    for call in (apis.insights().scopes, lambda: apis.insights().start_build(BUILD_REQUEST)):
        with pytest.raises(SourceRejectedError, match=f"returned {status}.* correct the source's endpoint") as caught:
            call()
        assert "hush" not in str(caught.value)
    assert apis.request_count(RequestKind.OTHER) == 0


def test_proxies_and_netrc_are_ignored(apis: SimulatedApis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, closed_port())
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert len(apis.insights().scopes()) == 2


def test_a_private_authority_is_trusted_when_the_source_names_it(make_apis: Callable[..., SimulatedApis]) -> None:
    apis = make_apis(tls=True)
    assert apis.providers.ca_file is not None
    pem = apis.providers.ca_file.read_text()
    assert len(apis.insights(ca_bundle=pem).scopes()) == 2
    assert isinstance(apis.insights(ca_bundle=pem).start_build(BUILD_REQUEST), Build)
    for call in (apis.insights().scopes, lambda: apis.insights().start_build(BUILD_REQUEST)):
        with pytest.raises(SourceUnavailableError, match=r"not trusted: .*ca_bundle"):
            call()


def test_a_provider_opened_by_the_registry_sends_requests(apis: SimulatedApis) -> None:
    secret = Secret("build-courier/insights", apis.scenario.treasure.key)
    insights = open_provider(apis.insights().settings, read_secret=lambda _name, _fresh: secret)
    assert insights.check() == "insights: the API key works and can see 2 data models"
