"""One way to ask a provider's HTTP API: time limits, a few careful repetitions, and our errors only."""

import json
import random as random_numbers
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import requests
import requests.adapters
from pydantic import JsonValue

from courier.clock import Clock, utc_now
from courier.errors import SettingsError, SourceError, SourceUnavailableError
from courier.observability.provider_events import RequestAttempt
from courier.observability.redaction import redact
from courier.providers.network_errors import FOREIGN_ERRORS, Trouble, map_foreign_error, trouble_error
from courier.providers.parsing import decode_json, error_words, secrets_of
from courier.providers.status_errors import (
    Explain,
    Refusal,
    host_of,
    refusal_error,
    retry_after_seconds,
)
from courier.providers.transport import STANDING_HEADERS, WitnessedBody, make_transport

CONNECT_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 30.0
# All tries and pauses of one call; two slow tries fit, and a poll of a few sources stays inside its minute.
CALL_LIMIT_SECONDS = 60.0
TRIES = 3
BACKOFF_FIRST_SECONDS = 0.5
BACKOFF_LONGEST_SECONDS = 4.0
# Sleeping is paid for; whoever asks for more is asked again by the next tick or the state machine's retry.
RETRY_AFTER_SLEPT_SECONDS = 5.0
# A model's whole history comes in one answer without paging: 250 bytes a build, so room for 130,000 builds.
BODY_LIMIT_BYTES = 32 * 1024**2
ERROR_BODY_LIMIT_BYTES = 64 * 1024
_PIECE_BYTES = 64 * 1024

RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})

Authorize = Callable[[bool], Mapping[str, str]]
"""Gives the headers that carry the API key; with True it fetches the key anew."""


