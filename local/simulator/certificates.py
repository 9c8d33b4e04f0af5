"""Certificates for loopback, from a certificate authority that exists only for one run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class TlsFiles:
    """Paths of the PEM files: what clients trust, and what the server presents."""

    authority: Path
    certificate: Path
    key: Path


def make_tls_files(folder: Path) -> TlsFiles:
    """Create an authority and a certificate for ``localhost`` and ``127.0.0.1`` in `folder`."""
    files = TlsFiles(folder / "authority.pem", folder / "server.pem", folder / "server.key")
    authority = trustme.CA()
    server = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(files.authority)
    server.private_key_pem.write_to_path(files.key)
    for certificate in server.cert_chain_pems:
        certificate.write_to_path(files.certificate, append=True)
    return files
