"""Every exception that requests, urllib3 or http.client can raise becomes one of ours."""

from __future__ import annotations

import http.client
import ssl
import traceback
from collections.abc import Iterator

import pytest
import requests
import urllib3.exceptions

from courier.errors import CourierError, RequestUncertainError, SourceProtocolError, SourceUnavailableError
from courier.providers.network_errors import map_network_error
from tests.unit.providers.fake_api import KEY, FakeApi, LostAfterSending

ROOTS = (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException)

# These say nothing about our requests, so they are mapped to unreadable responses. A class that a new version of a
# library adds is not listed, and fails here until it is mapped.
UNREADABLE = {
    "BodyNotHttplibCompatible",
    "HeaderParsingError",
    "HTTPError",
    "InvalidHeader",
    "ProxyError",
    "RequestException",
    "ResponseError",
    "StreamConsumedError",
    "TimeoutStateError",
    "TooManyRedirects",
}


def classes(root: type[BaseException]) -> Iterator[type[BaseException]]:
    if not issubclass(root, Warning):
        yield root
        for child in root.__subclasses__():
            yield from classes(child)


def is_library_class(kind: type[BaseException]) -> bool:
    return kind.__module__.partition(".")[0] in {"requests", "urllib3", "http"}


ALL = sorted({kind for root in ROOTS for kind in classes(root) if is_library_class(kind)}, key=str)


def instance(kind: type[BaseException]) -> BaseException:
    error = kind.__new__(kind)
    error.args = ("made for a test",)
    return error


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_no_class_is_left_unmapped(kind: type[BaseException]) -> None:
    failure = map_network_error(instance(kind), may_have_arrived=True)
    assert (failure.label == "unreadable") <= (kind.__name__ in UNREADABLE)
    with pytest.raises(CourierError):
        FakeApi(instance(kind)).client.get_json("/x", kind="get_build")
    with pytest.raises(CourierError):
        FakeApi(LostAfterSending(instance(kind))).client.post_json("/x", {}, kind="start_build")


@pytest.mark.parametrize("error", [OSError(113, "No route to host"), ValueError("bare"), ssl.SSLError()])
def test_exceptions_of_the_standard_library_are_mapped_too(error: BaseException) -> None:
    with pytest.raises(CourierError):
        FakeApi(error).client.get_json("/x", kind="get_build")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (requests.ConnectTimeout("x"), "timed out while connecting"),
        (requests.ReadTimeout("x"), "timed out waiting for the response"),
        (requests.ConnectionError(ConnectionRefusedError(111, "Connection refused")), "cannot connect: Connection ref"),
        (requests.ConnectionError(ConnectionResetError(104, "Connection reset")), "lost the connection: Connection re"),
        (
            requests.exceptions.SSLError(ssl.SSLCertVerificationError()),
            "received a certificate that is not trusted.*ca_bundle",
        ),
        (requests.exceptions.SSLError("x"), "failed in TLS"),
    ],
)
def test_the_message_names_the_failure(error: BaseException, sentence: str) -> None:
    with pytest.raises(SourceUnavailableError, match=f"^insights: list_models {sentence}") as caught:
        FakeApi(error).client.get_json("/x", kind="list_models")
    assert caught.value.__cause__ is error


def test_an_undecodable_body_is_not_retried() -> None:
    fake = FakeApi(urllib3.exceptions.DecodeError("gzip"))
    with pytest.raises(SourceProtocolError, match="cannot be decoded"):
        fake.client.get_json("/x", kind="list_models")
    assert len(fake.sent) == 1


def test_a_traceback_shows_no_header() -> None:
    prepared = requests.Request("GET", "https://api.example.com", headers={"Authorization": f"TD1 {KEY}"}).prepare()
    for error in (
        requests.exceptions.InvalidHeader(f"Invalid header value: {KEY!r}", request=prepared),
        requests.ReadTimeout("slow", request=prepared),
    ):
        with pytest.raises(CourierError) as caught:
            FakeApi(error).client.get_json("/x", kind="list_models")
        assert KEY not in "".join(traceback.format_exception(caught.value))
        assert error.request is None


def test_circular_causes_terminate() -> None:
    first, second = requests.ConnectionError(), requests.ConnectionError()
    first.args, second.args = (second,), (first,)
    with pytest.raises(RequestUncertainError):
        FakeApi(LostAfterSending(first)).client.post_json("/x", {}, kind="start_build")
