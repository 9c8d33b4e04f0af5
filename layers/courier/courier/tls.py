"""TLS settings of connections to providers and to their artifact stores; the only reader of ``ca_bundle``."""

import ssl

import certifi

from courier.errors import SettingsError


def tls_context(ca_bundle: str | None) -> ssl.SSLContext:
    """Return TLS settings that trust the public authorities, and those of ``ca_bundle`` (PEM text) besides.

    Reading the public authorities takes 20 ms and 3 MiB: keep the result where connections are made often.

    Raises
    ------
    SettingsError
        ``ca_bundle`` holds no certificate that can be read.
    """
    context = ssl.create_default_context(cafile=certifi.where())
    if ca_bundle is not None:
        try:
            context.load_verify_locations(cadata=ca_bundle)
        except (ssl.SSLError, ValueError) as exc:
            reason = (exc.reason if isinstance(exc, ssl.SSLError) else None) or exc
            raise SettingsError(f"ca_bundle is not a readable PEM certificate: {reason}") from exc
    return context
