"""Which links are followed: the hosts that a source allows, and the addresses that they may have.

A link comes from an API response, so it is untrusted input: it could point to the metadata
service of the machine that we run on, or to a host in the operator's network.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self
from urllib.parse import urlsplit

from courier.config.settings import SourceSettings, is_loopback_name
from courier.errors import ArtifactRefusedError, SettingsError

Address = IPv4Address | IPv6Address

_DEFAULT_PORTS = {"https": 443, "http": 80}
# Instance metadata serves credentials to any local caller; its IPv6 address lies among private ones (EC2 user guide).
_METADATA = ip_address("fd00:ec2::254")
# The well-known prefix of NAT64 (RFC 6052, 2.1), for public addresses only (3.1); a translator reaches the one inside.
_NAT64 = IPv6Network("64:ff9b::/96")
# Other addresses that carry an IPv4 address inside: local NAT64 (RFC 8215), 6to4 (RFC 3056), Teredo (RFC 4380),
# IPv4-compatible (RFC 4291). A router on the way may unwrap them and reach the address inside.
_EMBEDDING = tuple(IPv6Network(text) for text in ("64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96"))
_CGNAT = ip_network("100.64.0.0/10")  # RFC 6598


@dataclass(frozen=True)
class AllowedUrl:
    """A link that passed the rules for hosts; its repr shows neither path nor query.

    ``may_be_private`` and ``may_be_loopback`` say which addresses the name may resolve to.
    """

    scheme: str
    host: str
    port: int
    url: str = field(repr=False)
    path: str = field(repr=False)
    may_be_private: bool = False
    may_be_loopback: bool = False

    @property
    def origin(self) -> str:
        """Scheme, host and port, fit for a log."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}")


