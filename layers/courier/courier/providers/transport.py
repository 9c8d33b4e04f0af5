"""How requests leave for a provider's API: trust, the headers of every request, and a body that is watched."""

import io
import ssl
from typing import Any, Final

import requests.adapters

from courier import __version__
from courier.errors import SettingsError

STANDING_HEADERS: Final = {
    "User-Agent": f"build-courier/{__version__}",
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
}


class WitnessedBody(io.BytesIO):
    """A request's body that knows whether the transport began to send it.

    The transport reads it after the headers are out. As long as it was not read, no server can have had the
    whole request, whatever went wrong: name, connection, TLS handshake, or something nobody thought of.
    """

    was_read = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, and remember it."""
        self.was_read = True
        return super().read(size)


class _TrustingAdapter(requests.adapters.HTTPAdapter):
    """Trusts one more authority than the public ones."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the signature of requests
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)


def make_transport(source: str, ca_bundle: str | None) -> requests.adapters.BaseAdapter:
    """Give the connection to the network, trusting ``ca_bundle`` besides the public authorities.

    Raises
    ------
    SettingsError
        ``ca_bundle`` is not a certificate.
    """
    if ca_bundle is None:
        return requests.adapters.HTTPAdapter()
    try:
        return _TrustingAdapter(ssl.create_default_context(cadata=ca_bundle))
    except (ssl.SSLError, ValueError) as exc:
        raise SettingsError(f"{source}: ca_bundle is not a PEM certificate") from exc
