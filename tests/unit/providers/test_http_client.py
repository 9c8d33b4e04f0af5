"""What the client sends and retries, and when it gives up; it repeats a start only if nothing can have started."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime

import pytest
import requests
import urllib3.exceptions
from pydantic import JsonValue

from courier import __version__
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
from courier.providers import http_client as api
from tests.unit.providers.fake_api import KEY, START, FakeApi, LostAfterSending, Reply

GOOD = Reply(json=[{"oid": "a"}])
REFUSED = requests.ConnectionError("refused")
STARTED = Reply(202, json={"oid": "b"})
BODY: dict[str, JsonValue] = {"buildType": "full"}


def get(fake: FakeApi) -> object:
    return fake.client.get_json("/reporting/datamodels", kind="list_models")


def test_a_request_carries_the_default_headers() -> None:
    fake = FakeApi(GOOD)
    assert get(fake) == [{"oid": "a"}]
    (sent,) = fake.sent
    assert (sent.method, sent.path) == ("GET", "/reporting/datamodels")
    assert sent.headers["User-Agent"] == f"build-courier/{__version__}"
    assert sent.headers["Accept"] == "application/json"
    assert sent.headers["Authorization"] == f"TD1 {KEY}"
    assert sent.timeout == (5.0, 30.0)
    assert "Content-Type" not in sent.headers


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_transient_error_response_is_retried(status: int) -> None:
    fake = FakeApi(Reply(status), Reply(status), GOOD)
    assert get(fake) == [{"oid": "a"}]
    assert [attempt.status for attempt in fake.attempts] == [status, status, 200]
    assert [attempt.attempt for attempt in fake.attempts] == [1, 2, 3]


@pytest.mark.parametrize(
    "failure", [REFUSED, requests.ReadTimeout("slow"), requests.ConnectTimeout("slow"), ConnectionResetError()]
)
def test_a_lost_connection_is_retried(failure: BaseException) -> None:
    fake = FakeApi(failure, failure, GOOD)
    assert get(fake) == [{"oid": "a"}]
    assert len(fake.sent) == 3


def test_the_third_attempt_is_the_last() -> None:
    fake = FakeApi(Reply(503, body=b"<html><title>503</title>busy</html>"))
    with pytest.raises(SourceUnavailableError, match=r"^insights: list_models returned 503: 503 busy$"):
        get(fake)
    assert len(fake.sent) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 422, 426, 501, 505])
def test_a_permanent_error_response_is_not_retried(status: int) -> None:
    fake = FakeApi(Reply(status))
    with pytest.raises(CourierError):
        get(fake)
    assert len(fake.sent) == 1


def test_pauses_grow_with_full_jitter() -> None:
    patient = FakeApi(Reply(500), random=1.0)
    with pytest.raises(SourceUnavailableError):
        get(patient)
    assert patient.slept == [0.5, 1.0]
    lucky = FakeApi(Reply(500), random=0.0)
    with pytest.raises(SourceUnavailableError):
        get(lucky)
    assert lucky.slept == [0.0, 0.0]


@pytest.mark.parametrize("header", ["3", format_datetime(START + timedelta(seconds=3), usegmt=True)])
def test_a_short_retry_after_is_slept_through(header: str) -> None:
    fake = FakeApi(Reply(429, headers={"Retry-After": header}), GOOD, random=0.0)
    get(fake)
    assert fake.slept == [3.0]


@pytest.mark.parametrize("header", ["20", format_datetime(START + timedelta(seconds=20), usegmt=True)])
def test_a_long_retry_after_is_left_to_the_caller(header: str) -> None:
    fake = FakeApi(Reply(429, headers={"Retry-After": header}))
    with pytest.raises(SourceThrottledError) as caught:
        get(fake)
    assert caught.value.retry_after_seconds == 20
    assert fake.slept == []
    assert len(fake.sent) == 1


def test_a_long_retry_after_of_an_outage_is_not_slept_through_either() -> None:
    fake = FakeApi(Reply(503, headers={"Retry-After": "600"}))
    with pytest.raises(SourceUnavailableError) as caught:
        get(fake)
    assert caught.value.retry_after_seconds == 600
    assert (fake.slept, len(fake.sent)) == ([], 1)


def test_a_call_ends_within_its_limit() -> None:
    fake = FakeApi(requests.ReadTimeout("slow"), seconds_per_request=59.9, random=1.0)
    with pytest.raises(SourceUnavailableError, match="timed out waiting for the response"):
        get(fake)
    assert len(fake.sent) == 1


def test_a_late_attempt_gets_only_the_remaining_time() -> None:
    fake = FakeApi(requests.ReadTimeout("slow"), GOOD, seconds_per_request=57.5, random=1.0)
    # A complete response counts however late it is.
    assert get(fake) == [{"oid": "a"}]
    assert fake.sent[1].timeout == (2.0, 2.0)


def test_a_rotated_key_is_read_and_used_at_once() -> None:
    fake = FakeApi(Reply(401), GOOD, keys=["old-key-1", "new-key-2"])
    assert get(fake) == [{"oid": "a"}]
    assert fake.fetched == [False, True]
    assert [sent.headers["Authorization"] for sent in fake.sent] == ["TD1 old-key-1", "TD1 new-key-2"]


def test_a_second_new_key_is_not_read() -> None:
    fake = FakeApi(Reply(401), keys=["one-key-1", "two-key-2", "three-key-3"])
    with pytest.raises(SourceUnauthorizedError):
        get(fake)
    assert (fake.fetched, len(fake.sent)) == ([False, True], 2)


def test_the_same_key_is_not_tried_twice() -> None:
    fake = FakeApi(Reply(401))
    with pytest.raises(SourceUnauthorizedError):
        get(fake)
    assert (fake.fetched, len(fake.sent)) == ([False, True], 1)


def test_a_key_that_expired_with_403_is_replaced_too() -> None:
    fake = FakeApi(Reply(403, json={"error": "token expired"}), GOOD, keys=["old-key-1", "new-key-2"])
    assert get(fake) == [{"oid": "a"}]
    assert fake.fetched == [False, True]


def test_a_forbidden_request_reads_the_key_once_and_is_not_repeated_with_the_same_one() -> None:
    fake = FakeApi(Reply(403, json={"error": "no permission"}))
    with pytest.raises(SourceUnauthorizedError) as caught:
        get(fake)
    assert caught.value.forbidden
    assert (fake.fetched, len(fake.sent)) == ([False, True], 1)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(401, body=b"<!DOCTYPE html><html>Sign in</html>"),
        Reply(403, body=b"x", headers={"Content-Type": "text/html"}),
        Reply(403, body=b"x", headers={"cf-mitigated": "challenge"}),
        Reply(403, json={}, headers={"Retry-After": "9"}),
    ],
)
def test_a_gateway_that_refuses_says_nothing_about_the_key(reply: Reply) -> None:
    fake = FakeApi(reply, keys=["old-key-1", "new-key-2"])
    with pytest.raises(SourceUnavailableError):
        get(fake)
    assert (fake.fetched, len(fake.sent)) == ([False], 1)


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("9999999", 86_400.0)])
def test_a_delayed_response_is_neither_read_nor_requested_again_at_once(header: str, seconds: float) -> None:
    fake = FakeApi(Reply(202, json=[], headers={"Retry-After": header}))
    with pytest.raises(SourceThrottledError, match=r"list_models returned 202: .*not yet") as caught:
        get(fake)
    assert (caught.value.retry_after_seconds, caught.value.own_limit) == (seconds, False)
    assert (fake.slept, len(fake.sent)) == ([], 1)


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "soon"}])
def test_an_accepted_read_without_a_time_is_a_response_like_any_other(headers: dict[str, str]) -> None:
    assert get(FakeApi(Reply(202, json=[], headers=headers))) == []


def test_an_accepted_start_is_no_delay() -> None:
    assert post(FakeApi(Reply(202, json={"oid": "b"}, headers={"Retry-After": "30"}))) == {"oid": "b"}


def test_a_challenge_in_place_of_a_start_has_started_nothing() -> None:
    fake = FakeApi(Reply(202, body=b"", headers={"x-amzn-waf-action": "challenge"}))
    with pytest.raises(SourceUnavailableError, match="a gateway responded 202 with an empty body, a challenge"):
        post(fake)


def test_a_redirect_is_not_followed_and_names_the_endpoint() -> None:
    fake = FakeApi(Reply(302, headers={"Location": "https://login.example.com/sso?state=secret"}))
    with pytest.raises(SourceRejectedError, match="endpoint") as caught:
        get(fake)
    assert "https://login.example.com" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert len(fake.sent) == 1


def test_the_rate_limit_may_stop_every_attempt() -> None:
    kinds: list[str] = []

    def spend(kind: str) -> None:
        kinds.append(kind)
        if len(kinds) == 2:
            raise SourceThrottledError("the budget is spent")

    fake = FakeApi(Reply(500), before_request=spend)
    with pytest.raises(SourceThrottledError, match="the budget is spent"):
        get(fake)
    assert kinds == ["list_models", "list_models"]
    assert len(fake.sent) == 1


def test_each_attempt_is_reported_with_its_failure() -> None:
    fake = FakeApi(requests.ReadTimeout("slow"), GOOD, seconds_per_request=2.0)
    get(fake)
    first, second = fake.attempts
    assert (first.kind, first.status, first.failure, first.seconds) == ("list_models", None, "timeout", 2.0)
    assert (second.kind, second.status, second.failure) == ("list_models", 200, None)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>502</html>",
        b"",
        b"{",
        b"[" * 200_000,
        b"\xff\xfe\x00",
    ],
    ids=["html", "empty", "cut", "nested", "no-text"],
)
def test_a_success_that_is_not_json_is_a_protocol_error(body: bytes) -> None:
    fake = FakeApi(Reply(200, body=body, headers={"Content-Type": "text/html; charset=utf-8"}))
    with pytest.raises(SourceProtocolError, match=r"list_models returned 200 .* not JSON \(text/html\)"):
        get(fake)
    assert len(fake.sent) == 1


def test_a_body_beyond_the_limit_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "BODY_LIMIT_BYTES", 1_000)
    # The declared length is a lie; what counts is what comes.
    fake = FakeApi(Reply(200, body=b"[" + b" " * 200_000 + b"]", headers={"Content-Length": "2"}))
    with pytest.raises(SourceProtocolError, match="more than 1000 bytes"):
        get(fake)


def test_a_slow_body_ends_with_the_call() -> None:
    fake = FakeApi(Reply(200, body=b" " * 1_000_000), seconds_per_request=59.9)
    fake.seconds_per_reading = 0.2
    with pytest.raises(SourceUnavailableError, match="timed out waiting for the response"):
        get(fake)
    assert len(fake.sent) == 1


def test_an_error_response_without_its_body_still_counts() -> None:
    broken = Reply(403, body=b"no gzip", headers={"Content-Encoding": "gzip"})
    with pytest.raises(SourceUnauthorizedError, match=r"returned 403$"):
        get(FakeApi(broken))


def test_a_key_that_no_header_can_carry_is_not_shown() -> None:
    fake = FakeApi(GOOD, keys=["line\nbreak-secret"])
    with pytest.raises(SettingsError) as caught:
        get(fake)
    assert "secret" not in str(caught.value)
    assert fake.sent == []


def test_an_echoed_key_is_redacted() -> None:
    echo = f"<Error><ArgumentValue>TD1 {KEY}</ArgumentValue> bad {KEY.split('/')[1]}</Error>".encode()
    with pytest.raises(SourceRejectedError) as caught:
        get(FakeApi(Reply(400, body=echo)))
    assert KEY not in str(caught.value)
    assert KEY.split("/")[1] not in str(caught.value)


def test_a_deletion_is_retried_and_its_response_may_be_empty() -> None:
    fake = FakeApi(Reply(502), Reply(204, body=b""))
    fake.client.delete("/builds/1", kind="cancel_build")
    assert [sent.method for sent in fake.sent] == ["DELETE", "DELETE"]


def post(fake: FakeApi, *, starts_build: bool = True) -> object:
    return fake.client.post_json("/builds", BODY, kind="start_build", starts_build=starts_build)


def test_the_body_is_sent_as_json() -> None:
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
def test_a_request_that_was_never_sent_is_retried(failure: BaseException) -> None:
    fake = FakeApi(failure, failure, STARTED)
    assert post(fake) == {"oid": "b"}


def test_a_request_that_was_never_sent_may_be_repeated_later() -> None:
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
def test_a_lost_response_is_uncertain_and_not_retried(failure: BaseException) -> None:
    fake = FakeApi(LostAfterSending(failure))
    with pytest.raises(RequestUncertainError, match="may have started"):
        post(fake)
    assert len(fake.sent) == 1


@pytest.mark.parametrize("status", [408, 500, 502, 504, 507])
def test_an_error_after_which_work_may_continue_is_uncertain(status: int) -> None:
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
def test_an_error_response_of_the_provider_is_certain(reply: Reply, error: type[CourierError]) -> None:
    fake = FakeApi(reply)
    with pytest.raises(CourierError) as caught:
        post(fake)
    assert type(caught.value) is error
    assert len(fake.sent) == 1


@pytest.mark.parametrize("body", [b"", b"<html>ok</html>", b"{"])
def test_an_accepted_request_with_an_unreadable_response_is_uncertain(body: bytes) -> None:
    with pytest.raises(RequestUncertainError):
        post(FakeApi(Reply(202, body=body)))


def test_a_refused_key_is_replaced_because_a_401_starts_nothing() -> None:
    fake = FakeApi(Reply(401), STARTED, keys=["old-key-1", "new-key-2"])
    assert post(fake) == {"oid": "b"}
    assert len(fake.sent) == 2


def test_a_dry_run_is_retried_like_a_get() -> None:
    fake = FakeApi(Reply(502), LostAfterSending(requests.ReadTimeout("slow")), Reply(200, json={}))
    assert post(fake, starts_build=False) == {}
    with pytest.raises(SourceProtocolError):
        post(FakeApi(Reply(200, body=b"")), starts_build=False)


def test_a_body_that_json_cannot_express_is_a_settings_error() -> None:
    fake = FakeApi(STARTED)
    with pytest.raises(SettingsError, match="start_build"):
        fake.client.post_json("/builds", {"score": float("nan")}, kind="start_build")
    assert fake.sent == []
