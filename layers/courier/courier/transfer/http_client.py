"""The bare HTTP client of the download: pinned addresses, checked redirects, exact reads, no credentials.

It is `http.client` with a `connect` of its own, because that is all it takes: a body is read straight
into the part's buffer, no header is added behind our back (no cookies, no netrc, no proxy from the
environment), and nothing logs a URL.
"""

import http.client
import re
import socket
import ssl
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from email.message import Message
from functools import lru_cache
from types import TracebackType
from typing import Final, Self
from urllib.parse import urljoin

from courier import __version__
from courier.errors import ArtifactRefusedError
from courier.links import SecretUrl
from courier.tls import tls_context
from courier.transfer.internal_errors import SourceTroubleError
from courier.transfer.url_policy import LinkRules, Target

Resolver = Callable[[str, int], Sequence[str]]

MOST_REDIRECTS: Final = 3
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# An error body is read this far to find its code, and a rest this long is cheaper to read than a new connection.
_SMALL_REST_BYTES: Final = 4_096
_ERROR_CODE: Final = re.compile(rb"<Code>([A-Za-z0-9]{1,60})</Code>")


def resolve(host: str, port: int) -> tuple[str, ...]:
    """Ask the system for the addresses of a name."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


@lru_cache(maxsize=4)
def shared_tls_context(ca_bundle: str | None) -> ssl.SSLContext:
    """Return the TLS settings that the copies of a warm process share.

    Raises
    ------
    SettingsError
        ``ca_bundle`` holds no certificate that can be read.
    """
    context = tls_context(ca_bundle)
    context.set_alpn_protocols(["http/1.1"])
    return context


class Answer:
    """The head of one answer, and its body as far as it is asked for.

    Attributes
    ----------
    status, headers
        As received.
    host
        Who answered, fit for a message.
    """

    def __init__(self, response: http.client.HTTPResponse, host: str, give_up: Callable[[], None]) -> None:
        self._response = response
        self._give_up = give_up
        self.status = response.status
        self.headers: Message = response.headers
        self.host = host

    @property
    def length(self) -> int | None:
        """The body's length as announced; None when the end of the connection or of the chunks ends it."""
        return self._response.length

    def read_into(self, view: memoryview) -> int:
        """Fill ``view``; fewer bytes than it holds mean that the body has ended.

        Raises
        ------
        SourceTroubleError
            The connection broke, or chunks ended in the middle.
        """
        filled = 0
        with _rewrapped(self.host):
            while filled < len(view) and (count := self._response.readinto(view[filled:])):
                filled += count
        return filled

    def error_code(self) -> str:
        """Give status and S3's error code, such as ``403 AccessDenied``, and close.

        Only the code is taken from the body: S3 repeats headers and parameters in there.
        """
        code = None
        with suppress(SourceTroubleError):
            body = memoryview(bytearray(_SMALL_REST_BYTES))
            code = _ERROR_CODE.search(body[: self.read_into(body)])
        self.close()
        return f"{self.status} {code[1].decode()}" if code else str(self.status)

    def close(self) -> None:
        """Be done with the answer; a small rest is read, with a larger one the connection is not used again."""
        if self.length is not None and self.length <= _SMALL_REST_BYTES:
            with suppress(SourceTroubleError):
                self.read_into(memoryview(bytearray(self.length)))
        if not self._response.isclosed():
            self._give_up()
        self._response.close()


