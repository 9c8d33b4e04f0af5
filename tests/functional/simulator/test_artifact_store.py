from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from urllib.parse import urlsplit

import pytest
from pypdf import PdfReader

from local.simulator import RequestKind

from .conftest import JOB, REPORT_BYTES, Client, scenario


def test_a_link_serves_the_report(client: Client) -> None:
    response = client.fetch()

    report = client.providers.artifact_bytes(JOB)
    assert response.content == report
    assert response.headers["Content-Type"] == "application/pdf"
    assert response.headers["Content-Length"] == str(REPORT_BYTES)
    assert response.headers["ETag"] == f'"{hashlib.md5(report).hexdigest()}"'  # noqa: S324 - what S3 computes
    assert len(PdfReader(BytesIO(response.content), strict=True).pages) >= 3


def test_a_dead_link_is_refused_with_its_times(client: Client) -> None:
    link = client.link()
    client.clock.advance(3599)
    assert client.fetch(link).status_code == 200
    client.clock.advance(1)

    response = client.fetch(link)

    assert (response.status_code, response.headers["Content-Type"]) == (403, "application/xml")
    assert "<Code>AccessDenied</Code><Message>Request has expired</Message>" in response.text
    assert "<X-Amz-Expires>3600</X-Amz-Expires><Expires>2026-04-15T13:00:00Z</Expires>" in response.text
    assert "<ServerTime>2026-04-15T13:00:00Z</ServerTime>" in response.text


def test_a_link_of_temporary_credentials_dies_with_them(simulate: Callable[..., Client]) -> None:
    client = simulate(scenario(airt=replace(scenario().airt, token_lifetime_seconds=60)))
    link = client.link()
    assert "X-Amz-Security-Token" in link
    assert client.fetch(link).status_code == 200
    client.clock.advance(60)

    response = client.fetch(link)

    assert response.status_code == 400
    assert "<Code>ExpiredToken</Code>" in response.text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("X-Amz-Expires=3600", "X-Amz-Expires=360000"),
        ("X-Amz-Signature=", "X-Amz-Signature=0"),
        (f"{JOB}.pdf", "other.pdf"),
        ("localhost", "127.0.0.1"),
    ],
)
def test_a_tampered_link_is_refused(client: Client, old: str, new: str) -> None:
    link = client.link()

    response = client.fetch(link.replace(old, new))

    assert old in link
    assert response.status_code == 403
    assert "SignatureDoesNotMatch" in response.text


def test_the_method_is_signed(client: Client) -> None:
    head = client.fetch(method="HEAD")

    assert (head.status_code, head.content) == (403, b"")
    assert "SignatureDoesNotMatch" in client.fetch(method="PUT").text


def test_no_signature_is_no_access(client: Client) -> None:
    response = client.fetch(client.link().partition("?")[0])

    assert response.status_code == 403
    assert "<Message>Access Denied</Message>" in response.text


@pytest.mark.parametrize("name", ["X-Amz-Date", "X-Amz-Expires"])
def test_an_unreadable_query_is_a_bad_request(client: Client, name: str) -> None:
    assert client.fetch(client.link().replace(f"{name}=", f"{name}=x")).status_code == 400


def test_an_authorization_header_is_refused_and_echoed(client: Client) -> None:
    response = client.fetch(Authorization="Bearer not-a-secret")

    assert response.status_code == 400
    assert "<Code>InvalidArgument</Code><Message>Only one auth mechanism allowed" in response.text
    assert "<ArgumentValue>Bearer not-a-secret</ArgumentValue>" in response.text


def test_an_unsigned_amz_header_is_refused(client: Client) -> None:
    response = client.fetch(x_amz_checksum_mode="ENABLED")

    assert response.status_code == 403
    assert "<HeadersNotSigned>x-amz-checksum-mode</HeadersNotSigned>" in response.text


@pytest.mark.parametrize(
    ("requested", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=65000-", 65000, REPORT_BYTES),
        ("bytes=65000-99999999", 65000, REPORT_BYTES),
        ("bytes=-10", REPORT_BYTES - 10, REPORT_BYTES),
        ("bytes=-99999999", 0, REPORT_BYTES),
    ],
)
def test_a_range_is_served_as_a_part(client: Client, requested: str, start: int, stop: int) -> None:
    response = client.fetch(Range=requested)

    assert response.status_code == 206
    assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{REPORT_BYTES}"
    assert response.content == client.providers.artifact_bytes(JOB)[start:stop]


@pytest.mark.parametrize("requested", [f"bytes={REPORT_BYTES}-", "bytes=-0", "bytes=99999999-99999999"])
def test_a_range_outside_is_not_satisfiable(client: Client, requested: str) -> None:
    response = client.fetch(Range=requested)

    assert response.status_code == 416
    assert response.headers["Content-Range"] == f"bytes */{REPORT_BYTES}"
    assert f"<ActualObjectSize>{REPORT_BYTES}</ActualObjectSize>" in response.text


@pytest.mark.parametrize("requested", ["bytes=1-2,5-6", "bytes=5-4", "bytes=-", "rows=1-2"])
def test_a_strange_range_is_ignored(client: Client, requested: str) -> None:
    response = client.fetch(Range=requested)

    assert (response.status_code, len(response.content)) == (200, REPORT_BYTES)


def test_conditions_are_honoured(client: Client) -> None:
    etag = client.fetch(Range="bytes=0-0").headers["ETag"]

    assert client.fetch(If_Match=etag, Range="bytes=1-1").status_code == 206
    assert client.fetch(If_Match='"other"').status_code == 412
    unchanged = client.fetch(If_None_Match=etag)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert client.fetch(If_None_Match='"other"').status_code == 200


def test_a_job_that_is_not_completed_has_no_object(client: Client) -> None:
    link = client.link()
    client.clock.advance(-5)

    response = client.fetch(link)

    assert response.status_code == 404
    assert "<Code>NoSuchKey</Code>" in response.text


def test_the_log_knows_the_part_and_not_the_signature(client: Client) -> None:
    client.fetch(Range="bytes=0-99")

    (entry,) = client.providers.requests.of(RequestKind.ARTIFACT, build_id=JOB)

    assert (entry.status, entry.body_bytes, entry.range) == (206, 100, "bytes=0-99")
    assert entry.path == urlsplit(client.link()).path
    assert "X-Amz" not in repr(list(client.providers.requests))
