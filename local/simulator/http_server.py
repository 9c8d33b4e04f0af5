"""An HTTP/1.1 server on loopback that sends each `SimulatedResponse` exactly, including broken ones."""

from __future__ import annotations

import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Protocol

from typing_extensions import override

from local.simulator.messages import ConnectionEnd, SimulatedResponse

LARGEST_REQUEST_BYTES: Final = 16 * 1024 * 1024
# A silent client must not keep a thread forever.
IDLE_SECONDS: Final = 60
CHUNK_BYTES: Final = 64 * 1024
BODILESS: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
# The errors of a client that disconnected early; they are ignored.
GONE: Final = (ConnectionError, TimeoutError, ssl.SSLError)


class Responder(Protocol):
    """Produces the responses."""

    def __call__(
        self, method: str, target: str, headers: Mapping[str, str], read_body: Callable[[], bytes]
    ) -> SimulatedResponse:
        """Return the response to one request; `read_body` reads the request's body."""


@dataclass(frozen=True)
class ServerOptions:
    """The options of the server: its responder, its wait function, and optionally TLS."""

    respond: Responder
    wait: Callable[[float], object]
    tls: ssl.SSLContext | None = None


class LoopbackServer(ThreadingHTTPServer):
    """One thread per connection, on a free port of 127.0.0.1; `server_close` ends every connection."""

    # Joined at the end, so that no thread outlives the test that started it.
    daemon_threads = False
    # The default of 5 drops connections when a few hundred builds are polled at once.
    request_queue_size = 256

    def __init__(self, options: ServerOptions) -> None:
        self.options = options
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    @override
    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self.options.tls is not None:
            # The connection's thread does the handshake: a slow client must not block the others.
            connection = self.options.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with self._open_lock:
            self._open.add(connection)
        return connection, address

    @override
    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    @override
    def server_close(self) -> None:
        with self._open_lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the client closed it first
        super().server_close()

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), GONE):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    # Headers and a small body are sent in one segment; separately, Nagle and delayed acknowledgements cost 40 ms.
    wbufsize = 64 * 1024
    disable_nagle_algorithm = True
    server: LoopbackServer

    def respond(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        response = self.server.options.respond(self.command, self.path, headers, self._read_body)
        if response.wait_seconds:
            self.server.options.wait(response.wait_seconds)
        if not response.silent:
            self._send(response)
        if response.connection is not ConnectionEnd.KEEP:
            self.close_connection = True
        if response.connection is ConnectionEnd.RESET:
            self._reset()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = respond  # noqa: N815 - the names that the base class calls

    def _read_body(self) -> bytes:
        length = int(self.headers.get("Content-Length", 0))
        if length > LARGEST_REQUEST_BYTES:
            raise ValueError(f"a request body of {length} bytes is too large")
        return self.rfile.read(length)

    def _send(self, response: SimulatedResponse) -> None:
        if response.interim is not None:
            self.send_response_only(response.interim)
            self.end_headers()
        self.send_response_only(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if response.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif response.with_length and response.status not in BODILESS:
            declared = len(response.body) if response.declared_bytes is None else response.declared_bytes
            self.send_header("Content-Length", str(declared))
        if response.connection is not ConnectionEnd.KEEP:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD" and response.status not in BODILESS:
            self._send_body(response)
        self.wfile.flush()

    def _send_body(self, response: SimulatedResponse) -> None:
        body = memoryview(response.body)
        if response.chunked:
            self._send_chunks(body, is_cut=response.declared_bytes is not None and response.declared_bytes > len(body))
            return
        if response.piece_bytes is None:
            self.wfile.write(body)
            return
        for start in range(0, len(body), response.piece_bytes):
            self.server.options.wait(response.pause_seconds)
            self.wfile.write(body[start : start + response.piece_bytes])
            self.wfile.flush()

    def _send_chunks(self, body: memoryview, *, is_cut: bool) -> None:
        for start in range(0, len(body), CHUNK_BYTES):
            chunk = body[start : start + CHUNK_BYTES]
            self.wfile.write(b"%x\r\n" % len(chunk))
            self.wfile.write(chunk)
            self.wfile.write(b"\r\n")
        if not is_cut:
            self.wfile.write(b"0\r\n\r\n")

    def _reset(self) -> None:
        """Close with a zero linger time, so that TCP sends a reset.

        Under TLS a Python client reports that as an early end of file.
        """
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.close(self.connection.detach())

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Write nothing: the base class would print paths with their signed queries."""
