"""A scripted API without a network, on a clock that only sleeping advances."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import requests
import requests.adapters
from urllib3 import HTTPResponse

from courier.observability.provider_events import RequestAttempt
from courier.providers.api_call import Credentials
from courier.providers.http_client import BACKOFF, ApiClient

KEY = "1234/0123456789abcdef0123456789abcdef01234567"
START = datetime(2026, 4, 15, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Reply:
    """A scripted response; ``json`` is written unless ``body`` is set."""

    status: int = 200
    json: object = None
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def content(self) -> bytes:
        return json.dumps(self.json).encode() if self.body is None else self.body


@dataclass(frozen=True)
class LostAfterSending:
    """The request's body is read, then ``error`` is raised."""

    error: BaseException


Step = Reply | LostAfterSending | BaseException


@dataclass(frozen=True)
class Sent:
    method: str
    path: str
    headers: Mapping[str, str]
    body: object
    timeout: object
    url: str = ""


def _decoded(body: bytes, content_type: str) -> object:
    return json.loads(body) if content_type == "application/json" else body.decode()


class FakeTransport(requests.adapters.BaseAdapter):
    """Plays the script, one step per request, and repeats the last step."""

    def __init__(self, steps: Iterable[Step], after_each: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.steps = list(steps)
        self.sent: list[Sent] = []
        self.closed = 0
        self._after_each = after_each

    def send(  # type: ignore[override]  # a transport of ours gets exactly these
        self, request: requests.PreparedRequest, *, timeout: object = None, **_: object
    ) -> requests.Response:
        step = self.steps[0] if len(self.steps) == 1 else self.steps.pop(0)
        read = getattr(request.body, "read", None)
        # Like a real transport, the body is touched only once a connection exists.
        body = read() if read is not None and not isinstance(step, BaseException) else None
        self.sent.append(
            Sent(
                method=str(request.method),
                path=request.path_url,
                headers=dict(request.headers),
                body=_decoded(body, str(request.headers.get("Content-Type"))) if body else None,
                timeout=timeout,
                url=str(request.url),
            )
        )
        self._after_each()
        if isinstance(step, LostAfterSending):
            raise step.error
        if isinstance(step, BaseException):
            raise step
        response = requests.Response()
        response.status_code = step.status
        response.url = str(request.url)
        response.headers.update(step.headers)
        response.raw = HTTPResponse(
            io.BytesIO(step.content()), headers=step.headers, status=step.status, preload_content=False
        )
        return response

    def close(self) -> None:
        self.closed += 1


class FakeApi:
    """A client of `FakeTransport`, and everything that it did."""

    def __init__(
        self,
        *steps: Step,
        keys: Iterable[str] = (KEY,),
        random: float = 0.5,
        seconds_per_request: float = 0.0,
        before_request: Callable[[str], None] | None = None,
    ) -> None:
        self.slept: list[float] = []
        self.attempts: list[RequestAttempt] = []
        self.fetched: list[bool] = []
        self.elapsed_seconds = 0.0
        self.seconds_per_reading = 0.0
        self._keys = list(keys)
        self._seconds_per_request = seconds_per_request
        self.transport = FakeTransport(steps, self._pass_time)
        self.client = ApiClient(
            "https://api.example.com",
            self._authorize,
            source="insights",
            transport=self.transport,
            before_request=before_request,
            on_request=self.attempts.append,
            backoff=replace(BACKOFF, sleep=self._sleep, random=lambda: random),
            clock=self._read_clock,
            now=lambda: START + timedelta(seconds=self.elapsed_seconds),
        )

    @property
    def sent(self) -> list[Sent]:
        return self.transport.sent

    def _authorize(self, fresh: bool) -> Credentials:
        self.fetched.append(fresh)
        if fresh and len(self._keys) > 1:
            self._keys.pop(0)
        return Credentials(headers={"Authorization": f"TD1 {self._keys[0]}"})

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.elapsed_seconds += seconds

    def _read_clock(self) -> float:
        self.elapsed_seconds += self.seconds_per_reading
        return self.elapsed_seconds

    def _pass_time(self) -> None:
        self.elapsed_seconds += self._seconds_per_request
