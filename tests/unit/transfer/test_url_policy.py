"""Which links may be followed: hosts, ports, schemes, and the addresses behind a name."""

from __future__ import annotations

import pytest

from courier.errors import ArtifactRefusedError, SettingsError
from courier.providers.dreadnode_airt import DreadnodeAirtSettings
from courier.transfer.url_policy import LinkRules

DEFAULT = LinkRules.parse(["*.amazonaws.com"])
QUERY = "?X-Amz-Signature=secret"


@pytest.mark.parametrize(
    "url",
    [
        "https://bucket.s3.us-east-1.amazonaws.com/key" + QUERY,
        "https://s3.amazonaws.com/bucket/key",
        "HTTPS://Bucket.S3.AmazonAWS.com:443/key",
        "https://bucket.s3.amazonaws.com./key",
    ],
)
def test_s3_is_allowed_by_default(url: str) -> None:
    assert DEFAULT.check(url).port == 443


@pytest.mark.parametrize(
    "url",
    [
        "http://bucket.s3.amazonaws.com/key",
        "https://bucket.s3.amazonaws.com:8443/key",
        "https://amazonaws.com/key",
        "https://evilamazonaws.com/key",
        "https://amazonaws.com.evil.example/key",
        "https://evil.example/bucket.s3.amazonaws.com",
        "https://evil.example#.amazonaws.com/",
        "https://evil.example\\@s3.amazonaws.com/",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/key",
        "https://[::1]/key",
        "https://s3.amazonaws.com@evil.example/",
        "https://user:pass@s3.amazonaws.com/",
        "ftp://s3.amazonaws.com/key",
        "file:///etc/passwd",
        "gopher://s3.amazonaws.com/",
        "//s3.amazonaws.com/key",
        "https://",
        "https:///key",
        "",
        "https://s3.amazonaws.com:99999/",
        "https://[s3.amazonaws.com/",
        "https://s3.amazonaws.com/ke\ny",
        "https://s3.amazonaws.com/a b",
        "https://s3.amazonaws.com/\u2028",
        "https://\u017f3.amazonaws.com/",
        "https://s3。amazonaws.com/",
    ],
)
def test_everything_else_is_refused(url: str) -> None:
    with pytest.raises(ArtifactRefusedError):
        DEFAULT.check(url)


def test_refusal_names_the_setting_and_hides_the_query() -> None:
    with pytest.raises(ArtifactRefusedError) as caught:
        DEFAULT.check("https://evil.example/key" + QUERY)
    text = str(caught.value)
    assert text == "the link points to https://evil.example, artifact.hosts allows *.amazonaws.com"


def test_allowed_url_hides_path_and_query() -> None:
    assert "secret" not in repr(DEFAULT.check("https://s3.amazonaws.com/key" + QUERY))


@pytest.mark.parametrize(
    ("entry", "allowed", "refused"),
    [
        ("storage.example", ["https://storage.example/x"], ["https://a.storage.example/x", "http://storage.example/x"]),
        ("storage.example:9000", ["https://storage.example:9000/x"], ["https://storage.example/x"]),
        ("https://storage.example", ["https://storage.example/x"], ["http://storage.example/x"]),
        ("http://storage.example", ["http://storage.example/x"], ["https://storage.example/x"]),
        ("http://storage.example:9000", ["http://storage.example:9000/x"], ["http://storage.example/x"]),
        ("*.storage.example:9000", ["https://a.b.storage.example:9000/x"], ["https://storage.example:9000/x"]),
        ("Storage.Example.", ["https://storage.example/x"], ["https://storage.example.evil/x"]),
        ("[fd12::1]:9000", ["https://[fd12::1]:9000/x"], ["https://[fd12::2]:9000/x"]),
    ],
)
def test_entry_widens_for_itself_alone(entry: str, allowed: list[str], refused: list[str]) -> None:
    rules = LinkRules.parse([entry])
    for url in allowed:
        rules.check(url)
    for url in refused:
        with pytest.raises(ArtifactRefusedError):
            rules.check(url)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "*",
        "*.",
        "a.*.example",
        "ftp://a",
        "https://a/b",
        "https://a?b",
        "https://u@a",
        "a:0",
        "a:b",
        "a b",
        "ä.example",
    ],
)
def test_malformed_entry_is_named(entry: str) -> None:
    with pytest.raises(SettingsError, match=r"artifact\.hosts"):
        LinkRules.parse([entry])


NOT_PUBLIC = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",  # noqa: S104 - an address to refuse
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "192.0.2.1",
    "198.18.0.1",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:52.216.0.1",
    "::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::a00:1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "64:ff9b:1::34d8:1",
    "2002:a9fe:a9fe::1",
    "2001:0:1::1",
    "nonsense",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_name_must_not_resolve_to_an_address_that_is_not_public(address: str) -> None:
    target = DEFAULT.check("https://s3.amazonaws.com/key")
    with pytest.raises(ArtifactRefusedError, match=r"s3\.amazonaws\.com resolves to"):
        DEFAULT.check_addresses(target, ["52.216.0.1", address])


