"""GETs: what is sent, what is tried again, and when it is given up."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime

import pytest
import requests

from courier import __version__
from courier.errors import (
    BuildNotFoundError,
    CourierError,
    SettingsError,
    SourceProtocolError,
    SourceRejectedError,
    SourceThrottledError,
    SourceUnauthorizedError,
    SourceUnavailableError,
)
from courier.providers import http_client as api
from tests.unit.providers.fake_api import KEY, START, FakeApi, Reply

GOOD = Reply(json=[{"oid": "a"}])
REFUSED = requests.ConnectionError("refused")


def get(fake: FakeApi) -> object:
    return fake.client.get_json("/reporting/datamodels", kind="list_models")


def test_a_request_says_who_asks_and_what_it_accepts() -> None:
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
def test_a_passing_refusal_is_tried_again(status: int) -> None:
    fake = FakeApi(Reply(status), Reply(status), GOOD)
    assert get(fake) == [{"oid": "a"}]
    assert [attempt.status for attempt in fake.attempts] == [status, status, 200]
    assert [attempt.attempt for attempt in fake.attempts] == [1, 2, 3]


@pytest.mark.parametrize(
    "failure", [REFUSED, requests.ReadTimeout("slow"), requests.ConnectTimeout("slow"), ConnectionResetError()]
)
def test_a_lost_connection_is_tried_again(failure: BaseException) -> None:
    fake = FakeApi(failure, failure, GOOD)
    assert get(fake) == [{"oid": "a"}]
    assert len(fake.sent) == 3


def test_three_tries_are_enough() -> None:
    fake = FakeApi(Reply(503, body=b"<html><title>503</title>busy</html>"))
    with pytest.raises(SourceUnavailableError, match=r"^insights: list_models answered 503: 503 busy$"):
        get(fake)
    assert len(fake.sent) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 422, 426, 501, 505])
def test_a_lasting_refusal_is_not_tried_again(status: int) -> None:
    fake = FakeApi(Reply(status))
    with pytest.raises(CourierError):
        get(fake)
    assert len(fake.sent) == 1


def test_pauses_grow_and_are_drawn_in_full() -> None:
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
def test_a_long_retry_after_is_for_the_caller(header: str) -> None:
    fake = FakeApi(Reply(429, headers={"Retry-After": header}))
    with pytest.raises(SourceThrottledError) as caught:
        get(fake)
    assert caught.value.retry_after_seconds == 20
    assert fake.slept == []
    assert len(fake.sent) == 1


def test_a_long_retry_after_of_an_outage_is_not_slept_through_either() -> None:
    fake = FakeApi(Reply(503, headers={"Retry-After": "600"}))
    with pytest.raises(SourceUnavailableError):
        get(fake)
    assert (fake.slept, len(fake.sent)) == ([], 1)


def test_a_call_ends_within_its_limit() -> None:
    fake = FakeApi(requests.ReadTimeout("slow"), seconds_per_request=59.9, random=1.0)
    with pytest.raises(SourceUnavailableError, match="got no answer in time"):
        get(fake)
    assert len(fake.sent) == 1


def test_a_late_try_gets_only_the_time_that_is_left() -> None:
    fake = FakeApi(requests.ReadTimeout("slow"), GOOD, seconds_per_request=57.5, random=1.0)
    # A complete answer counts however late it is.
    assert get(fake) == [{"oid": "a"}]
    assert fake.sent[1].timeout == (2.0, 2.0)


def test_a_rotated_key_is_fetched_and_used_at_once() -> None:
    fake = FakeApi(Reply(401), GOOD, keys=["old-key-1", "new-key-2"])
    assert get(fake) == [{"oid": "a"}]
    assert fake.fetched == [False, True]
    assert [sent.headers["Authorization"] for sent in fake.sent] == ["TD1 old-key-1", "TD1 new-key-2"]


def test_a_second_new_key_is_not_asked_for() -> None:
    fake = FakeApi(Reply(401), keys=["one-key-1", "two-key-2", "three-key-3"])
    with pytest.raises(SourceUnauthorizedError):
        get(fake)
    assert (fake.fetched, len(fake.sent)) == ([False, True], 2)


def test_the_same_key_is_not_tried_twice() -> None:
    fake = FakeApi(Reply(401))
    with pytest.raises(SourceUnauthorizedError):
        get(fake)
    assert (fake.fetched, len(fake.sent)) == ([False, True], 1)


@pytest.mark.parametrize(("addresses_build", "error"), [(True, BuildNotFoundError), (False, SourceRejectedError)])
def test_a_404_is_about_a_build_only_where_one_was_asked_for(addresses_build: bool, error: type[CourierError]) -> None:
    with pytest.raises(error) as caught:
        FakeApi(Reply(404)).client.get_json("/x", kind="get", addresses_build=addresses_build)
    assert type(caught.value) is error


def test_a_redirect_is_not_followed_and_names_the_endpoint() -> None:
    fake = FakeApi(Reply(302, headers={"Location": "https://login.example.com/sso?state=secret"}))
    with pytest.raises(SourceRejectedError, match="endpoint") as caught:
        get(fake)
    assert "https://login.example.com" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert len(fake.sent) == 1


def test_the_budget_may_stop_every_try() -> None:
    asked: list[str] = []

    def spend(kind: str) -> None:
        asked.append(kind)
        if len(asked) == 2:
            raise SourceThrottledError("the budget is spent")

    fake = FakeApi(Reply(500), before_request=spend)
    with pytest.raises(SourceThrottledError, match="the budget is spent"):
        get(fake)
    assert asked == ["list_models", "list_models"]
    assert len(fake.sent) == 1


def test_each_try_is_told_with_its_trouble() -> None:
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
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b'{"a": 1, "a": 2}',
        b"[" * 200_000,
        b"\xff\xfe\x00",
        b'{"a": ' + b"9" * 10_000 + b"}",
    ],
    ids=["html", "empty", "cut", "nan", "infinity", "huge", "twice", "nested", "no-text", "digits"],
)
def test_a_success_that_is_not_json_is_a_protocol_error(body: bytes) -> None:
    fake = FakeApi(Reply(200, body=body, headers={"Content-Type": "text/html; charset=utf-8"}))
    with pytest.raises(SourceProtocolError, match=r"list_models answered 200 .* not JSON \(text/html\)"):
        get(fake)
    assert len(fake.sent) == 1


def test_a_body_beyond_the_limit_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "BODY_LIMIT_BYTES", 1_000)
    # The declared length is a lie; what counts is what comes.
    fake = FakeApi(Reply(200, body=b"[" + b" " * 200_000 + b"]", headers={"Content-Length": "2"}))
    with pytest.raises(SourceProtocolError, match="more than 1000 bytes"):
        get(fake)


def test_a_body_that_drips_is_given_up_when_the_call_is_over() -> None:
    fake = FakeApi(Reply(200, body=b" " * 1_000_000), seconds_per_request=59.9)
    fake.seconds_per_look = 0.2
    with pytest.raises(SourceUnavailableError, match="got no answer in time"):
        get(fake)
    assert len(fake.sent) == 1


def test_a_refusal_whose_body_does_not_come_is_still_a_refusal() -> None:
    broken = Reply(403, body=b"no gzip", headers={"Content-Encoding": "gzip"})
    with pytest.raises(SourceUnauthorizedError, match=r"answered 403$"):
        get(FakeApi(broken))


def test_a_key_that_cannot_travel_is_not_shown() -> None:
    fake = FakeApi(GOOD, keys=["line\nbreak-secret"])
    with pytest.raises(SettingsError) as caught:
        get(fake)
    assert "secret" not in str(caught.value)
    assert fake.sent == []


def test_an_echoed_key_is_not_repeated() -> None:
    echo = f"<Error><ArgumentValue>TD1 {KEY}</ArgumentValue> bad {KEY.split('/')[1]}</Error>".encode()
    with pytest.raises(SourceRejectedError) as caught:
        get(FakeApi(Reply(400, body=echo)))
    assert KEY not in str(caught.value)
    assert KEY.split("/")[1] not in str(caught.value)


def test_a_removal_is_tried_again_and_its_answer_may_be_empty() -> None:
    fake = FakeApi(Reply(502), Reply(204, body=b""))
    fake.client.delete("/builds/1", kind="cancel_build")
    assert [sent.method for sent in fake.sent] == ["DELETE", "DELETE"]
