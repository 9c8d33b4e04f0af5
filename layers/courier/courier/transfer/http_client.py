"""The HTTP client of the download: pinned addresses, checked redirects, exact reads, credentials for one origin only.

It is `http.client` with a `connect` of its own, because nothing more is needed: a body is read straight
into the part's buffer, no header is added implicitly (no cookies, no netrc, no proxy from the
environment), and nothing logs a URL.
"""

import http.client
import re
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from types import TracebackType
from typing import Final, Self
from urllib.parse import urljoin

from courier import __version__
from courier.errors import ArtifactRefusedError
from courier.links import SecretUrl
from courier.tls import tls_context
from courier.transfer.http_response import DownloadError, RealResponse, Response, errors_mapped
from courier.transfer.options import CopyOptions
from courier.transfer.url_policy import AllowedUrl, LinkRules

Resolver = Callable[[str, int], Sequence[str]]

MOSTREDIRECTS: Final = 3
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# Bytes that servers put into a Location as they are, although a URL has them escaped (RFC 3986, 2.1).
_RAW: Final = re.compile(rb"[^!-~]")
_REGION: Final = re.compile(r"[a-z0-9-]{1,40}\Z")


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

    def get(
        self, url: SecretUrl, headers: Mapping[str, str], *, for_origin: Mapping[str, str] | None = None
    ) -> Response:
        """Send a GET and follow up to three redirects, each checked like the first URL.

        Parameters
        ----------
        for_origin
            Headers for the origin of ``url`` alone, such as credentials. Once a redirect has led elsewhere, no further
            request has them.

        Raises
        ------
        ArtifactRefusedError
            The URL, a redirect, an address or a certificate is not allowed.
        DownloadError
            There is no response.
        """
        allowed = self._rules.check(url.reveal())
        first, sent = allowed, {**(for_origin or {}), **headers}
        for _ in range(MOSTREDIRECTS + 1):
            if allowed.origin != first.origin:
                sent = dict(headers)
            response = self._request(allowed, sent)
            if response.status not in REDIRECTS:
                response.redirected_to = None if allowed is first else SecretUrl(allowed.url)
                response.left_its_origin = allowed.origin != first.origin
                return response
            location = response.headers.get("Location")
            if location is None:
                raise ArtifactRefusedError(_redirect_to_nowhere(response))
            response.close()
            try:
                # Headers are read as Latin-1, whatever their bytes are.
                escaped = _RAW.sub(lambda raw: b"%%%02X" % ord(raw[0]), location.strip().encode("latin-1"))
                allowed = self._rules.check(urljoin(allowed.url, escaped.decode()))
            except ValueError:
                raise ArtifactRefusedError(f"{response.host} redirects to something that is no URL") from None
        raise ArtifactRefusedError(f"{response.host} redirects more than {MOSTREDIRECTS} times")

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
        if connection.sock is None:
            with errors_mapped(url.host, partial(_proxy_hint, url)):
                connection.connect()
        with errors_mapped(url.host):
            if self.is_cut:  # checked once `cut` can see the socket, so that one of the two threads notices
                raise DownloadError("the download was cut off")
            # Names of headers have no case.
            sent = {name.title(): value for name, value in (*own.items(), *headers.items())}
            connection.request("GET", url.path, headers=sent)
            return Response(connection.getresponse(), url.host, connection.close)

    def _addresses(self, url: AllowedUrl) -> tuple[str, ...]:
        with errors_mapped(url.host, partial(_proxy_hint, url)):
            found = self._resolve(url.host, url.port)
        if not found:
            raise DownloadError(f"{url.host} has no address")
        return self._rules.check_addresses(url, found)


class _PinnedConnection(http.client.HTTPConnection):
    """A connection to one of the addresses that were checked, with SNI and certificate check for the name."""

    response_class = RealResponse

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


def _redirect_to_nowhere(response: Response) -> str:
    """Return the message for a redirect without Location, which is how S3 says that a bucket is in another region."""
    region = response.headers.get("x-amz-bucket-region", "")
    where = f"; the bucket is in {region}, and the link must be signed for it" if _REGION.match(region) else ""
    return f"{response.host} redirects without saying where ({response.read_error()}){where}"


def _proxy_hint(url: AllowedUrl) -> str:
    """Return a hint for a connection that cannot be made, where the environment names a proxy for it."""
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - for failures only

    proxies = getproxies()
    name = next((name for name in (url.scheme, "all") if proxies.get(name)), None)
    if name is None or proxy_bypass(url.host):
        return ""
    return f"; the download connects by itself, and does not use the proxy that {name.upper()}_PROXY names"
