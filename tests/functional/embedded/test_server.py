"""The wrapper's handling of requests, with a simple application instead of moto."""

import io
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

from local.embedded.call_context import CallTracker
from local.embedded.interception import Interception
from local.embedded.server import AwsApplication


@pytest.mark.parametrize(
    ("headers", "alone"),
    [
        ({"HTTP_X_AMZ_TARGET": "DynamoDB_20120810.UpdateItem"}, True),
        ({"HTTP_IF_NONE_MATCH": "*"}, True),
        ({"HTTP_IF_MATCH": '"etag"'}, True),
        ({}, False),
    ],
)
def test_writes_under_a_condition_are_alone(headers: dict[str, str], alone: bool) -> None:
    application = AwsApplication(tracker=CallTracker(), interception=Interception())
    together = threading.Barrier(2)

    def moto(environ: dict[str, object], start_response: Callable[..., object]) -> Iterable[bytes]:
        try:
            together.wait(0.2)
        except threading.BrokenBarrierError:
            return [b"alone"]
        return [b"together"]

    application._moto = moto

    def send(_: int) -> bytes:
        environ = {"REQUEST_METHOD": "PUT", "PATH_INFO": "/x", "wsgi.input": io.BytesIO(), **headers}
        return b"".join(application(environ, lambda *_: lambda _: None))

    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(send, range(2))) == {b"alone" if alone else b"together"}
