"""What a client sees when the connection or the body goes wrong."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import requests

from local.simulator import (
    HTML_PAGE,
    XML_ERROR,
    ConnectionEnd,
    CorruptBody,
    CutBody,
    Delay,
    ErrorStatus,
    Fault,
    FaultPlan,
    FaultRule,
    GzipBody,
    IgnoreRange,
    LinkExpired,
    NoLength,
    ObjectChanged,
    Redirect,
    ReplaceBody,
    Reply,
    RequestKind,
    ResetBeforeReading,
    SetHeaders,
    SlowBody,
    TokenExpired,
    Unanswered,
)

from .conftest import JOB, MODEL, PRESET, REPORT_BYTES, Client

BUILDS = f"/datamodels/{MODEL}/builds"
Simulate = Callable[..., Client]


def on_artifact(fault: Fault) -> FaultPlan:
    return FaultPlan(FaultRule(fault, RequestKind.ARTIFACT))


@pytest.mark.parametrize("fault", [ResetBeforeReading(), Unanswered(carried_out=False)])
def test_a_post_that_never_arrived_starts_nothing(simulate: Simulate, fault: Fault) -> None:
    client = simulate(faults=FaultPlan(FaultRule(fault, RequestKind.START_BUILD)))

    with pytest.raises(requests.ConnectionError):
        client.treasure("POST", BUILDS, json={"buildType": "full"})

    assert len(client.treasure("GET", BUILDS).json()) == 2
    (entry,) = client.providers.requests.of(RequestKind.START_BUILD)
    assert (entry.status, entry.faults) == (None, (type(fault).__name__,))


def test_a_connection_may_be_reset_before_the_body_is_there(simulate: Simulate) -> None:
    client = simulate(faults=FaultPlan(FaultRule(ResetBeforeReading())))
    port = int(client.providers.url.rpartition(":")[2])

    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


@pytest.mark.parametrize("fault", [Unanswered(), Unanswered(ending=ConnectionEnd.CLOSE)])
def test_a_post_whose_response_is_lost_was_carried_out(simulate: Simulate, fault: Fault) -> None:
    client = simulate(faults=FaultPlan(FaultRule(fault, RequestKind.START_BUILD)))

    with pytest.raises(requests.ConnectionError):
        client.treasure("POST", BUILDS, json={"buildType": "full"})

    assert len(client.treasure("GET", BUILDS).json()) == 3


def test_a_post_may_be_carried_out_behind_a_gateway_timeout(simulate: Simulate) -> None:
    client = simulate(faults=FaultPlan(FaultRule(ErrorStatus(504, carried_out=True), RequestKind.START_JOB)))

    assert client.airt("POST", "/build", json=PRESET).status_code == 504
    assert len(client.providers.builds) == 4


def test_a_response_and_a_body_can_be_slow(simulate: Simulate) -> None:
    waits: list[float] = []
    plan = FaultPlan(
        FaultRule(Delay(7), RequestKind.ARTIFACT), FaultRule(SlowBody(REPORT_BYTES // 4, 2), RequestKind.ARTIFACT)
    )
    client = simulate(faults=plan, waits=waits)

    response = client.fetch()

    assert response.content == client.providers.artifact_bytes(JOB)
    assert waits == [7, 2, 2, 2, 2]


@pytest.mark.parametrize("ending", [ConnectionEnd.CLOSE, ConnectionEnd.RESET])
def test_a_body_that_is_cut_short_of_its_length_is_noticed(simulate: Simulate, ending: ConnectionEnd) -> None:
    client = simulate(faults=on_artifact(CutBody(1000, ending=ending)))

    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        client.fetch()


def test_a_cut_body_without_a_length_seems_complete(simulate: Simulate) -> None:
    client = simulate(faults=on_artifact(CutBody(1000, with_length=False)))

    response = client.fetch()

    assert "Content-Length" not in response.headers
    assert response.content == client.providers.artifact_bytes(JOB)[:1000]


def test_a_whole_body_may_come_without_a_length(simulate: Simulate) -> None:
    client = simulate(faults=on_artifact(NoLength()))

    response = client.fetch()

    assert "Content-Length" not in response.headers
    assert response.content == client.providers.artifact_bytes(JOB)


def test_a_body_may_be_empty(simulate: Simulate) -> None:
    client = simulate(faults=on_artifact(ReplaceBody()))

    response = client.fetch()

    assert (response.status_code, response.headers["Content-Length"], response.content) == (200, "0", b"")


def test_one_byte_may_be_wrong(simulate: Simulate) -> None:
    client = simulate(faults=on_artifact(CorruptBody(at=500)))

    broken, report = client.fetch().content, client.providers.artifact_bytes(JOB)

    assert [index for index, byte in enumerate(broken) if byte != report[index]] == [500]


def test_a_body_may_be_gzipped_unasked(simulate: Simulate) -> None:
    client = simulate(faults=on_artifact(GzipBody()))

    with client.session.get(
        client.link(), headers={"Accept-Encoding": "identity"}, stream=True, timeout=10
    ) as response:
        raw = response.raw.read(decode_content=False)

    assert response.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(raw) == client.providers.artifact_bytes(JOB)


@pytest.mark.parametrize(
    ("headers", "name", "value"),
    [
        ({"etag": None}, "ETag", None),
        ({"ETag": 'W/"weak"'}, "ETag", 'W/"weak"'),
        ({"Content-Range": "bytes 7-9/10"}, "Content-Range", "bytes 7-9/10"),
        ({"Content-Disposition": "attachment; filename=../x"}, "Content-Disposition", "attachment; filename=../x"),
    ],
)
def test_headers_may_be_missing_or_wrong(
    simulate: Simulate, headers: dict[str, str | None], name: str, value: str | None
) -> None:
    client = simulate(faults=on_artifact(SetHeaders(headers)))

    assert client.fetch(Range="bytes=0-9").headers.get(name) == value


def test_a_link_may_die_at_a_part_and_a_fresh_one_lives(simulate: Simulate) -> None:
    client = simulate(faults=FaultPlan(FaultRule(LinkExpired(), RequestKind.ARTIFACT, ranged=True, nth=3)))
    link = client.link()
    client.fetch(link)

    statuses = [client.fetch(link, Range="bytes=0-9").status_code for _ in range(4)]

    assert statuses == [206, 206, 403, 206]


def test_a_link_may_be_dead_for_ever(simulate: Simulate) -> None:
    client = simulate(faults=FaultPlan(FaultRule(LinkExpired(), RequestKind.ARTIFACT, nth=2, times=None)))

    responses = [client.fetch() for _ in range(4)]

    assert [response.status_code for response in responses] == [200, 403, 403, 403]
    assert "Request has expired" in responses[1].text


def test_credentials_may_die_at_any_part(simulate: Simulate) -> None:
    client = simulate(faults=on_artifact(TokenExpired()))

    response = client.fetch()

    assert (response.status_code, "ExpiredToken" in response.text) == (400, True)


def test_the_object_may_change_between_parts(simulate: Simulate) -> None:
    client = simulate(faults=FaultPlan(FaultRule(ObjectChanged(), RequestKind.ARTIFACT, nth=2, times=None)))
    first = client.fetch(Range="bytes=0-9")

    conditional = client.fetch(Range="bytes=10-19", If_Match=first.headers["ETag"])
    careless = client.fetch(Range="bytes=10-19")

    assert conditional.status_code == 412
    assert careless.headers["ETag"] != first.headers["ETag"]
    assert careless.headers["Content-Range"] == f"bytes 10-19/{REPORT_BYTES}"
    assert careless.content != client.providers.artifact_bytes(JOB)[10:20]


def test_a_range_may_be_ignored(simulate: Simulate) -> None:
    client = simulate(faults=on_artifact(IgnoreRange()))

    response = client.fetch(Range="bytes=10-19")

    assert (response.status_code, len(response.content)) == (200, REPORT_BYTES)


@pytest.mark.parametrize(
    ("body", "content_type"), [(HTML_PAGE, "text/html; charset=utf-8"), (XML_ERROR, "application/xml")]
)
def test_a_page_or_an_error_may_come_with_200(simulate: Simulate, body: bytes, content_type: str) -> None:
    client = simulate(faults=on_artifact(Reply(200, body, content_type)))

    response = client.fetch()

    assert (response.status_code, response.content, response.headers["Content-Type"]) == (200, body, content_type)


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_link_may_lead_elsewhere(simulate: Simulate, status: int) -> None:
    client = simulate(faults=on_artifact(Redirect("http://169.254.169.254/latest", status)))

    response = client.fetch()

    assert (response.status_code, response.headers["Location"]) == (status, "http://169.254.169.254/latest")


@pytest.mark.parametrize(("status", "code"), [(500, "InternalError"), (503, "SlowDown")])
def test_the_store_may_be_overloaded(simulate: Simulate, status: int, code: str) -> None:
    client = simulate(faults=on_artifact(ErrorStatus(status)))

    response = client.fetch()

    assert response.status_code == status
    assert f"<Code>{code}</Code>" in response.text


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 426, 429, 500, 502, 504])
def test_each_api_fails_in_its_own_envelope(simulate: Simulate, status: int) -> None:
    plan = FaultPlan(FaultRule(ErrorStatus(status, "out of credits")))
    client = simulate(faults=plan)
    airt = client.airt("GET", f"/build/{JOB}")
    plan.add(FaultRule(ErrorStatus(status)))
    treasure = client.treasure("GET", BUILDS)

    assert airt.status_code == airt.json()["code"] == treasure.json()["status_code"] == status
    assert airt.json()["detail"] == "out of credits"


@pytest.mark.parametrize(
    ("retry_after", "header"),
    [(30, "30"), (datetime(2026, 4, 15, 12, 1, tzinfo=UTC), "Wed, 15 Apr 2026 12:01:00 GMT")],
)
def test_retry_after_has_two_forms(simulate: Simulate, retry_after: int | datetime, header: str) -> None:
    client = simulate(faults=FaultPlan(FaultRule(ErrorStatus(429, retry_after=retry_after))))

    response = client.treasure("GET", BUILDS)

    assert (response.status_code, response.headers["Retry-After"]) == (429, header)
