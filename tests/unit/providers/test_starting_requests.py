"""POSTs that start a build: repeated only where nothing can have been started."""

from __future__ import annotations

import pytest
import requests
import urllib3.exceptions
from pydantic import JsonValue

from courier.errors import (
    CourierError,
    RequestUncertainError,
    SettingsError,
    SourceProtocolError,
    SourceRejectedError,
    SourceThrottledError,
    SourceUnauthorizedError,
    SourceUnavailableError,
)
from tests.unit.providers.fake_api import FakeApi, LostAfterSending, Reply

STARTED = Reply(202, json={"oid": "b"})
BODY: dict[str, JsonValue] = {"buildType": "full"}


def post(fake: FakeApi, *, starts_build: bool = True) -> object:
    return fake.client.post_json("/builds", BODY, kind="start_build", starts_build=starts_build)


def test_the_body_goes_out_as_json() -> None:
    fake = FakeApi(STARTED)
    assert post(fake) == {"oid": "b"}
    (sent,) = fake.sent
    assert (sent.method, sent.body, sent.headers["Content-Type"]) == ("POST", BODY, "application/json")
    assert sent.headers["Content-Length"] == str(len(b'{"buildType": "full"}'))


def test_each_start_has_a_connection_of_its_own() -> None:
    fake = FakeApi(STARTED)
    post(fake)
    assert fake.transport.closed > 0


@pytest.mark.parametrize(
    "failure",
    [
        requests.ConnectTimeout("slow"),
        requests.ConnectionError("refused"),
        requests.exceptions.SSLError("handshake"),
        urllib3.exceptions.NameResolutionError("host", None, OSError("unknown")),  # type: ignore[arg-type]  # no connection is needed
    ],
)
def test_a_request_that_never_left_is_tried_again(failure: BaseException) -> None:
    fake = FakeApi(failure, failure, STARTED)
    assert post(fake) == {"oid": "b"}


def test_a_request_that_never_left_may_be_asked_for_later() -> None:
    fake = FakeApi(requests.ConnectionError("refused"))
    with pytest.raises(SourceUnavailableError):
        post(fake)
    assert len(fake.sent) == 3


@pytest.mark.parametrize(
    "failure",
    [
        requests.ReadTimeout("slow"),
        requests.ConnectionError("reset"),
        requests.exceptions.SSLError("record"),
        requests.exceptions.ChunkedEncodingError("cut"),
        ConnectionResetError(),
    ],
)
def test_a_lost_answer_is_uncertain_and_not_tried_again(failure: BaseException) -> None:
    fake = FakeApi(LostAfterSending(failure))
    with pytest.raises(RequestUncertainError, match="may have been started"):
        post(fake)
    assert len(fake.sent) == 1


@pytest.mark.parametrize("status", [408, 500, 502, 504, 507])
def test_an_error_after_which_work_may_go_on_is_uncertain(status: int) -> None:
    fake = FakeApi(Reply(status, json={"code": status, "detail": "Bad gateway"}))
    with pytest.raises(RequestUncertainError):
        post(fake)
    assert len(fake.sent) == 1


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(503, body=b"<html>busy</html>"), RequestUncertainError),
        (Reply(503, json={"code": 503, "detail": "maintenance"}), SourceUnavailableError),
        (Reply(503, body=b"busy", headers={"Retry-After": "60"}), SourceUnavailableError),
        (Reply(429, body=b"slow down"), SourceThrottledError),
        (Reply(400, json={}), SourceRejectedError),
        (Reply(403, json={}), SourceUnauthorizedError),
        (Reply(426, json={"detail": "client is too old"}), SourceRejectedError),
        (Reply(302, headers={"Location": "https://elsewhere"}), SourceRejectedError),
    ],
)
def test_a_refusal_is_believed_where_it_comes_from_the_provider(reply: Reply, error: type[CourierError]) -> None:
    fake = FakeApi(reply)
    with pytest.raises(CourierError) as caught:
        post(fake)
    assert type(caught.value) is error
    assert len(fake.sent) == 1


@pytest.mark.parametrize("body", [b"", b"<html>ok</html>", b"{"])
def test_an_accepted_request_with_an_unreadable_answer_is_uncertain(body: bytes) -> None:
    with pytest.raises(RequestUncertainError):
        post(FakeApi(Reply(202, body=body)))


def test_a_refused_key_is_replaced_because_a_401_starts_nothing() -> None:
    fake = FakeApi(Reply(401), STARTED, keys=["old-key-1", "new-key-2"])
    assert post(fake) == {"oid": "b"}
    assert len(fake.sent) == 2


def test_a_dry_run_is_tried_again_like_a_get() -> None:
    fake = FakeApi(Reply(502), LostAfterSending(requests.ReadTimeout("slow")), Reply(200, json={}))
    assert post(fake, starts_build=False) == {}
    with pytest.raises(SourceProtocolError):
        post(FakeApi(Reply(200, body=b"")), starts_build=False)


def test_a_body_that_json_cannot_say_is_a_wrong_request() -> None:
    fake = FakeApi(STARTED)
    with pytest.raises(SettingsError, match="start_build"):
        fake.client.post_json("/builds", {"score": float("nan")}, kind="start_build")
    assert fake.sent == []
