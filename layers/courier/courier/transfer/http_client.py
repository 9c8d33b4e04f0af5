"""The HTTP client of the download: pinned addresses, checked redirects, exact reads, no credentials.

It is `http.client` with a `connect` of its own, because nothing more is needed: a body is read straight
into the part's buffer, no header is added implicitly (no cookies, no netrc, no proxy from the
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
from courier.errors import ArtifactError, ArtifactIncompleteError, ArtifactRefusedError, ArtifactUnavailableError
from courier.links import SecretUrl
from courier.tls import tls_context
from courier.transfer.options import CopyOptions
from courier.transfer.url_policy import AllowedUrl, LinkRules

Resolver = Callable[[str, int], Sequence[str]]

MOST_REDIRECTS: Final = 3
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# An error body is read this far to find its code; reading so small a rest is cheaper than a new connection.
_SMALL_REST_BYTES: Final = 4_096
_ERROR_CODE: Final = re.compile(rb"<Code>([A-Za-z0-9]{1,60})</Code>")
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15}|\*)\s*\Z")
# Kept as metadata of the copy, which has 2 KB in all.
_LONGEST_ETAG: Final = 256


class DownloadError(Exception):
    """A request failed in a way that may be transient: a broken connection, 5xx, fewer bytes than announced.

    Parameters
    ----------
    short
        The body ended early, as opposed to no response or an error response.
    retry_after_seconds
        What the server asks for, 0 when it does not say.
    """

    def __init__(self, message: str, *, short: bool = False, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.short = short
        self.retry_after_seconds = retry_after_seconds

    def as_permanent(self, attempts: int) -> ArtifactError:
        """Return the error for a failure that so many attempts did not cure."""
        kind = ArtifactIncompleteError if self.short else ArtifactUnavailableError
        return kind(f"{self}; gave up after {attempts} tries")


def resolve(host: str, port: int) -> tuple[str, ...]:
    """Return the addresses of a name, as the system resolves it."""
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


class Response:
    """The head of one response, and its body as far as it is read.

    Attributes
    ----------
    status, headers
        As received.
    host
        The host that responded, fit for a message.
    """

    def __init__(self, response: http.client.HTTPResponse, host: str, give_up: Callable[[], None]) -> None:
        self._response = response
        self._give_up = give_up
        self.status = response.status
        self.headers: Message = response.headers
        self.host = host

    @property
    def length(self) -> int | None:
        """The rest of the body as announced; None when the end of the connection or of the chunks ends it."""
        return self._response.length

    @property
    def strong_etag(self) -> str | None:
        """The ETag if it identifies bytes; weak ones (RFC 9110, 8.8.1) and malformed ones do not."""
        etag = self.headers.get("ETag")
        if etag is None or len(etag) > _LONGEST_ETAG or not (etag.isascii() and etag.isprintable()):
            return None
        return etag if len(etag) > 2 and etag.startswith('"') and etag.endswith('"') else None  # noqa: PLR2004 - quotes

    def content_range(self) -> tuple[int, int, int | None]:
        """Read ``bytes first-last/total``; the total is None for ``*``.

        Raises
        ------
        DownloadError
            There is no such header.
        """
        match = _CONTENT_RANGE.match(self.headers.get("Content-Range", ""))
        if match is None:
            raise DownloadError(f"{self.host} sent 206 without a valid Content-Range")
        first, last, total = match.groups()
        return int(first), int(last), None if total == "*" else int(total)

    def read_into(self, view: memoryview) -> int:
        """Fill ``view``; fewer bytes than it holds mean that the body has ended.

        Raises
        ------
        DownloadError
            The connection broke, or the chunks ended early.
        """
        filled = 0
        with _errors_mapped(self.host):
            while filled < len(view) and (count := self._response.readinto(view[filled:])):
                filled += count
        return filled

    def read_error(self) -> str:
        """Return status and S3's error code, such as ``403 AccessDenied``, and close.

        Only the code is taken from the body, because S3 repeats headers and parameters in it.
        """
        code = None
        with suppress(DownloadError):
            body = memoryview(bytearray(_SMALL_REST_BYTES))
            code = _ERROR_CODE.search(body[: self.read_into(body)])
        self.close()
        return f"{self.status} {code[1].decode()}" if code else str(self.status)

    def close(self) -> None:
        """End the response; a small rest is read, a larger one costs the connection."""
        if self.length is not None and self.length <= _SMALL_REST_BYTES:
            with suppress(DownloadError):
                self.read_into(memoryview(bytearray(self.length)))
        if not self._response.isclosed():
            self._give_up()
        self._response.close()


class HttpClient:
    """The connections of one worker, at most one per origin, kept alive between its requests.

    Parameters
    ----------
    rules
        Check every URL, redirects included, and every address.
    tls
        Returns the TLS settings when the first https connection is made.
    resolve
        Returns the addresses of a name, anew for each connection.

    Attributes
    ----------
    is_cut
        `cut` was called; nothing more is read.
    """

    def __init__(
        self,
        rules: LinkRules,
        options: CopyOptions,
        *,
        tls: Callable[[], ssl.SSLContext],
        resolve: Resolver,
    ) -> None:
        self._rules = rules
        self._tls = tls
        self._resolve = resolve
        self._options = options
        self._connections: dict[str, _PinnedConnection] = {}
        self.is_cut = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def get(self, url: SecretUrl, headers: Mapping[str, str]) -> Response:
        """Send a GET and follow up to three redirects, each checked like the first URL.

        Raises
        ------
        ArtifactRefusedError
            The URL, a redirect, an address or a certificate is not allowed.
        DownloadError
            There is no response.
        """
        allowed = self._rules.check(url.reveal())
        for _ in range(MOST_REDIRECTS + 1):
            response = self._request(allowed, headers)
            if response.status not in _REDIRECTS:
                return response
            location = response.headers.get("Location", "")
            response.close()
            try:
                allowed = self._rules.check(urljoin(allowed.url, location))
            except ValueError:
                raise ArtifactRefusedError(f"{response.host} redirects to something that is no URL") from None
        raise ArtifactRefusedError(f"{response.host} redirects more than {MOST_REDIRECTS} times")

    def cut(self) -> None:
        """End every read from another thread; the reader sees a broken connection."""
        self.is_cut = True
        for connection in tuple(self._connections.values()):
            connection.cut()

    def close(self) -> None:
        """Close every connection; S3 advises a new one, and a new name resolution, after a failure."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def _request(self, url: AllowedUrl, headers: Mapping[str, str]) -> Response:
        connection = self._connections.get(url.origin)
        if connection is not None and connection.sock is not None:
            try:
                return self._send(connection, url, headers)
            except DownloadError:
                # The server may have closed it while it idled: that says nothing about a new connection.
                connection.close()
        addresses = self._addresses(url)
        context = self._tls() if url.scheme == "https" else None
        connection = _PinnedConnection(url, addresses, context, self._options)
        self._connections[url.origin] = connection
        return self._send(connection, url, headers)

    def _send(self, connection: "_PinnedConnection", url: AllowedUrl, headers: Mapping[str, str]) -> Response:
        own = {
            "Host": url.origin.partition("://")[2],
            "User-Agent": f"build-courier/{__version__}",
            "Accept": "*/*",
            # A body that is encoded on the way has other bytes than the artifact.
            "Accept-Encoding": "identity",
        }
        with _errors_mapped(url.host):
            if connection.sock is None:
                connection.connect()
            if self.is_cut:  # checked once `cut` can see the socket, so that one of the two threads notices
                raise DownloadError("the download was cut off")
            connection.request("GET", url.path, headers={**own, **headers})
            return Response(connection.getresponse(), url.host, connection.close)

    def _addresses(self, url: AllowedUrl) -> tuple[str, ...]:
        with _errors_mapped(url.host):
            found = self._resolve(url.host, url.port)
        if not found:
            raise DownloadError(f"{url.host} has no address")
        return self._rules.check_addresses(url, found)


