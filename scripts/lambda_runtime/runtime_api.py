"""Lambda's runtime API on loopback, for one sandbox ("Using the Lambda runtime API", Lambda developer guide)."""

import contextlib
import json
import queue
import re
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_PREFIX = "/2018-06-01/runtime/"
_RESPONSE = re.compile(rf"{_PREFIX}invocation/([^/]+)/(response|error)")


@dataclass(frozen=True, kw_only=True)
class InvocationEvent:
    """The event of one invocation, with what the runtime API sends beside it."""

    request_id: str
    arn: str
    deadline_milliseconds: int
    payload: str


@dataclass(frozen=True, kw_only=True)
class FunctionResponse:
    """The response of the runtime interface client: a result or an error document, and when it arrived."""

    payload: str
    error_type: str | None
    received_at: float


class RuntimeApi:
    """Sends events one at a time and receives the responses.

    Attributes
    ----------
    first_request_at
        When the client first requested an event, on the monotonic clock: it has finished all imports by then.
    """

    def __init__(self) -> None:
        self.first_request_at: float | None = None
        self._events: queue.Queue[InvocationEvent | None] = queue.Queue()
        self._responses: queue.Queue[FunctionResponse] = queue.Queue()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.api = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Host and port in the format of ``AWS_LAMBDA_RUNTIME_API``."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def send(self, event: InvocationEvent) -> None:
        """Send this event to the client's next request."""
        self._events.put(event)

    def wait_for_response(self, timeout_seconds: float) -> FunctionResponse | None:
        """Wait for a response; return None if there is none in time."""
        try:
            return self._responses.get(timeout=timeout_seconds)
        except queue.Empty:
            return None

    def close(self) -> None:
        """Stop serving; a waiting request receives an error response."""
        self._events.put(None)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def next_event(self) -> InvocationEvent | None:
        """Wait for the next event; return None when closing."""
        if self.first_request_at is None:
            self.first_request_at = time.monotonic()
        return self._events.get()

    def store(self, payload: str, error_type: str | None) -> None:
        """Store a response for `wait_for_response`."""
        self._responses.put(FunctionResponse(payload=payload, error_type=error_type, received_at=time.monotonic()))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    api: RuntimeApi


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    # Headers and body in one packet; otherwise each call waits 40 ms for the peer's acknowledgement.
    wbufsize = -1

    def handle(self) -> None:
        """Serve one connection until the sandbox ends."""
        with contextlib.suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        """Send an event."""
        event = self.server.api.next_event() if self.path == f"{_PREFIX}invocation/next" else None
        if event is None:
            self._send(404, {}, b"")
            return
        headers = {
            "Lambda-Runtime-Aws-Request-Id": event.request_id,
            "Lambda-Runtime-Invoked-Function-Arn": event.arn,
            "Lambda-Runtime-Deadline-Ms": str(event.deadline_milliseconds),
            "Content-Type": "application/json",
        }
        self._send(200, headers, event.payload.encode())

    def do_POST(self) -> None:
        """Receive a response, or the error of an import that failed."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        match = _RESPONSE.fullmatch(self.path)
        if match and match[2] == "response":
            self.server.api.store(body, None)
        elif match or self.path == f"{_PREFIX}init/error":
            self.server.api.store(body, str(json.loads(body or "{}").get("errorType", "Unknown")))
        else:
            self._send(404, {}, b"")
            return
        self._send(202, {"Content-Type": "application/json"}, b'{"status":"OK"}')

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Log nothing."""

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
