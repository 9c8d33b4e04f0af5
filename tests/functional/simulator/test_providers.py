from __future__ import annotations

import socket
import ssl
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO

import pytest
import requests
from pypdf import PdfReader

from local.simulator import (
    ConnectionEnd,
    CutBody,
    FaultPlan,
    FaultRule,
    HeldClock,
    JobPlan,
    ManualClock,
    ProviderName,
    RequestKind,
    SimulatedProviders,
    demo_scenario,
)
from local.simulator.reports import SMALLEST_REPORT_BYTES, make_report

from .conftest import BUILD, JOB, MODEL, PRESET, Client, chatbot, scenario

MEBIBYTE = 1024 * 1024


@pytest.mark.parametrize("size_bytes", [SMALLEST_REPORT_BYTES, 99_999, 256 * 1024, 5 * MEBIBYTE + 1, 20_000_000])
def test_a_report_is_a_real_pdf_of_exactly_its_size(size_bytes: int) -> None:
    report = make_report("seed", size_bytes)

    pages = PdfReader(BytesIO(report), strict=True).pages
    assert len(report) == size_bytes
    assert len(pages) >= 3
    assert "Findings" in pages[1].extract_text()


def test_builds_do_not_age_before_the_first_request() -> None:
    real = ManualClock()
    with SimulatedProviders(scenario(), clock=HeldClock(real)) as providers:
        real.advance(1_000)
        assert providers.build(BUILD).status == "pending"
        requests.get(providers.url, timeout=5)
        real.advance(6)
        assert providers.build(BUILD).status == "building"


def test_a_report_follows_from_its_seed() -> None:
    again = make_report.__wrapped__

    assert again("one", 50_000) == again("one", 50_000) != again("two", 50_000)


def test_a_report_is_as_hard_to_compress_as_images_are() -> None:
    assert len(zlib.compress(make_report("seed", 256 * 1024), 1)) > 200 * 1024


def test_a_report_cannot_be_smaller_than_a_pdf() -> None:
    with pytest.raises(ValueError, match="at least"):
        make_report("seed", SMALLEST_REPORT_BYTES - 1)


def test_a_large_report_is_served_whole(simulate: Callable[..., Client]) -> None:
    project = replace(chatbot(), when_started=(JobPlan(artifact_bytes=20 * MEBIBYTE),))
    client = simulate(scenario(airt=replace(scenario().airt, projects=(project,))))
    job_id = client.airt("POST", "/build", json=PRESET).json()["job_id"]
    client.clock.advance(60)

    assert client.fetch(client.link(job_id)).content == client.providers.artifact_bytes(job_id)


