"""No error, no note on it, no cause of it and no log line shows the query of a link."""

from __future__ import annotations

import logging
import traceback
from urllib.parse import parse_qs

import pytest

from courier.errors import CourierError
from courier.transfer.options import MIB
from courier.transfer.url_policy import LinkRules
from local.simulator import (
    ConnectionEnd,
    CutBody,
    ErrorStatus,
    GzipBody,
    LinkExpired,
    ObjectChanged,
    Redirect,
    Reply,
    ResetBeforeReading,
    SetHeaders,
    TokenExpired,
    Unanswered,
)
from local.simulator.faults import Fault
from local.simulator.messages import Request, SimulatedResponse
from tests.functional.transfer.conftest import NewHarness


class Echo(Fault):
    """A response that repeats the whole request, as S3's errors do."""

    def __init__(self, status: int, header: str = "") -> None:
        self._status = status
        self._header = header

    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        del response
        body = f"<Error><Code>Bad</Code><Message>{request.query}</Message></Error>".encode()
        headers = {self._header: request.query} if self._header else {}
        return SimulatedResponse(self._status, {"Content-Type": "application/xml", **headers}, body)


FAULTS: list[Fault] = [
    LinkExpired(),
    TokenExpired(),
    ErrorStatus(403),
    ErrorStatus(503),
    CutBody(1_000),
    CutBody(1_000, ending=ConnectionEnd.RESET),
    ResetBeforeReading(),
    Unanswered(),
    GzipBody(),
    ObjectChanged(),
    Reply(200, b"<html>"),
    Reply(204),
    Reply(304),
    Redirect("https://evil.example/?X-Amz-Signature=abc"),
    Redirect("http://[broken?X-Amz-Signature=abc"),
    SetHeaders({"Content-Range": "X-Amz-Signature=abc", "Content-Type": "X-Amz-Signature=abc"}),
    Echo(403),
    Echo(500),
    Echo(200),
    Echo(302, "Location"),
    Echo(206, "Content-Range"),
    Echo(200, "Content-Encoding"),
    Echo(200, "Content-Type"),
]


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_no_text_of_a_failed_copy_shows_a_query(
    new_harness: NewHarness, caplog: pytest.LogCaptureFixture, fault: Fault, nth: int
) -> None:
    harness = new_harness(12 * MIB)
    harness.inject(fault, nth=nth, times=None)
    caplog.set_level(logging.DEBUG)
    with pytest.raises(CourierError) as caught:
        harness.copy()
    caplog.set_level(logging.INFO)
    notes = getattr(caught.value, "__notes__", [])
    said = "".join((*traceback.format_exception(caught.value), *notes, caplog.text))
    assert harness.links
    for link in harness.links:
        assert parse_qs(link.url.reveal().partition("?")[2])["X-Amz-Signature"][0] not in said
    assert "X-Amz-Signature=" not in said
    harness.discard_upload()


@pytest.mark.parametrize("start", ["https://evil.example/", "https://[", "https://s3.amazonaws.com/a b", "ftp://x/"])
def test_refused_link_is_not_shown(start: str) -> None:
    url = f"{start}?X-Amz-Signature=0f1e2d"
    with pytest.raises(CourierError) as caught:
        LinkRules.parse(["*.amazonaws.com"]).check(url)
    assert "0f1e2d" not in "".join(traceback.format_exception(caught.value))
