"""An origin that sends any bytes at all: for heads of responses that no HTTP library would send."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

_SECONDS = 5.0


class RawOrigin:
    """Answers each request on a socket of 127.0.0.1 with what a function returns for the head of the request.

    `requests` are the heads that arrived. A connection is kept, as HTTP/1.1 does, until the client closes it, or a
    response says ``Connection: close``.
    """

    def __init__(self, respond: Callable[[str], bytes]) -> None:
        self._respond = respond
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.requests: list[str] = []
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/report.pdf?X-Amz-Signature=secret"

    def serve(self) -> None:
        """Accept connections until the listener is closed."""
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def close(self) -> None:
        """End `serve`; closing a socket does not wake the thread that accepts on it."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _talk(self, connection: socket.socket) -> None:
        connection.settimeout(_SECONDS)
        received = b""
        with connection, suppress(OSError):
            while piece := connection.recv(65_536):
                received += piece
                while b"\r\n\r\n" in received:
                    head, _, received = received.partition(b"\r\n\r\n")
                    self.requests.append(head.decode("latin-1"))
                    reply = self._respond(self.requests[-1])
                    connection.sendall(reply)
                    if b"\r\nconnection: close\r\n" in reply.lower():
                        return


@contextmanager
def raw_origin(respond: Callable[[str], bytes]) -> Generator[RawOrigin, None, None]:
    """Run an origin for as long as the block lasts."""
    origin = RawOrigin(respond)
    thread = threading.Thread(target=origin.serve, daemon=True)
    thread.start()
    try:
        yield origin
    finally:
        origin.close()
        thread.join()


def response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Return a response with a Content-Length, unless a header announces the length in another way."""
    names = {header.partition(":")[0].lower() for header in headers}
    length = () if names & {"content-length", "transfer-encoding"} else (f"Content-Length: {len(body)}",)
    head = "\r\n".join((f"HTTP/1.1 {status}", *headers, *length, "", ""))
    return head.encode("latin-1") + body
