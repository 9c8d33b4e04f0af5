"""Ranges are an optimisation: whatever a store makes of them, a copy that one plain GET can make is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count

import pytest
from typing_extensions import override

from courier.errors import (
    ArtifactChangedError,
    ArtifactExpiredError,
    ArtifactIncompleteError,
    ArtifactUnavailableError,
    CopyUnfinishedError,
)
from courier.transfer.options import MIB, CopyOptions
from local.simulator import ErrorStatus, LinkPolicy, Reply
from local.simulator.faults import Fault
from local.simulator.messages import Request, SimulatedResponse
from tests.functional.transfer.conftest import NewHarness
from tests.functional.transfer.harness import CopyHarness, Invocation, OtherReport, S3Interceptor

SIZES = [300_000, 12 * MIB]
ONE_WORKER = CopyOptions(workers=1, part_size_bytes=5 * MIB)


@dataclass(frozen=True)
class Rewrite(Fault):
    """The response to a request for a range is another one; a plain GET has its true response."""

    rewrite: Callable[[Request, SimulatedResponse], SimulatedResponse]
    only_parts: bool = False

    @override
    def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
        if "range" not in request.headers or (self.only_parts and "if-match" not in request.headers):
            return response
        return self.rewrite(request, response)


def with_headers(response: SimulatedResponse, **headers: str) -> SimulatedResponse:
    return replace(response, headers={**response.headers, **{k.replace("_", "-"): v for k, v in headers.items()}})


def first_and_total(response: SimulatedResponse) -> tuple[int, str]:
    span, _, total = response.headers["Content-Range"].removeprefix("bytes ").partition("/")
    return int(span.partition("-")[0]), total


def refuses(status: int) -> Callable[[Request, SimulatedResponse], SimulatedResponse]:
    return lambda *_: SimulatedResponse(status, {"Content-Type": "text/plain"}, b"no ranges here")


def multipart(_: Request, response: SimulatedResponse) -> SimulatedResponse:
    headers = {"Content-Type": "multipart/byteranges; boundary=b"}
    return SimulatedResponse(206, headers, b"--b\r\n\r\n" + response.body + b"\r\n--b--")


def other_unit(_: Request, response: SimulatedResponse) -> SimulatedResponse:
    return with_headers(response, Content_Range="bytes=" + response.headers["Content-Range"].removeprefix("bytes "))


def whole_in_a_range(_: Request, response: SimulatedResponse) -> SimulatedResponse:
    return replace(response, body=bytes(response.body) + b"more")


ODD = {
    "416": refuses(416),
    "400": refuses(400),
    "401": refuses(401),
    "403": refuses(403),
    "404": refuses(404),
    "405": refuses(405),
    "412": refuses(412),
    "501": refuses(501),
    "503": refuses(503),
    "multipart": multipart,
    "other unit": other_unit,
    "more than requested": whole_in_a_range,
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("size_bytes", SIZES)
@pytest.mark.parametrize("policy", [LinkPolicy.FRESH, LinkPolicy.STORED_FOREVER])
def test_store_that_cannot_serve_ranges_is_read_in_one_get(
    new_harness: NewHarness, size_bytes: int, odd: Callable[..., SimulatedResponse], policy: LinkPolicy
) -> None:
    harness = new_harness(size_bytes, url_policy=policy)
    harness.inject(Rewrite(odd), times=None)
    harness.copy()
    assert harness.stored() == harness.report
    assert harness.ranges().count(None) == 1


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_store_that_serves_only_the_first_range_is_read_in_one_get(
    new_harness: NewHarness, odd: Callable[..., SimulatedResponse]
) -> None:
    harness = new_harness(12 * MIB)
    harness.inject(Rewrite(odd, only_parts=True), times=None)
    harness.copy()
    assert harness.stored() == harness.report
    assert harness.ranges().count(None) == 1


def test_range_beyond_the_end_of_a_small_report_is_no_empty_report(new_harness: NewHarness) -> None:
    harness = new_harness(300_000)
    headers = {"Content-Range": "bytes */300000"}
    harness.inject(Rewrite(lambda *_: SimulatedResponse(416, headers)), times=None)
    harness.copy()
    assert harness.stored() == harness.report
    assert harness.waits == []


@pytest.mark.parametrize("size_bytes", SIZES)
def test_plain_get_that_fails_as_well_leaves_the_first_reason(new_harness: NewHarness, size_bytes: int) -> None:
    harness = new_harness(size_bytes, url_policy=LinkPolicy.STORED_FOREVER)
    harness.inject(ErrorStatus(403), times=None)
    with pytest.raises(ArtifactExpiredError, match=r"403 AccessDenied.* returns the same link again"):
        harness.copy()
    assert harness.ranges().count(None) == 1


@pytest.mark.parametrize(("share", "shortest"), [(2, 64 * 1024), (3, 64 * 1024), (2, 1)])
def test_ranges_that_are_shorter_than_requested_are_put_together(
    new_harness: NewHarness, share: int, shortest: int
) -> None:
    harness = new_harness(12 * MIB)

    def shorten(request: Request, response: SimulatedResponse) -> SimulatedResponse:
        keep = len(response.body) // share
        del request
        first, total = first_and_total(response)
        if keep < shortest:
            return response
        short = with_headers(response, Content_Range=f"bytes {first}-{first + keep - 1}/{total}")
        return replace(short, body=response.body[:keep])

    harness.inject(Rewrite(shorten), times=None)
    harness.copy()
    assert harness.stored() == harness.report
    assert harness.waits == []
    assert None not in harness.ranges()


@pytest.mark.parametrize("size_bytes", SIZES)
def test_ranges_of_a_few_bytes_are_not_worth_it(new_harness: NewHarness, size_bytes: int) -> None:
    harness = new_harness(size_bytes)

    def first_kilobyte(request: Request, response: SimulatedResponse) -> SimulatedResponse:
        del request
        first, total = first_and_total(response)
        short = with_headers(response, Content_Range=f"bytes {first}-{first + 999}/{total}")
        return replace(short, body=response.body[:1_000])

    harness.inject(Rewrite(first_kilobyte), times=None)
    harness.copy()
    assert harness.stored() == harness.report
    assert harness.ranges().count(None) == 1


def test_store_that_denies_its_own_etag_is_read_in_one_get(new_harness: NewHarness) -> None:
    harness = new_harness(12 * MIB)
    harness.inject(Rewrite(refuses(412), only_parts=True), times=None)
    harness.copy()
    assert harness.stored() == harness.report


def test_replicas_with_an_etag_each_are_read_in_one_get(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)
    turn = count()

    class Replicas(Fault):
        @override
        def on_request(self, request: Request) -> Request:
            self.wanted = request.headers.get("if-match")
            kept = {name: value for name, value in request.headers.items() if name != "if-match"}
            return replace(request, headers=kept)

        @override
        def on_response(self, request: Request, response: SimulatedResponse) -> SimulatedResponse:
            etag = f'"node-{next(turn) % 2}"'
            return SimulatedResponse(412) if self.wanted not in {None, etag} else with_headers(response, ETag=etag)

    harness.inject(Replicas(), times=None)
    harness.copy(options=ONE_WORKER)
    assert harness.stored() == harness.report


def test_change_that_is_proven_is_no_fault_of_ranges(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)
    versions = count(1)
    S3Interceptor(harness.s3).call_when(
        "CreateMultipartUpload", lambda: True, lambda: harness.inject(OtherReport(next(versions)), times=None)
    )
    with pytest.raises(ArtifactChangedError):
        harness.copy(options=ONE_WORKER)
    assert None not in harness.ranges()


def test_outage_after_the_first_part_keeps_what_is_stored(new_harness: NewHarness) -> None:
    """Ranges have worked: they are not to blame, and gigabytes are not downloaded again in one go."""
    harness = new_harness(27 * MIB)
    harness.inject(ErrorStatus(503), nth=3, times=5)
    with pytest.raises(ArtifactUnavailableError):
        harness.copy(options=ONE_WORKER)
    assert None not in harness.ranges()
    harness.copy()
    assert harness.stored() == harness.report


def test_outage_in_a_later_invocation_keeps_what_is_stored(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)
    invocation = Invocation()
    S3Interceptor(client := harness.fresh_client()).call("UploadPart", invocation.nearly_end, nth=2)
    with pytest.raises(CopyUnfinishedError):
        harness.copy(s3=client, seconds_left=invocation, options=ONE_WORKER)
    harness.inject(ErrorStatus(503), times=5)
    with pytest.raises(ArtifactUnavailableError):
        harness.copy(options=ONE_WORKER)
    assert len(harness.open_uploads()) == 1
    harness.copy()
    assert None not in harness.ranges()


@pytest.mark.parametrize("size_bytes", SIZES)
def test_link_that_is_good_for_one_get_is_used_once(new_harness: NewHarness, size_bytes: int) -> None:
    harness = new_harness(size_bytes, url_policy=LinkPolicy.STORED_FOREVER)
    harness.inject(ErrorStatus(403), nth=2, times=None)
    harness.copy(options=CopyOptions(workers=4, part_size_bytes=5 * MIB, ranges=False))
    assert harness.stored() == harness.report
    assert harness.ranges() == [None]


def test_copy_that_began_with_ranges_goes_on_without_them_when_they_are_switched_off(new_harness: NewHarness) -> None:
    harness = new_harness(27 * MIB)
    _stop_after_one_part(harness)
    before = len(harness.ranges())
    harness.copy(options=CopyOptions(workers=4, part_size_bytes=5 * MIB, ranges=False))
    assert harness.stored() == harness.report
    assert harness.ranges()[before:] == [None]


@pytest.mark.parametrize("body", [b"", b"<Error><Code>InvalidRange</Code></Error>"])
def test_empty_report_is_found_empty(new_harness: NewHarness, body: bytes) -> None:
    harness = new_harness(300_000)
    harness.inject(Reply(416, body, "application/xml", {"Content-Range": "bytes */0"}), times=None)
    with pytest.raises(ArtifactIncompleteError, match="no bytes"):
        harness.copy(locate=harness.locate_without_size)


def test_a_wait_that_a_store_requests_does_not_start_without_time_for_it(new_harness: NewHarness) -> None:
    harness = new_harness(300_000)
    harness.inject(ErrorStatus(503, retry_after=100))
    with pytest.raises(ArtifactUnavailableError, match="503 SlowDown; gave up after 1 tries"):
        harness.copy(seconds_left=lambda: 121.0)
    assert harness.waits == []


def _stop_after_one_part(harness: CopyHarness) -> None:
    invocation = Invocation()
    S3Interceptor(client := harness.fresh_client()).call("UploadPart", invocation.nearly_end, nth=1)
    with pytest.raises(CopyUnfinishedError):
        harness.copy(s3=client, seconds_left=invocation, options=ONE_WORKER)
