"""HTTP client of the provider APIs: bounded in time and size, cautious with retries, raising only our errors."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import requests
import requests.adapters
from pydantic import JsonValue

from courier import __version__
from courier.backoff import Backoff
from courier.clock import Clock, utc_now
from courier.errors import SettingsError, SourceError, SourceUnavailableError
from courier.observability.provider_events import RequestAttempt
from courier.providers.api_call import ApiCall, ApiResponse, Authorize, Credentials, Page
from courier.providers.error_mapping import (
    ErrorResponse,
    MapError,
    error_from_failure,
    error_from_response,
    is_usable,
    read_error_response,
)
from courier.providers.network_errors import NETWORK_ERRORS, AttemptFailure, map_network_error
from courier.providers.transport import TrackedBody, make_transport, read_body

CONNECT_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 30.0
# All attempts and pauses of one call; two slow attempts fit, and polling a few sources stays within a minute.
CALL_LIMIT_SECONDS = 60.0
BACKOFF = Backoff(attempts=3, first_seconds=0.5, longest_seconds=4.0)
# Lambda bills sleep too; after a longer Retry-After the next tick or the state machine's retry calls again.
RETRY_AFTER_SLEPT_SECONDS = 5.0
# A data model's whole history comes in one response without paging: 250 bytes a build, so room for 130,000 builds.
BODY_LIMIT_BYTES = 32 * 1024**2
ERROR_BODY_LIMIT_BYTES = 64 * 1024

RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})

DEFAULT_HEADERS: Final = {
    "User-Agent": f"build-courier/{__version__}",
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
}


class ApiClient:
    """HTTP client of one source's API.

    Parameters
    ----------
    source
        Name of the source; begins every error message.
    endpoint
        URL in front of every path, without a slash at its end.
    authorize
        See `Authorize`. A 401 or 403 makes the client read the key again, once per call, because keys are rotated:
        some APIs respond 403 to a key that has expired.
    transport
        Replaces the connection to the network, in tests.
    ca_bundle
        PEM text of one more authority to trust, besides the public ones.
    before_request, on_request
        See `ProviderCallbacks`.
    clock, now
        A monotonic clock in seconds; the time in UTC.

    Notes
    -----
    Only the function's own timeout stops a server that sends its headers byte by byte, because the read timeout
    restarts with every byte. Bodies are bounded in bytes and in time.
    """

    def __init__(
        self,
        endpoint: str,
        authorize: Authorize,
        *,
        source: str,
        transport: requests.adapters.BaseAdapter | None = None,
        call_limit_seconds: float = CALL_LIMIT_SECONDS,
        ca_bundle: str | None = None,
        before_request: Callable[[str], None] | None = None,
        on_request: Callable[[RequestAttempt], None] | None = None,
        read_timeout_seconds: float = READ_TIMEOUT_SECONDS,
        backoff: Backoff = BACKOFF,
        clock: Callable[[], float] = time.monotonic,
        now: Clock = utc_now,
    ) -> None:
        self.source = source
        self.endpoint = endpoint.rstrip("/")
        self._authorize = authorize
        self._call_limit_seconds = call_limit_seconds
        self._before_request = before_request
        self._on_request = on_request
        self._read_timeout_seconds = read_timeout_seconds
        self._backoff = backoff
        self._clock = clock
        self.now = now
        self._hidden: tuple[str, ...] = ()
        self._transport = transport or make_transport(source, ca_bundle)

    def get_json(
        self, path: str, *, kind: str, addresses_build: bool = False, map_error: MapError | None = None
    ) -> JsonValue:
        """Get a document; transient failures are retried.

        Parameters
        ----------
        path
            Below the endpoint, each segment quoted.
        kind, addresses_build, map_error
            See `Operation`.

        Raises
        ------
        SourceError
            The subclass says what went wrong.
        """
        return self.get_page(path, kind=kind, addresses_build=addresses_build, map_error=map_error).document

    def get_page(
        self, path: str, *, kind: str, addresses_build: bool = False, map_error: MapError | None = None
    ) -> Page:
        """Get a document with the headers of its response, as `get_json` does."""
        call = ApiCall(
            method="GET", path=path, source=self.source, kind=kind, addresses_build=addresses_build, map_error=map_error
        )
        return self.call(call)

    def call(self, call: ApiCall) -> Page:
        """Send any request, and return its document with the headers of its response.

        Raises
        ------
        RequestUncertainError
            The request starts a build and was sent, and its response was lost or is unusable.
        SourceError
            As with `get_json`.
        """
        return call.decode(self._execute(call))

    def count(self, kind: str) -> None:
        """Count a request to the API that is sent elsewhere, such as a download with our credentials.

        Raises
        ------
        SourceThrottledError
            The rate limit leaves no room for it.
        """
        if self._before_request is not None:
            self._before_request(kind)

    def hidden(self) -> tuple[str, ...]:
        """Return the texts that no message may show."""
        return self._hidden

    def credentials(self) -> Credentials:
        """Return what authorizes a request, for a download from the API's own host."""
        credentials = self._authorize(False)
        self._check_sendable(credentials)
        return credentials

    def deadline(self) -> float:
        """Return when a call that starts now must end, on the clock of this client."""
        return self._clock() + self._call_limit_seconds

    def is_past(self, deadline: float) -> bool:
        """Return whether a deadline has passed."""
        return self._clock() > deadline

    def post_json(
        self,
        path: str,
        body: Mapping[str, JsonValue],
        *,
        kind: str,
        starts_build: bool = True,
        map_error: MapError | None = None,
    ) -> JsonValue:
        """Post a document.

        Unless ``starts_build`` is False, the request is retried only when the provider certainly has not
        received it, or has refused its key (401) and there is a new one.

        Raises
        ------
        RequestUncertainError
            The request was sent, and its response was lost or is unusable.
        SourceError
            As with `get_json`.
        """
        call = ApiCall(
            method="POST",
            path=path,
            body=dict(body),
            source=self.source,
            kind=kind,
            starts_build=starts_build,
            map_error=map_error,
        )
        return self.call(call).document

    def delete(self, path: str, *, kind: str, map_error: MapError | None = None) -> None:
        """Delete something; deleting twice is harmless, so it is retried like a GET.

        Raises
        ------
        BuildNotFoundError
            There is nothing to delete.
        SourceError
            As with `get_json`.
        """
        self._execute(
            ApiCall(
                source=self.source, method="DELETE", path=path, kind=kind, addresses_build=True, map_error=map_error
            )
        )

    def _execute(self, call: ApiCall) -> ApiResponse:
        """Return the response to one call; reads the key again if the provider refuses it."""
        deadline = self.deadline()
        credentials = self._authorize(False)
        result = self._send_with_retries(call, credentials, deadline=deadline)
        if self._refuses_key(call, result):
            rotated = self._authorize(True)
            # A provider refuses a key before it does any work, so that even a POST may be repeated.
            if rotated != credentials:
                result = self._send_with_retries(call, rotated, deadline=deadline)
        if isinstance(result, ErrorResponse):
            raise error_from_response(result, call)
        return result

    def _refuses_key(self, call: ApiCall, result: ApiResponse | ErrorResponse) -> bool:
        if isinstance(result, ErrorResponse):
            return result.refuses_key
        if call.refuses_key is None:
            return False
        with suppress(SourceError):
            return call.refuses_key(call.decode(result))
        return False

    def _send_with_retries(
        self, call: ApiCall, credentials: Credentials, *, deadline: float
    ) -> ApiResponse | ErrorResponse:
        for attempt in range(1, self._backoff.attempts + 1):
            result = self._send_once(call, credentials, attempt=attempt, deadline=deadline)
            if isinstance(result, AttemptFailure):
                error, cause = error_from_failure(result, call), result.cause
                may_retry = result.transient and not (call.starts_build and result.may_have_arrived)
                requested_seconds = 0.0
            elif call.starts_build or result.status not in RETRIED_STATUSES or isinstance(result, ApiResponse):
                return result
            else:
                error, cause = error_from_response(result, call), None
                may_retry = isinstance(error, SourceUnavailableError)
                requested_seconds = result.retry_after_seconds or 0.0
            pause_seconds = requested_seconds + self._backoff.jitter_seconds(attempt)
            if (
                not may_retry
                or attempt == self._backoff.attempts
                or requested_seconds > RETRY_AFTER_SLEPT_SECONDS
                or self._clock() + pause_seconds >= deadline
            ):
                raise error from None if call.hides_cause else cause
            self._backoff.sleep(pause_seconds)
        raise AssertionError("the last attempt returns or raises")

    def _send_once(
        self, call: ApiCall, credentials: Credentials, *, attempt: int, deadline: float
    ) -> ApiResponse | ErrorResponse | AttemptFailure:
        self._check_sendable(credentials)
        payload = call.encode(credentials)
        if self._before_request is not None:
            self._before_request(call.kind)
        body = TrackedBody(payload) if payload is not None else None
        started = self._clock()
        result: ApiResponse | ErrorResponse | AttemptFailure
        if body is not None and call.starts_build:
            # An idle connection may be dead, and a request lost on it is uncertain; on a new one it is not.
            self._transport.close()
        try:
            result = self._exchange(call, credentials, body, deadline=deadline)
        except NETWORK_ERRORS as exc:
            result = map_network_error(exc, may_have_arrived=body is None or body.was_read)
        if self._on_request is not None:
            self._on_request(
                RequestAttempt(
                    source=self.source,
                    kind=call.kind,
                    status=result.status,
                    failure=result.label if isinstance(result, AttemptFailure) else None,
                    seconds=self._clock() - started,
                    attempt=attempt,
                )
            )
        return result

    def _exchange(
        self, call: ApiCall, credentials: Credentials, body: TrackedBody | None, *, deadline: float
    ) -> ApiResponse | ErrorResponse | AttemptFailure:
        left_seconds = max(deadline - self._clock(), 0.001)
        sent: dict[str, str] = {**DEFAULT_HEADERS}
        if body is not None:
            sent["Content-Type"] = call.content_type
        # Names of headers have no case; the credentials come last, so that nothing can take their place.
        for name, value in (*call.headers.items(), *credentials.headers.items()):
            sent = {known: text for known, text in sent.items() if known.lower() != name.lower()} | {name: value}
        request = requests.Request(call.method, f"{self.endpoint}{call.path}", data=body, headers=sent).prepare()
        # No session: it would apply the environment (a netrc entry replaces our Authorization header, a proxy
        # variable carries the key to a host that the settings do not name), keep cookies, and read the body of a
        # redirect without bound. A redirect is not followed: it could carry the key to another host.
        with self._transport.send(
            request,
            stream=True,
            timeout=(min(CONNECT_TIMEOUT_SECONDS, left_seconds), min(self._read_timeout_seconds, left_seconds)),
        ) as received:
            reads = call.method == "GET" and not call.may_be_delayed
            if not is_usable(received, now=self.now(), reads=reads):
                content = b""
                # The status says enough, so an error's body may be cut off or lost.
                with suppress(*NETWORK_ERRORS):
                    content = read_body(received, limit=ERROR_BODY_LIMIT_BYTES, deadline=deadline, clock=self._clock)
                return read_error_response(
                    received, content[:ERROR_BODY_LIMIT_BYTES], call, secrets=credentials.hidden(), now=self.now()
                )
            content = read_body(received, limit=BODY_LIMIT_BYTES, deadline=deadline, clock=self._clock)
            if len(content) > BODY_LIMIT_BYTES:
                text = f"returned more than {BODY_LIMIT_BYTES} bytes"
                return AttemptFailure(label="oversized", text=text, transient=False, status=received.status_code)
            return ApiResponse(status=received.status_code, headers=received.headers, body=content)

    def _check_sendable(self, credentials: Credentials) -> None:
        self._hidden = credentials.hidden()
        values = credentials.headers.values()
        if any(not (value.isascii() and value.isprintable() and value == value.strip()) for value in values):
            # Caught here because the libraries' own errors would show the value.
            raise SettingsError(f"{self.source}: the API key holds characters that a header cannot carry")