class ApiClient:
    """Requests to one source's API.

    Parameters
    ----------
    source
        Name of the source; begins every error text.
    endpoint
        URL in front of every path, without a slash at its end.
    authorize
        See `Authorize`. A 401 makes it fetch the key anew, once per call, because keys are rotated.
    transport
        Replaces the connection to the network, in tests.
    ca_bundle
        PEM text of one more authority to trust, besides the public ones.
    before_request, on_request
        See `ProviderCallbacks`.
    sleep, random, clock, now
        Pause in seconds; a number in [0, 1); a monotonic clock in seconds; the time in UTC.

    Raises
    ------
    SettingsError
        ``ca_bundle`` is not a certificate.

    Notes
    -----
    A server that sends its header lines drop by drop is stopped only by the function's own time limit, because
    the read timeout counts from byte to byte. Bodies are bounded in bytes and in time.
    """

    def __init__(
        self,
        endpoint: str,
        authorize: Authorize,
        *,
        source: str,
        transport: requests.adapters.BaseAdapter | None = None,
        connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS,
        read_timeout_seconds: float = READ_TIMEOUT_SECONDS,
        call_limit_seconds: float = CALL_LIMIT_SECONDS,
        ca_bundle: str | None = None,
        before_request: Callable[[str], None] | None = None,
        on_request: Callable[[RequestAttempt], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = random_numbers.random,
        clock: Callable[[], float] = time.monotonic,
        now: Clock = utc_now,
    ) -> None:
        self.source = source
        self.endpoint = endpoint.rstrip("/")
        self._authorize = authorize
        self._connect_timeout_seconds = connect_timeout_seconds
        self._read_timeout_seconds = read_timeout_seconds
        self._call_limit_seconds = call_limit_seconds
        self._before_request = before_request
        self._on_request = on_request
        self._sleep = sleep
        self._random = random
        self._clock = clock
        self._now = now
        self._transport = transport or make_transport(source, ca_bundle)

    def get_json(
        self, path: str, *, kind: str, addresses_build: bool = False, explain: Explain | None = None
    ) -> JsonValue:
        """Ask for a document; repeated on passing trouble.

        Parameters
        ----------
        path
            Below the endpoint, each segment quoted.
        kind
            What is asked for, in metrics and error texts.
        addresses_build
            Whether a 404 is `BuildNotFoundError`.
        explain
            The provider's own reading of a refusal.

        Raises
        ------
        SourceError
            The subclass says what went wrong.
        """
        call = _Call(method="GET", path=path, kind=kind, addresses_build=addresses_build, explain=explain)
        return self._document(call, self._answer(call))

    def post_json(
        self,
        path: str,
        body: Mapping[str, JsonValue],
        *,
        kind: str,
        starts_build: bool = True,
        explain: Explain | None = None,
    ) -> JsonValue:
        """Send a document.

        Unless ``starts_build`` is False, the request is repeated only when the provider certainly has not
        seen it, or has refused its key (401) and there is a new one.

        Raises
        ------
        RequestUncertainError
            The request was sent, and its answer is lost or not to be understood.
        SourceError
            As with `get_json`.
        """
        try:
            payload = json.dumps(body, allow_nan=False).encode()
        except (ValueError, RecursionError) as exc:
            raise SettingsError(f"{self.source}: the body of {kind} cannot be written as JSON") from exc
        call = _Call(method="POST", path=path, kind=kind, payload=payload, starts_build=starts_build, explain=explain)
        return self._document(call, self._answer(call))

    def delete(self, path: str, *, kind: str) -> None:
        """Ask for something to be removed; asking twice is harmless, so it is repeated like a GET.

        Raises
        ------
        BuildNotFoundError
            There is nothing to remove.
        SourceError
            As with `get_json`.
        """
        self._answer(_Call(method="DELETE", path=path, kind=kind, addresses_build=True))

    def _answer(self, call: "_Call") -> "_Answer":
        """Make one call, with the key fetched anew if it was refused; only a 2xx comes back."""
        deadline = self._clock() + self._call_limit_seconds
        headers = self._authorize(False)
        answer = self._try_a_few_times(call, headers, deadline=deadline)
        if answer.status == 401:  # noqa: PLR2004 - Unauthorized; not 403, which a new key of the same user would get too
            rotated = self._authorize(True)
            # A 401 is given before any work is done, so that even a POST may be repeated.
            if rotated != headers:
                headers = rotated
                answer = self._try_a_few_times(call, headers, deadline=deadline)
        if answer.is_success:
            return answer
        raise self._refusal_error(call, answer, headers)

    def _try_a_few_times(self, call: "_Call", headers: Mapping[str, str], *, deadline: float) -> "_Answer":
        for attempt in range(1, TRIES + 1):
            wait_seconds: float | None = None
            result = self._try_once(call, headers, attempt=attempt, deadline=deadline)
            error: SourceError | SettingsError
            cause: BaseException | None = None
            if isinstance(result, _Answer):
                if result.status not in RETRIED_STATUSES or call.starts_build:
                    return result
                error = self._refusal_error(call, result, headers)
                wait_seconds = retry_after_seconds(result.headers, now=self._now())
                worth_another_try = isinstance(error, SourceUnavailableError)
            else:
                error = trouble_error(result, source=self.source, kind=call.kind, starts_build=call.starts_build)
                cause = result.cause
                worth_another_try = result.passing and not (call.starts_build and result.reached)
            pause_seconds = self._pause_seconds(attempt, wait_seconds)
            if (
                not worth_another_try
                or attempt == TRIES
                or (wait_seconds or 0) > RETRY_AFTER_SLEPT_SECONDS
                or self._clock() + pause_seconds >= deadline
            ):
                raise error from cause
            self._sleep(pause_seconds)
        raise AssertionError("the last try either answers or raises")

    def _pause_seconds(self, attempt: int, wait_seconds: float | None) -> float:
        # Full jitter: sources are polled at the same second, and must not come back at the same second.
        ceiling = min(BACKOFF_LONGEST_SECONDS, BACKOFF_FIRST_SECONDS * 2.0 ** (attempt - 1))
        return (wait_seconds or 0.0) + self._random() * ceiling

    def _try_once(
        self, call: "_Call", headers: Mapping[str, str], *, attempt: int, deadline: float
    ) -> "_Answer | Trouble":
        if any(not (value.isascii() and value.isprintable() and value == value.strip()) for value in headers.values()):
            # Caught here because the libraries' own errors would show the value.
            raise SettingsError(f"{self.source}: the API key holds characters that cannot travel in a header")
        if self._before_request is not None:
            self._before_request(call.kind)
        body = WitnessedBody(call.payload) if call.payload is not None else None
        started = self._clock()
        result: _Answer | Trouble
        if body is not None and call.starts_build:
            # A connection that was idle may be dead, and a request lost on it is uncertain; a new one is not.
            self._transport.close()
        try:
            result = self._exchange(call, headers, body, deadline=deadline)
        except FOREIGN_ERRORS as exc:
            result = map_foreign_error(exc, reached=body is None or body.was_read)
        if self._on_request is not None:
            self._on_request(
                RequestAttempt(
                    source=self.source,
                    kind=call.kind,
                    status=result.status,
                    failure=result.word if isinstance(result, Trouble) else None,
                    seconds=self._clock() - started,
                    attempt=attempt,
                )
            )
        return result

    def _exchange(
        self, call: "_Call", headers: Mapping[str, str], body: "WitnessedBody | None", *, deadline: float
    ) -> "_Answer | Trouble":
        left_seconds = max(deadline - self._clock(), 0.001)
        sent = {**STANDING_HEADERS, **headers}
        if body is not None:
            sent["Content-Type"] = "application/json"
        request = requests.Request(call.method, f"{self.endpoint}{call.path}", data=body, headers=sent).prepare()
        # No session: that would add what the environment says (a netrc entry replaces our Authorization header, a
        # proxy variable carries the key to a host that the settings do not name), keep cookies, and read the
        # body of a redirect without bound. A redirect is not followed: it could carry the key to another host.
        with self._transport.send(
            request,
            stream=True,
            timeout=(min(self._connect_timeout_seconds, left_seconds), min(self._read_timeout_seconds, left_seconds)),
        ) as response:
            answer = _Answer(status=response.status_code, headers=response.headers)
            if not answer.is_success:
                return replace(answer, body=self._read_excuse(response, deadline=deadline))
            content = self._read_body(response, limit=BODY_LIMIT_BYTES, deadline=deadline)
            if len(content) > BODY_LIMIT_BYTES:
                text = f"answered with more than {BODY_LIMIT_BYTES} bytes"
                return Trouble(word="oversized", text=text, passing=False, status=answer.status)
            return replace(answer, body=content)

    def _read_excuse(self, response: requests.Response, *, deadline: float) -> bytes:
        """Read the body of a refusal as far as it comes: the status says enough."""
        try:
            return self._read_body(response, limit=ERROR_BODY_LIMIT_BYTES, deadline=deadline)[:ERROR_BODY_LIMIT_BYTES]
        except FOREIGN_ERRORS:
            return b""

    def _read_body(self, response: requests.Response, *, limit: int, deadline: float) -> bytes:
        """Read a body, stopping soon after ``limit`` bytes, whatever length was declared."""
        content = bytearray()
        # read1 gives what has come, so that the clock is looked at however slowly the body drips.
        while piece := response.raw.read1(_PIECE_BYTES, decode_content=True):
            if content and self._clock() > deadline:
                raise TimeoutError("the body is late")
            content += piece
            if len(content) > limit:
                break
        return bytes(content)

    def _refusal_error(self, call: "_Call", answer: "_Answer", headers: Mapping[str, str]) -> SourceError:
        try:
            document = decode_json(answer.body)
        except ValueError:
            document = None
        refusal = Refusal(
            source=self.source,
            kind=call.kind,
            status=answer.status,
            document=document,
            words=error_words(answer.body, secrets=secrets_of(headers)),
            retry_after_seconds=retry_after_seconds(answer.headers, now=self._now()),
            moved_to=host_of(answer.headers.get("Location", "")),
        )
        return refusal_error(
            refusal, starts_build=call.starts_build, addresses_build=call.addresses_build, explain=call.explain
        )

    def _document(self, call: "_Call", answer: "_Answer") -> JsonValue:
        try:
            return decode_json(answer.body)
        except ValueError as exc:
            kind = answer.headers.get("Content-Type", "").partition(";")[0].strip() or "no content type"
            trouble = Trouble(
                word="undecodable",
                text=f"answered {answer.status} with something that is not JSON ({redact(kind, limit=100)})",
                passing=False,
            )
            error = trouble_error(trouble, source=self.source, kind=call.kind, starts_build=call.starts_build)
            raise error from exc


@dataclass(frozen=True, kw_only=True)
class _Call:
    method: Literal["GET", "POST", "DELETE"]
    path: str
    kind: str
    payload: bytes | None = None
    starts_build: bool = False
    addresses_build: bool = False
    explain: Explain | None = None


@dataclass(frozen=True, kw_only=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300  # noqa: PLR2004 - the class of successes
