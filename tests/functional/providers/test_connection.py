"""What can go wrong between two machines, over real sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from courier.config.secrets import ApiKey
from courier.errors import RequestUncertainError, SourceProtocolError, SourceRejectedError, SourceUnavailableError
from courier.models import Build
from courier.providers import open_provider
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
from tests.functional.providers.world import BUILD_WISH, NO_WAITING, World


def nobody_listens() -> str:
    """Give the address of a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def client(endpoint: str, *, read_timeout_seconds: float = 10) -> ApiClient:
    return ApiClient(
        endpoint,
        lambda _: {"Authorization": "TD1 1/key"},
        source="x",
        read_timeout_seconds=read_timeout_seconds,
        backoff=NO_WAITING,
    )


def test_nobody_listening_is_an_outage_for_either_kind_of_request() -> None:
    nobody = client(nobody_listens())
    with pytest.raises(SourceUnavailableError, match="x: list_models cannot connect: "):
        nobody.get_json("/", kind="list_models")
    with pytest.raises(SourceUnavailableError, match="x: start_build cannot connect: "):
        nobody.post_json("/", {}, kind="start_build")


def test_a_name_that_nobody_knows_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    def know_nothing(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", know_nothing)
    with pytest.raises(SourceUnavailableError, match="x: start_build cannot resolve the endpoint"):
        client("http://nobody.invalid").post_json("/", {}, kind="start_build")


@pytest.mark.parametrize(
    "fault",
    [
        ResetBeforeReading(),
        Unanswered(),
        CutBody(keep_bytes=5),
        CutBody(keep_bytes=5, ending=Unanswered().ending),
    ],
)
def test_a_broken_connection_is_tried_again(world: World, fault: CutBody) -> None:
    world.break_with(fault, RequestKind.LIST_MODELS, times=2)
    assert len(world.insights().scopes()) == 2
    assert [attempt.failure for attempt in world.attempts] == ["broken", "broken", None]


def test_a_start_on_a_broken_connection_is_not_tried_again(world: World) -> None:
    world.break_with(ResetBeforeReading(), RequestKind.START_BUILD)
    with pytest.raises(RequestUncertainError):
        world.insights().start_build(BUILD_WISH)
    assert world.asked(RequestKind.START_BUILD) == 1


def test_an_answer_that_does_not_come_is_given_up(make_world: Callable[..., World]) -> None:
    world = make_world(hold=True)
    world.break_with(Delay(600), RequestKind.OTHER, times=None)
    impatient = client(world.providers.url, read_timeout_seconds=0.05)
    with pytest.raises(SourceUnavailableError, match="timed out waiting for the response"):
        impatient.get_json("/", kind="list_models")
    with pytest.raises(RequestUncertainError, match="timed out waiting for the response"):
        impatient.post_json("/", {}, kind="start_build")


@pytest.mark.parametrize("fault", [GzipBody(), NoLength(), SlowBody(piece_bytes=7, pause_seconds=1)])
def test_bodies_come_in_many_ways(world: World, fault: GzipBody) -> None:
    world.break_with(fault, RequestKind.LIST_MODELS)
    assert len(world.insights().scopes()) == 2
    assert world.asked(RequestKind.LIST_MODELS) == 1


def test_a_body_that_claims_to_be_gzip_is_not_asked_for_again(world: World) -> None:
    world.break_with(SetHeaders({"Content-Encoding": "gzip"}), RequestKind.LIST_MODELS)
    with pytest.raises(SourceProtocolError, match="cannot be decoded"):
        world.insights().scopes()
    assert world.asked(RequestKind.LIST_MODELS) == 1


def test_a_body_that_ends_early_without_a_length_is_no_list(world: World) -> None:
    world.break_with(CutBody(keep_bytes=5, with_length=False), RequestKind.LIST_MODELS)
    with pytest.raises(SourceProtocolError, match="not JSON"):
        world.insights().scopes()


def test_a_start_with_an_empty_answer_is_uncertain(world: World) -> None:
    world.break_with(ReplaceBody(b""), RequestKind.START_BUILD)
    with pytest.raises(RequestUncertainError):
        world.insights().start_build(BUILD_WISH)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed(world: World, status: int) -> None:
    elsewhere = f"{world.providers.url}/elsewhere?token=hush"
    world.break_with(Redirect(elsewhere, status), RequestKind.START_BUILD)
    world.break_with(Redirect(elsewhere, status), RequestKind.LIST_MODELS)
    for ask in (world.insights().scopes, lambda: world.insights().start_build(BUILD_WISH)):
        with pytest.raises(SourceRejectedError, match=f"returned {status}.* correct the source's endpoint") as caught:
            ask()
        assert "hush" not in str(caught.value)
    assert world.asked(RequestKind.OTHER) == 0


def test_the_environment_stays_outside(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, nobody_listens())
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert len(world.insights().scopes()) == 2


def test_a_private_authority_is_trusted_when_the_source_names_it(make_world: Callable[..., World]) -> None:
    world = make_world(tls=True)
    assert world.providers.ca_file is not None
    pem = world.providers.ca_file.read_text()
    assert len(world.insights(ca_bundle=pem).scopes()) == 2
    assert isinstance(world.insights(ca_bundle=pem).start_build(BUILD_WISH), Build)
    for ask in (world.insights().scopes, lambda: world.insights().start_build(BUILD_WISH)):
        with pytest.raises(SourceUnavailableError, match=r"not trusted: .*ca_bundle"):
            ask()


def test_a_provider_opened_by_the_registry_speaks(world: World) -> None:
    key = ApiKey(world.scenario.treasure.key)
    insights = open_provider(world.insights().settings, read_key=lambda _name, _fresh: key)
    assert insights.check() == "insights: the API key works and can see 2 data models"