class _PinnedConnection(http.client.HTTPConnection):
    """A connection to one of the addresses that were checked, with SNI and certificate check for the name."""

    def __init__(
        self,
        url: AllowedUrl,
        addresses: Sequence[str],
        context: ssl.SSLContext | None,
        options: CopyOptions,
    ) -> None:
        super().__init__(url.host, url.port, timeout=options.connect_seconds)
        self._addresses = addresses
        self._context = context
        self._read_seconds = options.read_seconds
        # http.client hands `sock` over to a response that ends with the connection; this reference stays.
        self._live: socket.socket | None = None

    def cut(self) -> None:
        """End every read and write from another thread."""
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
def _errors_mapped(host: str) -> Generator[None, None, None]:
    """Raise our errors, none of which contains a URL, in place of the network's."""
    try:
        yield
    except ssl.SSLCertVerificationError as exc:
        raise ArtifactRefusedError(
            f"the certificate of {host} is not trusted ({exc.verify_message}); name its authority in ca_bundle"
        ) from exc
    except http.client.IncompleteRead:
        raise DownloadError(f"{host} ended its response early", short=True) from None
    except http.client.HTTPException as exc:
        # Their texts repeat what the server sent, which may be anything; the class name says enough.
        raise DownloadError(f"{host} does not respond in HTTP ({type(exc).__name__})") from None
    except (OSError, ValueError) as exc:
        # ValueError is what ssl raises when a connection is cut off while it is read.
        reason = f" ({exc.strerror})" if isinstance(exc, OSError) and exc.strerror else ""
        raise DownloadError(f"{host}: {type(exc).__name__}{reason}") from exc