@dataclass(frozen=True)
class HostRule:
    """One entry of ``artifact.hosts``: ``[http://|https://]host[:port]``, host exact or ``*.suffix``."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, entry: str) -> Self:
        """Parse one entry.

        Raises
        ------
        SettingsError
            The entry has another form.
        """
        text = entry if "://" in entry else f"https://{entry}"
        try:
            parts = urlsplit(text)
            scheme, host, port = parts.scheme, parts.hostname, parts.port
        except ValueError:
            scheme, host, port = "", None, None
        suffix = (host or "").removeprefix("*.")
        plain = entry.isascii() and not any(c.isspace() for c in entry)
        if scheme not in _DEFAULT_PORTS or not plain or not suffix or "*" in suffix or port == 0:
            raise SettingsError(f"artifact.hosts: {entry!r} does not look like [http://]host[:port] or *.suffix[:port]")
        if parts.path or parts.query or parts.fragment or parts.username is not None:
            raise SettingsError(f"artifact.hosts: {entry!r} must name a host only, without path or user")
        return cls(scheme, (host or "").rstrip("."), port or _DEFAULT_PORTS[scheme])

    def matches(self, scheme: str, host: str, port: int) -> bool:
        """Whether the entry allows a link with these three; ``*.suffix`` stands for one or more labels in front."""
        if (scheme, port) != (self.scheme, self.port):
            return False
        if self.host.startswith("*."):
            suffix = self.host[1:]
            return host.endswith(suffix) and host != suffix
        return host == self.host

    @property
    def is_literal(self) -> bool:
        """Whether the entry is an address: the operator has decided where the link may lead."""
        return _parse_address(self.host) is not None


@dataclass(frozen=True, kw_only=True)
class LinkRules:
    """The rules of one source for its download links, and for where they redirect to.

    - ``https`` only, on port 443, to a host that an entry names; an entry may name ``http://`` and a
      port, for itself alone.
    - The name must resolve to public addresses only. Private, loopback, link-local, multicast,
      reserved and carrier-grade NAT addresses are refused, and IPv6 addresses with an IPv4
      address inside (mapped, 6to4, Teredo). The well-known prefix of NAT64 counts as the address inside: a network
      without IPv4 reaches every public IPv4 host so.
    - An entry that is itself an address allows that address, also for a host that another entry names in full; the
      entry ``localhost`` allows loopback.
    - ``private_addresses`` allows private, loopback and carrier-grade NAT addresses for the named
      hosts, and still neither link-local addresses nor those of a metadata service.
    - ``loopback`` allows loopback names over http and https on any port besides the named hosts:
      for a source on this machine that is marked ``insecure``.

    The address that was checked is the one that is connected to (see `courier.transfer.http_client`).
    """

    hosts: tuple[HostRule, ...]
    private_addresses: bool = False
    loopback: bool = False

    @classmethod
    def parse(cls, entries: Iterable[str], *, private_addresses: bool = False, loopback: bool = False) -> Self:
        """Return the rules for the entries of ``artifact.hosts``.

        Raises
        ------
        SettingsError
            An entry cannot be read.
        """
        return cls(
            hosts=tuple(HostRule.parse(entry) for entry in entries),
            private_addresses=private_addresses,
            loopback=loopback,
        )

    @classmethod
    def of_source(cls, source: SourceSettings, *, also: Iterable[str] = ()) -> Self:
        """Return the rules that a source's settings define.

        ``also`` are origins of the provider itself, where that serves artifacts with our credentials.

        Raises
        ------
        SettingsError
            An entry of ``artifact.hosts`` cannot be read.
        """
        return cls.parse(
            (*source.artifact.hosts, *also),
            private_addresses=source.artifact.private_addresses,
            loopback=source.insecure,
        )

    def check(self, url: str) -> AllowedUrl:
        """Parse a link and check that its scheme, host and port are allowed.

        Raises
        ------
        ArtifactRefusedError
            They are not, or the text is no plain URL. The message does not contain the query.
        """
        # urlsplit drops tabs and line ends, http.client quotes the URL when it refuses them: neither receives them.
        if not url.isascii() or any(c <= " " or c in '\\"<>^`{|}\x7f' for c in url):
            raise ArtifactRefusedError("the link is no plain URL: it has blanks or characters that must be escaped")
        try:
            parts = urlsplit(url)
            scheme, host, port = parts.scheme, (parts.hostname or "").rstrip("."), parts.port
        except ValueError:
            raise ArtifactRefusedError("the link is no URL") from None
        if scheme not in _DEFAULT_PORTS or not host:
            raise ArtifactRefusedError("the link is neither https nor http")
        if parts.username is not None or parts.password is not None:
            raise ArtifactRefusedError(f"the link to {host} carries a user name; links must be signed instead")
        port = _DEFAULT_PORTS[scheme] if port is None else port
        path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        rules = [rule for rule in self.hosts if rule.matches(scheme, host, port)]
        named_loopback = self.loopback and is_loopback_name(host)
        allowed_url = AllowedUrl(
            scheme,
            host,
            port,
            url=url,
            path=path,
            may_be_private=bool(rules) and (self.private_addresses or any(rule.is_literal for rule in rules)),
            may_be_loopback=named_loopback or any(rule.host == "localhost" for rule in rules),
        )
        if not rules and not named_loopback:
            entries = ", ".join(_show(rule) for rule in self.hosts) or "none"
            raise ArtifactRefusedError(f"the link points to {allowed_url.origin}, artifact.hosts allows {entries}")
        return allowed_url

    def check_addresses(self, url: AllowedUrl, addresses: Sequence[str]) -> tuple[str, ...]:
        """Check that a name resolved to allowed addresses only, and return them.

        One forbidden address refuses them all, because the DNS server decides which of them would be used.

        Raises
        ------
        ArtifactRefusedError
            One is not allowed.
        """
        for text in addresses:
            address = _parse_address(text)
            literal = _parse_address(url.host)
            if address is None:
                raise ArtifactRefusedError(f"{url.host} resolves to {text!r}, which is no address")
            if url.may_be_private and literal is not None and address == literal:
                continue
            if self._is_named(url, address):
                continue
            reason = _why_not_public(address)
            if reason is None or (url.may_be_loopback and address.is_loopback):
                continue
            if url.may_be_private and _is_private_network(address):
                continue
            raise ArtifactRefusedError(
                f"{url.host} resolves to {address}, a {reason} address; {self._advice(url, address)}"
            )
        return tuple(addresses)

    def _is_named(self, url: AllowedUrl, address: Address) -> bool:
        """Whether one entry names the address itself, as storage may have it, and another one the host in full."""
        named = any(
            (rule.scheme, rule.port, _parse_address(rule.host)) == (url.scheme, url.port, address)
            for rule in self.hosts
        )
        return named and any(rule.host == url.host for rule in self.hosts) and _is_private_network(address)

    def _advice(self, url: AllowedUrl, address: Address) -> str:
        """Return what would allow the address."""
        if not _is_private_network(address):
            return "no setting allows that for a name"
        entry = _show(HostRule(url.scheme, str(address), url.port))
        host = "" if any(rule.host == url.host for rule in self.hosts) else f" and {url.host} in full"
        return f"for self-hosted storage, set artifact.private_addresses, or add {entry}{host} to artifact.hosts"


def _show(rule: HostRule) -> str:
    host = f"[{rule.host}]" if ":" in rule.host else rule.host
    port = "" if rule.port == _DEFAULT_PORTS[rule.scheme] else f":{rule.port}"
    return f"{'http://' if rule.scheme == 'http' else ''}{host}{port}"


def _parse_address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _why_not_public(address: Address) -> str | None:
    """Return what kind of address it is; None for a public one."""
    if isinstance(address, IPv6Address):
        inner = _nat64(address)
        if inner is not None:
            return _why_not_public(inner)
        if address.ipv4_mapped is not None:
            return "mapped IPv4"
        # ::1 and :: lie in ::/96 and are named below.
        if not address.is_loopback and not address.is_unspecified and any(address in net for net in _EMBEDDING):
            return "translated IPv4"
    kinds = {
        "loopback": address.is_loopback,
        "link-local": address.is_link_local,
        "unspecified": address.is_unspecified,
        "multicast": address.is_multicast,
        "carrier-grade NAT": address in _CGNAT,
        "private": address.is_private,
        "reserved": address.is_reserved or not address.is_global,
    }
    return next((kind for kind, holds in kinds.items() if holds), None)


def _is_private_network(address: Address) -> bool:
    """Whether self-hosted storage may have this address."""
    inner = address
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or _nat64(address) or address
    if inner == _METADATA or inner.is_link_local or inner.is_multicast or inner.is_unspecified or inner.is_reserved:
        # is_reserved holds for ::1 as well (::/8), which is no reason here.
        return inner.is_loopback
    return True


def _nat64(address: IPv6Address) -> IPv4Address | None:
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
