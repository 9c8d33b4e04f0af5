"""What a client sees of a store that serves ranges oddly, and of bodies and heads in unusual forms."""

from __future__ import annotations

import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
import requests

from local.simulator import (
    ChunkedBody,
    DenyEtag,
    Fault,
    FaultPlan,
    FaultRule,
    InterimResponse,
    OddRange,
    OtherEtag,
    RepeatLength,
    RequestKind,
    faults_range,
)

from .conftest import JOB, REPORT_BYTES, Client

Simulate = Callable[..., Client]


def on_artifact(fault: Fault) -> FaultPlan:
    return FaultPlan(FaultRule(fault, RequestKind.ARTIFACT, times=None))


def test_a_range_is_refused_with_the_length(simulate: Simulate) -> None:
    client = simulate(faults=on_artifact(OddRange("unsatisfiable")))
    response = client.fetch(Range="bytes=0-9")
    assert (response.status_code, response.headers["Content-Range"]) == (416, f"bytes */{REPORT_BYTES}")
    assert client.fetch().status_code == 200


def test_a_range_comes_as_multipart(simulate: Simulate) -> None:
    client = simulate(faults=on_artifact(OddRange("multipart")))
    response = client.fetch(Range="bytes=0-9")
    assert response.status_code == 206
    assert response.headers["Content-Type"].startswith("multipart/byteranges; boundary=")
    assert "Content-Range" not in response.headers
    head, _, rest = response.content.partition(b"\r\n\r\n")
    assert f"Content-Range: bytes 0-9/{REPORT_BYTES}".encode() in head
    assert rest.startswith(client.providers.artifact_bytes(JOB)[:10])


def test_a_range_is_shorter_than_requested(simulate: Simulate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults_range, "MOST_BYTES", 4)
    client = simulate(faults=on_artifact(OddRange("short")))
    response = client.fetch(Range="bytes=10-19")
    assert response.headers["Content-Range"] == f"bytes 10-13/{REPORT_BYTES}"
    assert response.content == client.providers.artifact_bytes(JOB)[10:14]


def test_a_range_is_written_with_an_equals_sign(simulate: Simulate) -> None:
    client = simulate(faults=on_artifact(OddRange("equals_sign")))
    assert client.fetch(Range="bytes=0-9").headers["Content-Range"] == f"bytes=0-9/{REPORT_BYTES}"


def test_a_store_denies_its_own_etag(simulate: Simulate) -> None:
    client = simulate(faults=on_artifact(DenyEtag()))
    etag = client.fetch().headers["ETag"]
    assert client.fetch(If_Match=etag).status_code == 412


def test_a_replica_has_another_etag_for_the_same_bytes(simulate: Simulate) -> None:
    client = simulate(faults=FaultPlan(FaultRule(OtherEtag(), RequestKind.ARTIFACT, nth=2)))
    one, other = client.fetch(), client.fetch()
    assert one.content == other.content
    assert one.headers["ETag"] != other.headers["ETag"]


def test_a_body_comes_in_chunks(simulate: Simulate) -> None:
    response = simulate(faults=on_artifact(ChunkedBody())).fetch()
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in response.headers
    assert len(response.content) == REPORT_BYTES


def test_a_body_in_chunks_may_break_off(simulate: Simulate) -> None:
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        simulate(faults=on_artifact(ChunkedBody(100))).fetch()


def test_the_length_stands_twice_in_its_header(simulate: Simulate) -> None:
    client = simulate(faults=on_artifact(RepeatLength()))
    assert f"Content-Length: {REPORT_BYTES}, {REPORT_BYTES}\r\n" in head_of(client, responses=1)


def test_an_informational_response_comes_first(simulate: Simulate) -> None:
    client = simulate(faults=on_artifact(InterimResponse()))
    assert head_of(client, responses=2).startswith("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n")


def head_of(client: Client, *, responses: int) -> str:
    """Return the heads of so many responses to one download, as they were sent."""
    link = urlsplit(client.link())
    with socket.create_connection((link.hostname or "", link.port or 0), timeout=10) as connection:
        connection.sendall(f"GET {link.path}?{link.query} HTTP/1.1\r\nHost: {link.netloc}\r\n\r\n".encode())
        received = b""
        while received.count(b"\r\n\r\n") < responses:
            received += connection.recv(65_536)
    return received.decode("latin-1")
