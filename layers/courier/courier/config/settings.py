"""What an operator decides: the settings of a source.

The settings that belong to one provider alone stand in that provider's file, as a subclass of
`SourceSettings`; `courier.providers.parse_source` picks the right one.
"""

import re
from ipaddress import ip_address
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, field_validator, model_validator

from courier.models import BuildRequest, Slug, StrictModel

SECRET_PREFIX = "build-courier/"  # noqa: S105 - begins the names of secrets; the functions may read no other
SECRET_NAME_RULE = f"must be the name of a secret that begins with {SECRET_PREFIX}, not the key itself"
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s.+?\s-----END CERTIFICATE-----", re.DOTALL)
_ENDPOINT = re.compile(r"https?://[A-Za-z0-9.:\[\]_-]+(/[A-Za-z0-9._~%/-]*)?", re.IGNORECASE)


class PollingSettings(StrictModel):
    """When a waiting build is looked at.

    ``first_seconds``
        Age at which a build is looked at for the first time, and the shortest gap between looks.
    ``longest_seconds``
        Longest gap between two looks.
    ``give_up_after_hours``
        A build that has not ended by then gets the outcome ``timed_out``; the remote job is left alone.
    ``stall_after_hours``
        A build whose status has not changed for so long gets the outcome ``timed_out`` too; off by default.
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
    """Which links of a source are followed, and what may come out of them.

    ``hosts``
        Names that a download link may point to: ``*.example.com`` matches one or more labels in
        front, ``name:port`` and ``http://name`` widen port and scheme for that name alone.
    ``private_addresses``
        Allow the named hosts to resolve to private addresses, for self-hosted storage.
    ``content_types``
        Media types that the object store may answer with; empty allows any but error pages.
    ``largest_bytes``
        A longer report is refused, declared or received.
    """

    hosts: tuple[Annotated[str, StringConstraints(min_length=1, max_length=253)], ...] = ("*.amazonaws.com",)
    private_addresses: bool = False
    content_types: tuple[str, ...] = ("application/pdf",)
    largest_bytes: Annotated[int, Field(gt=0)] = 5 * 1024**3


class SourceSettings(StrictModel):
    """One configured account at a provider; providers add their own fields.

    ``endpoint``
        ``https://host[:port]``; ``http`` only for loopback and with ``insecure: true``.
    ``secret``
        Name of the Secrets Manager secret that holds the API key; begins with ``build-courier/``.
    ``ca_bundle``
        PEM text of the authority behind a self-hosted API or storage.
    ``requests_per_minute``
        Budget of API requests, over all functions together.
    ``cancel_on_timeout``
        Ask the provider to stop a build that we no longer wait for, where it can.
    ``backfill_hours``
        Builds that ended before the source was first seen are history and left alone, except those
        that ended within so many hours before.
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
        """Give the builds to ask for each time the request schedule fires; none unless a provider overrides it."""
        return ()

    @model_validator(mode="after")
    def _endpoint_is_safe(self) -> Self:
        # What a URL library would strip, decode or read as the end of the host must not be in there at all.
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
    def _secret_is_a_name(cls, value: str) -> str:
        # Who pastes the key itself here must not read it again in every complaint about the source.
        if not value.removeprefix(SECRET_PREFIX) or not value.startswith(SECRET_PREFIX):
            raise ValueError(SECRET_NAME_RULE)
        return value

    @field_validator("ca_bundle")
    @classmethod
    def _ca_bundle_is_pem(cls, value: str | None) -> str | None:
        if value is not None and not _PEM.search(value):
            raise ValueError("ca_bundle must hold PEM text (-----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----)")
        return value


def is_loopback_name(host: str) -> bool:
    """Whether ``host`` names this machine: ``localhost`` or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