class Fetcher:
    """The connections of one worker, at most one to each origin, kept alive between its requests.

    Parameters
    ----------
    rules
        Asked for every URL, redirects included, and for every address.
    tls
        Gives the TLS settings when the first https connection is made.
    resolve
        Finds the addresses of a name, anew for each connection.

    Attributes
    ----------
    is_cut
        `cut` was called; nothing more is read.
    """

    def __init__(
        self,
        rules: LinkRules,
        *,
        tls: Callable[[], ssl.SSLContext],
        resolve: Resolver = resolve,
        connect_seconds: float = 10.0,
        read_seconds: float = 30.0,
    ) -> None:
        self._rules = rules
        self._tls = tls
        self._resolve = resolve
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._connections: dict[str, _PinnedConnection] = {}
        self.is_cut = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def get(self, url: SecretUrl, headers: Mapping[str, str]) -> Answer:
        """Send a GET and follow up to three redirects, each checked like the first URL.

        Raises
        ------
        ArtifactRefusedError
            The URL, a redirect, an address or a certificate is not allowed.
        SourceTroubleError
            There is no answer.
        """
        target = self._rules.check(url.reveal())
        for _ in range(MOST_REDIRECTS + 1):
            answer = self._ask(target, headers)
            if answer.status not in _REDIRECTS:
                return answer
            location = answer.headers.get("Location", "")
            answer.close()
            try:
                target = self._rules.check(urljoin(target.url, location))
            except ValueError:
                raise ArtifactRefusedError(f"{answer.host} redirects to something that is no URL") from None
        raise ArtifactRefusedError(f"{answer.host} redirects more than {MOST_REDIRECTS} times")

    def cut(self) -> None:
        """End what is being read, from another thread; the reader sees a broken connection."""
        self.is_cut = True
        for connection in tuple(self._connections.values()):
            connection.cut()

    def close(self) -> None:
        """Close every connection; S3 advises a fresh one, and a fresh look-up of the name, after trouble."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def _ask(self, target: Target, headers: Mapping[str, str]) -> Answer:
        connection = self._connections.get(target.origin)
        if connection is not None and connection.sock is not None:
            try:
                return self._send(connection, target, headers)
            except SourceTroubleError:
                # The server may have closed it while it idled: that says nothing about the next.
                connection.close()
        addresses = self._addresses(target)
        context = self._tls() if target.scheme == "https" else None
        connection = _PinnedConnection(target, addresses, context, self._connect_seconds, self._read_seconds)
        self._connections[target.origin] = connection
        return self._send(connection, target, headers)

    def _send(self, connection: "_PinnedConnection", target: Target, headers: Mapping[str, str]) -> Answer:
        own = {
            "Host": target.origin.partition("://")[2],
            "User-Agent": f"build-courier/{__version__}",
            "Accept": "*/*",
            # A body that is encoded on the way has other bytes than the report.
            "Accept-Encoding": "identity",
        }
        with _rewrapped(target.host):
            if connection.sock is None:
                connection.connect()
            if self.is_cut:  # looked at once `cut` can see the socket, so that one of the two notices
                raise SourceTroubleError("the download was cut off")
            connection.request("GET", target.path, headers={**own, **headers})
            return Answer(connection.getresponse(), target.host, connection.close)

    def _addresses(self, target: Target) -> tuple[str, ...]:
        with _rewrapped(target.host):
            found = self._resolve(target.host, target.port)
        if not found:
            raise SourceTroubleError(f"{target.host} has no address")
        return self._rules.admit(target, found)


class _PinnedConnection(http.client.HTTPConnection):
    """A connection to one of the addresses that were checked, with SNI and certificate check for the name."""

    def __init__(
        self,
        target: Target,
        addresses: Sequence[str],
        context: ssl.SSLContext | None,
        connect_seconds: float,
        read_seconds: float,
    ) -> None:
        super().__init__(target.host, target.port, timeout=connect_seconds)
        self._addresses = addresses
        self._context = context
        self._read_seconds = read_seconds
        # http.client hands `sock` over to an answer that ends with the connection; this one stays.
        self._live: socket.socket | None = None

    def cut(self) -> None:
        """End whatever is read or written, from another thread."""
        if self._live is not None:
            with suppress(OSError):
                # Not SSLSocket.shutdown, which would pull the TLS object from under the reading thread.
                socket.socket.shutdown(self._live, socket.SHUT_RDWR)

    def connect(self) -> None:
        """Try the addresses in turn."""
        for address in self._addresses[:-1]:
            with suppress(OSError):
                return self._connect_to(address)
        return self._connect_to(self._addresses[-1])

    def _connect_to(self, address: str) -> None:
        sock = socket.create_connection((address, self.port), self.timeout)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_hostname=self.host)
            sock.settimeout(self._read_seconds)
        except BaseException:
            sock.close()
            raise
        self.sock = self._live = sock


@contextmanager
def _rewrapped(host: str) -> Generator[None, None, None]:
    """Turn every error of the network into ours, none of which carries a URL."""
    try:
        yield
    except ssl.SSLCertVerificationError as exc:
        raise ArtifactRefusedError(
            f"the certificate of {host} is not trusted ({exc.verify_message}); name its authority in ca_bundle"
        ) from exc
    except http.client.IncompleteRead:
        raise SourceTroubleError(f"{host} ended its answer in the middle", short=True) from None
    except http.client.HTTPException as exc:
        # Their texts repeat what the server sent, which may be anything; the class name says enough.
        raise SourceTroubleError(f"{host} does not answer in HTTP ({type(exc).__name__})") from None
    except (OSError, ValueError) as exc:
        # ValueError is what ssl raises when a connection is cut off while it is read.
        raise SourceTroubleError(f"{host}: {type(exc).__name__}{_reason(exc)}") from exc


def _reason(exc: Exception) -> str:
    return f" ({exc.strerror})" if isinstance(exc, OSError) and exc.strerror else ""