# DNS64 answers with the prefix of NAT64 in front of every public IPv4 address: 52.216.0.1 here.
@pytest.mark.parametrize("address", ["52.216.0.1", "2600:1f18::1", "64:ff9b::34d8:1"])
def test_public_addresses_are_allowed(address: str) -> None:
    target = DEFAULT.check("https://s3.amazonaws.com/key")
    assert DEFAULT.check_addresses(target, [address]) == (address,)


def test_refused_address_comes_with_advice_that_works() -> None:
    url = "http://minio.internal:9000/key"
    rules = LinkRules.parse(["http://minio.internal:9000"])
    with pytest.raises(ArtifactRefusedError) as caught:
        rules.check_addresses(rules.check(url), ["10.1.2.3"])
    advice = "set artifact.private_addresses, or add http://10.1.2.3:9000 to artifact.hosts"
    assert str(caught.value).endswith(f"resolves to 10.1.2.3, a private address; for self-hosted storage, {advice}")
    for rules in (
        LinkRules.parse(["http://minio.internal:9000"], private_addresses=True),
        LinkRules.parse(["http://minio.internal:9000", "http://10.1.2.3:9000"]),
    ):
        rules.check_addresses(rules.check(url), ["10.1.2.3"])


def test_advice_names_the_host_where_only_its_suffix_is_allowed() -> None:
    rules = LinkRules.parse(["*.internal"])
    with pytest.raises(ArtifactRefusedError, match=r"or add 10\.1\.2\.3 and s3\.internal in full to artifact\.hosts"):
        rules.check_addresses(rules.check("https://s3.internal/key"), ["10.1.2.3"])
    rules = LinkRules.parse(["*.internal", "10.1.2.3", "s3.internal"])
    rules.check_addresses(rules.check("https://s3.internal/key"), ["10.1.2.3"])


@pytest.mark.parametrize("address", ["169.254.169.254", "fd00:ec2::254"])
def test_no_setting_lets_a_name_point_to_a_metadata_service(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    for rules in (LinkRules.parse(["s3.internal", host]), LinkRules.parse(["s3.internal"], private_addresses=True)):
        with pytest.raises(ArtifactRefusedError, match="no setting allows that for a name"):
            rules.check_addresses(rules.check("https://s3.internal/key"), [address])


@pytest.mark.parametrize("entry", ["http://10.1.2.3:9000", "https://10.1.2.3:9000", "10.1.2.4"])
def test_address_that_is_named_with_another_scheme_or_port_is_another(entry: str) -> None:
    rules = LinkRules.parse(["minio.internal", entry])
    with pytest.raises(ArtifactRefusedError):
        rules.check_addresses(rules.check("https://minio.internal/key"), ["10.1.2.3"])


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "192.168.1.1", "100.64.0.1", "127.0.0.1", "fd12::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"]
)
def test_private_addresses_can_be_allowed(address: str) -> None:
    rules = LinkRules.parse(["minio.internal"], private_addresses=True)
    assert rules.check_addresses(rules.check("https://minio.internal/key"), [address]) == (address,)


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "fe80::1", "fd00:ec2::254", "224.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"],
)
def test_metadata_and_link_local_addresses_are_not_private_ones(address: str) -> None:
    rules = LinkRules.parse(["minio.internal"], private_addresses=True)
    with pytest.raises(ArtifactRefusedError):
        rules.check_addresses(rules.check("https://minio.internal/key"), [address])


def test_address_that_is_named_is_allowed_and_no_other() -> None:
    rules = LinkRules.parse(["10.1.2.3:9000", "*.amazonaws.com"])
    assert rules.check_addresses(rules.check("https://10.1.2.3:9000/key"), ["10.1.2.3"]) == ("10.1.2.3",)
    with pytest.raises(ArtifactRefusedError):
        rules.check_addresses(rules.check("https://s3.amazonaws.com/key"), ["10.1.2.3"])


def test_named_localhost_may_be_loopback_and_nothing_else() -> None:
    rules = LinkRules.parse(["http://localhost:9000"])
    target = rules.check("http://localhost:9000/key")
    assert rules.check_addresses(target, ["127.0.0.1", "::1"]) == ("127.0.0.1", "::1")
    with pytest.raises(ArtifactRefusedError):
        rules.check_addresses(target, ["10.1.2.3"])


def test_insecure_source_may_use_loopback_besides_its_hosts() -> None:
    rules = LinkRules.parse(["*.amazonaws.com"], loopback=True)
    for url in ("http://localhost:4566/key", "https://127.0.0.1:9000/key", "http://[::1]:1/key"):
        target = rules.check(url)
        rules.check_addresses(target, ["127.0.0.1"])
    with pytest.raises(ArtifactRefusedError):
        rules.check("http://evil.example:4566/key")
    rules.check("https://s3.amazonaws.com/key")


def test_rules_follow_from_the_settings_of_a_source() -> None:
    settings = DreadnodeAirtSettings.model_validate(
        {
            "name": "red-team",
            "provider": "dreadnode_airt",
            "endpoint": "http://localhost:8080",
            "insecure": True,
            "secret": "build-courier/x",
            "organization": "acme",
            "workspace": "main",
            "project": "chatbot",
            "artifact": {"hosts": ["minio.internal:9000"], "private_addresses": True},
        }
    )
    rules = LinkRules.of_source(settings)
    assert (rules.loopback, rules.private_addresses) == (True, True)
    rules.check("https://minio.internal:9000/x")
