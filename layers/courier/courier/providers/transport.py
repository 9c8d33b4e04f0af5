"""The way of a provider request over the network: TLS, bounded bodies, and whether a request may have arrived."""

import io
from collections.abc import Callable

import requests
import requests.adapters

from courier.errors import SettingsError
from courier.tls import tls_context

_CHUNK_BYTES = 64 * 1024
_POOL_SIZE = 10


def make_transport(source: str, ca_bundle: str | None) -> requests.adapters.BaseAdapter:
    """Return a transport that trusts the public authorities, and the one in ``ca_bundle``.

    Raises
    ------
    SettingsError
        ``ca_bundle`` is not a certificate.
    """
    transport = requests.adapters.HTTPAdapter()
    if ca_bundle is not None:
        try:
            context = tls_context(ca_bundle)
        except SettingsError as exc:
            raise SettingsError(f"{source}: {exc}") from exc
        # requests has no parameter for a context; this replaces the connections that it prepared, none of them open.
        transport.init_poolmanager(_POOL_SIZE, _POOL_SIZE, ssl_context=context)
    return transport


class TrackedBody(io.BytesIO):
    """A request body that records whether the transport began to send it.

    The transport reads it after the headers are out. As long as it was not read, no server can have received the
    whole request, whatever failed: name resolution, connection, TLS handshake, or anything unforeseen.
    """

    was_read = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Read like any stream, and record it."""
        self.was_read = True
        return super().read(size)


def read_body(received: requests.Response, *, limit: int, deadline: float, clock: Callable[[], float]) -> bytes:
    """Read a body, stopping soon after ``limit`` bytes, whatever length was declared.

    Raises
    ------
    TimeoutError
        The body is not complete at ``deadline``.
    """
    content = bytearray()
    # read1 returns what has arrived, so that the deadline is checked however slowly the body comes.
    while chunk := received.raw.read1(_CHUNK_BYTES, decode_content=True):
        if content and clock() > deadline:
            raise TimeoutError("the body is late")
        content += chunk
        if len(content) > limit:
            break
    return bytes(content)