def test_a_small_response_is_sent_in_one_piece(client: Client) -> None:
    """Headers and body in two segments cost 40 ms per response, by Nagle's algorithm and delayed acknowledgements."""
    port = int(client.providers.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for _ in range(20):
            connection.sendall(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(65536).endswith(b"</Error>")


def test_tls_is_trusted_by_its_authority_only() -> None:
    played = scenario()
    with SimulatedProviders(played, clock=ManualClock(), tls=True) as providers, requests.Session() as session:
        headers = {"Authorization": f"Bearer {played.airt.key}"}
        url = f"{providers.url}/api/v1/org/acme/ws/main/airt/projects/chatbot/reports/build/{JOB}"
        with pytest.raises(requests.exceptions.SSLError):
            session.get(url, headers=headers, timeout=10)
        ca_file = str(providers.ca_file)
        link = session.get(url, headers=headers, timeout=10, verify=ca_file).json()["presigned_url"]

        report = session.get(link, timeout=10, verify=ca_file).content

        assert link.startswith("https://localhost:")
        assert report == providers.artifact_bytes(JOB)
    assert providers.ca_file is not None
    assert not providers.ca_file.exists()


def test_the_certificate_passes_the_strict_checks_of_newer_pythons() -> None:
    with SimulatedProviders(scenario(), tls=True) as providers:
        context = ssl.create_default_context(cafile=providers.ca_file)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        port = int(providers.url.rpartition(":")[2])
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            assert connection.getpeercert()


def test_a_connection_is_reset_under_tls_too() -> None:
    played = scenario()
    plan = FaultPlan(FaultRule(CutBody(5, ending=ConnectionEnd.RESET)))
    with SimulatedProviders(played, clock=ManualClock(), tls=True, faults=plan) as providers:
        url = f"{providers.url}/reporting/datamodels"
        headers = {"Authorization": f"TD1 {played.treasure.key}"}
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            requests.get(url, headers=headers, timeout=10, verify=str(providers.ca_file))
        assert requests.get(url, headers=headers, timeout=10, verify=str(providers.ca_file)).status_code == 200


def test_the_ids_follow_from_the_seed() -> None:
    def ids(seed: int) -> list[str]:
        providers = SimulatedProviders(demo_scenario(), seed=seed, clock=ManualClock())
        return [build.build_id for build in providers.builds]

    assert ids(1) == ids(1)
    assert not set(ids(1)) & set(ids(2))


def test_many_concurrent_clients_are_all_served_and_logged(client: Client) -> None:
    url = f"{client.providers.url}/reporting/datamodels/{MODEL}/builds"
    headers = {"Authorization": f"TD1 {client.scenario.treasure.key}"}

    def start(_: int) -> str:
        return str(requests.post(url, headers=headers, json={"buildType": "full"}, timeout=10).json()["oid"])

    with ThreadPoolExecutor(16) as pool:
        oids = set(pool.map(start, range(100)))

    assert len(oids) == 100
    assert oids <= {build.build_id for build in client.providers.builds}
    assert client.providers.requests.counts() == {RequestKind.START_BUILD: 100}


def test_closing_ends_idle_connections_and_waits() -> None:
    with SimulatedProviders(scenario()) as providers:
        port = int(providers.url.rpartition(":")[2])
        idle = socket.create_connection(("127.0.0.1", port))
        idle.sendall(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"404" in idle.recv(4096)
    with idle:
        assert idle.recv(1) == b""


def test_an_unknown_path_gets_a_404_and_is_logged(client: Client) -> None:
    assert client.session.get(f"{client.providers.url}/nowhere?x=1", timeout=10).status_code == 404

    (entry,) = client.providers.requests
    assert (entry.provider, entry.kind, entry.path) == (ProviderName.UNKNOWN, RequestKind.OTHER, "/nowhere")


def test_without_its_context_it_has_no_address() -> None:
    with pytest.raises(RuntimeError, match="enter the context"):
        _ = SimulatedProviders(scenario()).url


def test_the_state_of_an_unknown_build_is_a_key_error(client: Client) -> None:
    assert client.providers.build(BUILD).status == "pending"
    with pytest.raises(KeyError):
        client.providers.build("nope")


def test_the_demo_ends_within_fifteen_seconds() -> None:
    clock = ManualClock()
    with SimulatedProviders(demo_scenario(), clock=clock) as providers:
        at_start = [build.status for build in providers.builds]
        account = demo_scenario().airt
        headers = {"Authorization": f"Bearer {account.key}"}
        base = f"{providers.url}/api/v1/org/acme/ws/main/airt/projects"
        for _ in range(3):
            started = requests.post(f"{base}/chatbot/reports/build", headers=headers, json=PRESET, timeout=10)
            assert started.status_code == 202
        empty = requests.post(f"{base}/sandbox/reports/build", headers=headers, json=PRESET, timeout=10)
        clock.advance(15)
        builds = providers.builds

    assert at_start.count("done") == 1
    assert (empty.status_code, empty.json()["error"]) == (422, "empty_sections")
    assert len({build.scope for build in builds if build.provider is ProviderName.TREASURE_INSIGHTS}) == 2
    assert sorted(build.status for build in builds) == [
        "canceled", "completed", "completed", "done", "done", "failed", "failed"
    ]  # fmt: skip
    sizes = sorted(build.artifact_bytes for build in builds if build.artifact_bytes)
    assert sizes == [320 * 1024, 18 * MEBIBYTE]
