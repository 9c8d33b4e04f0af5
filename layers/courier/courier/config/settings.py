"""The settings of a source.

A provider's own settings are a subclass of `SourceSettings` in the provider's module;
`courier.providers.parse_source` selects it.
"""

import re
from ipaddress import ip_address
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, ValidationInfo, field_validator, model_validator

from courier.config.environment import DEFAULT_SECRET_PREFIX
from courier.models import BuildRequest, Slug, StrictModel

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s.+?\s-----END CERTIFICATE-----", re.DOTALL)
_ENDPOINT = re.compile(r"https?://[A-Za-z0-9.:\[\]_-]+(/[A-Za-z0-9._~%/-]*)?", re.IGNORECASE)

# Some words without digits, which are no API key: it may be shown.
_PLAIN_NAME = re.compile(r"[a-z]{2,15}(-[a-z]{2,15}){0,2}")


class PollingSettings(StrictModel):
    """When a waiting build is polled.

    ``first_seconds``
        Shortest gap between polls; the first poll comes about as long after the build was first seen.
    ``longest_seconds``
        Longest gap between two polls.
    ``give_up_after_hours``
        A build that has not ended by then gets the outcome ``timed_out``; the remote job is left alone.
    ``stall_after_hours``
        A build whose status has not changed for that long gets the outcome ``timed_out`` too; off by default.
    """

    first_seconds: Annotated[float, Field(gt=0, le=86_400)] = 60
    longest_seconds: Annotated[float, Field(gt=0, le=86_400)] = 900
    give_up_after_hours: Annotated[float, Field(gt=0, le=8_760)] = 24
    stall_after_hours: Annotated[float, Field(gt=0, le=8_760)] | None = None

    @model_validator(mode="after")
    def _longest_is_not_shorter_than_first(self) -> Self:
        if self.longest_seconds < self.first_seconds:
            raise ValueError("longest_seconds must not be less than first_seconds")
        return self


class ArtifactSettings(StrictModel):
    """Which download links of a source the courier follows, and what it accepts from them.

    ``hosts``
        Host names that a download link may point to: ``*.example.com`` matches one or more labels before
        ``example.com``; ``name:port`` and ``http://name`` allow another port or scheme for that name alone.
    ``private_addresses``
        Allow the named hosts to resolve to private addresses, for self-hosted storage.
    ``content_types``
        Media types that the object store may return; empty allows any but error pages.
    ``largest_bytes``
        A larger report is refused, by its declared and by its received size.
    ``ranges``
        Download large reports in parts. With ``false``, each is read in one GET: for links that are good for one.
    """

    hosts: tuple[Annotated[str, StringConstraints(min_length=1, max_length=253)], ...] = ("*.amazonaws.com",)
    private_addresses: bool = False
    content_types: tuple[str, ...] = ("application/pdf",)
    largest_bytes: Annotated[int, Field(gt=0)] = 5 * 1024**3
    ranges: bool = True


class SourceSettings(StrictModel):
    """One configured account at a provider; providers add their own fields.

    ``name``
        Your name for it, part of every key and notice: lower-case letters, digits and hyphens.
    ``provider``
        Whose API it is.
    ``endpoint``
        ``https://host[:port]``; ``http`` only for loopback and with ``insecure: true``.
    ``secret``
        Name of the Secrets Manager secret that holds the API key; begins with the stack's ``SecretPrefix``, which is
        ``build-courier/`` by default.
    ``ca_bundle``
        PEM text of the authority behind a self-hosted API or storage.
    ``requests_per_minute``
        Limit of API requests per minute, over all functions together.
    ``cancel_on_timeout``
        Cancel a build that timed out, if the provider can.
    ``insecure``
        Allow plain HTTP to this machine, for experiments.
    ``polling``
        When a waiting build is polled.
    ``artifact``
        Which files are fetched, and from where.
    ``backfill_hours``
        Builds that ended before the source's first discovery are ignored, except those that ended within so many
        hours before it.
    """

    name: Slug
    provider: str
    endpoint: str
    secret: Annotated[str, StringConstraints(max_length=512)]
    insecure: bool = False
    ca_bundle: str | None = None
    requests_per_minute: Annotated[int, Field(ge=1, le=10_000)] = 60
    cancel_on_timeout: bool = False
    backfill_hours: Annotated[float, Field(ge=0, le=2_400)] = 0
    polling: PollingSettings = PollingSettings()
    artifact: ArtifactSettings = ArtifactSettings()

    def build_requests(self) -> tuple[BuildRequest, ...]:
        """Return the builds to start each time the request schedule fires; none unless a provider overrides this."""
        return ()

    @model_validator(mode="after")
    def _endpoint_is_safe(self) -> Self:
        # Refuse all that a URL library would strip, decode or read as the end of the host.
        if not _ENDPOINT.fullmatch(self.endpoint):
            raise ValueError("endpoint must look like https://host, without user, query, fragment or blanks")
        parts = urlsplit(self.endpoint)
        if not parts.hostname or parts.port == 0:
            raise ValueError("endpoint must name a host, and a port from 1 to 65535 or none")
        if parts.scheme == "https":
            return self
        if parts.scheme == "http" and self.insecure and is_loopback_name(parts.hostname):
            return self
        raise ValueError("endpoint must be https (http only to loopback, with insecure: true)")

    @field_validator("secret")
    @classmethod
    def _secret_is_a_name(cls, value: str, info: ValidationInfo) -> str:
        # A key that is pasted here by mistake must not show in every later error message about the source.
        check_secret_name(value, (info.context or {}).get("secret_prefix", DEFAULT_SECRET_PREFIX))
        return value

    @field_validator("ca_bundle")
    @classmethod
    def _ca_bundle_is_pem(cls, value: str | None) -> str | None:
        if value is not None and not _PEM.search(value):
            raise ValueError("ca_bundle must hold PEM text (-----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----)")
        return value


def check_secret_name(name: str, prefix: str) -> None:
    """Check that a name of a secret begins with the stack's prefix, below which its functions may read secrets.

    Raises
    ------
    ValueError
        It does not; the message omits the name, because it may be the key, unless it is some words.
    """
    if not name.startswith(prefix) or name == prefix:
        if _PLAIN_NAME.fullmatch(name) and name != prefix.rstrip("/"):
            raise ValueError(f"must begin with {prefix}; did you mean {prefix}{name}?")
        raise ValueError(f"must be the name of a secret that begins with {prefix}, not the key itself")


def is_loopback_name(host: str) -> bool:
    """Return whether ``host`` is ``localhost`` or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
