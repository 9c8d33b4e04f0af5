"""What an error response stands for: the build, the key, the endpoint, a moment's outage, or a gateway in between."""

from __future__ import annotations

import pytest

from courier.errors import (
    BuildNotFoundError,
    CourierError,
    SourceRejectedError,
    SourceThrottledError,
    SourceUnauthorizedError,
    SourceUnavailableError,
)
from tests.unit.providers.fake_api import KEY, FakeApi, Reply

TEXT = {"Content-Type": "text/plain; charset=utf-8"}
HTML = {"Content-Type": "text/html"}


def error_of(reply: Reply, *, addresses_build: bool = False) -> CourierError:
    with pytest.raises(CourierError) as caught:
        FakeApi(reply).client.get_json("/x", kind="get_build", addresses_build=addresses_build)
    return caught.value


@pytest.mark.parametrize("status", [404, 410])
def test_a_build_is_unknown_only_in_the_words_of_the_api(status: int) -> None:
    error = error_of(Reply(status, json={"error": "Not found"}), addresses_build=True)
    assert type(error) is BuildNotFoundError
    assert str(error) == f"insights: get_build returned {status}: Not found"


@pytest.mark.parametrize(
    ("reply", "form"),
    [
        (Reply(404, body=b"404 page not found\n", headers=TEXT), "text/plain: 404 page not found"),
        (Reply(404, body=b"<html><body>nginx</body></html>", headers=HTML), "text/html: nginx"),
        (Reply(404, body=b"gone"), "no content type: gone"),
        (Reply(404, body=b""), "an empty body"),
        (Reply(404, json="not found"), 'no content type: "not found"'),
        (Reply(404, json=[]), "no content type: []"),
        (Reply(410, body=b"gone", headers=TEXT), "text/plain: gone"),
        (Reply(404, body=b"x", headers={"Content-Type": "text/" + "x" * 500}), "text/xxx"),
    ],
)
def test_a_404_in_any_other_form_is_a_gateway_whose_backends_are_away(reply: Reply, form: str) -> None:
    error = error_of(reply, addresses_build=True)
    assert type(error) is SourceUnavailableError
    assert str(error).startswith(f"insights: get_build failed: a gateway responded {reply.status} with {form}")
    assert len(str(error)) < 250


def test_a_gateways_404_is_no_rejection_where_no_build_is_addressed_either() -> None:
    assert type(error_of(Reply(404, body=b"404 page not found", headers=TEXT))) is SourceUnavailableError
    assert type(error_of(Reply(404, json={"error": "Not found"}))) is SourceRejectedError


@pytest.mark.parametrize(
    "reply",
    [
        Reply(301),
        Reply(302, headers={"Location": "https://login.example.com"}),
        Reply(304),
        Reply(308, body=b"moved"),
        Reply(405, json={"error": "method not allowed"}),
        Reply(410, json={"error": "this version of the API was retired"}),
        Reply(410, body=b"<html>gone</html>", headers=HTML),
        Reply(426, json={"detail": "client is too old"}),
    ],
)
def test_an_api_that_is_no_longer_there_is_a_wrong_endpoint(reply: Reply) -> None:
    error = error_of(reply)
    assert isinstance(error, SourceRejectedError)
    assert type(error) is SourceRejectedError
    assert error.wrong_endpoint


@pytest.mark.parametrize("status", [400, 404, 406, 409, 415, 422, 451])
def test_any_other_rejection_is_about_the_request(status: int) -> None:
    error = error_of(Reply(status, json={"error": "no"}))
    assert isinstance(error, SourceRejectedError)
    assert type(error) is SourceRejectedError
    assert not error.wrong_endpoint


@pytest.mark.parametrize(("status", "forbidden"), [(401, False), (403, True)])
def test_a_refused_key_says_whether_the_provider_knows_it(status: int, forbidden: bool) -> None:
    error = error_of(Reply(status, json={"error": "no"}))
    assert isinstance(error, SourceUnauthorizedError)
    assert error.forbidden is forbidden


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"<html><title>Just a moment...</title></html>", {}),
        (b"\n <!-- page -->\n<!DOCTYPE HTML><p>Attention required</p>", {"Content-Type": "application/json"}),
        (b"Attention required", {"Content-Type": "Text/HTML; charset=UTF-8"}),
        (b'{"error": "blocked"}', {"cf-mitigated": "challenge"}),
        (b"", {"x-amzn-waf-action": "Captcha"}),
    ],
)
def test_a_page_or_a_challenge_is_a_gateways_and_not_the_keys(
    status: int, body: bytes, headers: dict[str, str]
) -> None:
    error = error_of(Reply(status, body=body, headers=headers))
    assert type(error) is SourceUnavailableError
    assert f"a gateway responded {status} with" in str(error)


@pytest.mark.parametrize("status", [202, 405])
def test_a_firewall_may_challenge_with_any_status(status: int) -> None:
    error = error_of(Reply(status, body=b"", headers={"x-amzn-waf-action": "challenge"}))
    assert str(error) == f"insights: get_build failed: a gateway responded {status} with an empty body, a challenge"
    assert type(error) is SourceUnavailableError


@pytest.mark.parametrize("body", [b"Forbidden", b"", b"RBAC: access denied", b'{"error": "<html>"}'])
def test_a_refusal_that_is_no_page_is_the_apis(body: bytes) -> None:
    assert isinstance(error_of(Reply(403, body=body)), SourceUnauthorizedError)


@pytest.mark.parametrize("status", [408, 425, 500, 501, 502, 503, 504, 529, 599])
def test_every_outage_carries_its_retry_after(status: int) -> None:
    error = error_of(Reply(status, headers={"Retry-After": "120"}))
    assert isinstance(error, SourceUnavailableError)
    assert type(error) is SourceUnavailableError
    assert error.retry_after_seconds == 120
    without = error_of(Reply(status))
    assert isinstance(without, SourceUnavailableError)
    assert without.retry_after_seconds is None


@pytest.mark.parametrize("status", [400, 403, 409, 413, 423, 429])
def test_a_client_error_with_a_retry_after_causes_a_pause(status: int) -> None:
    error = error_of(Reply(status, json={"error": "slow down"}, headers={"Retry-After": "120"}))
    assert isinstance(error, SourceThrottledError)
    assert (error.retry_after_seconds, error.own_limit) == (120, False)


@pytest.mark.parametrize("status", [401, 404, 405, 410, 426])
def test_a_retry_after_does_not_soften_what_is_permanent(status: int) -> None:
    error = error_of(Reply(status, json={"error": "no"}, headers={"Retry-After": "120"}))
    assert isinstance(error, SourceRejectedError)


def test_a_gateways_page_carries_its_retry_after_and_no_secret() -> None:
    page = f"<html>wait {KEY}</html>".encode()
    error = error_of(Reply(404, body=page, headers={"Retry-After": "60"}))
    assert isinstance(error, SourceUnavailableError)
    assert error.retry_after_seconds == 60
    assert KEY not in str(error)
