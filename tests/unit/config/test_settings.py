"""What the settings of a source accept."""

import pytest
from pydantic import ValidationError

from courier.config.settings import PollingSettings, is_loopback_name
from courier.config.validation import describe_validation
from tests.support.providers import settings_of


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://api.treasuredata.com",
        "https://api.treasuredata.com/",
        "https://API.example.com:8443/prefix/v1",
        "https://10.0.0.7",
        "https://[::1]:8443",
        "HTTPS://api.example.com",
    ],
)
def test_an_https_endpoint_is_accepted(endpoint: str) -> None:
    assert settings_of(endpoint=endpoint).endpoint == endpoint


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "api.treasuredata.com",
        "http://api.treasuredata.com",
        "ftp://api.treasuredata.com",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://user@host",
        "https://user:secret@host",
        "https://:secret@host",
        "https://host?key=1",
        "https://host?",
        "https://host#x",
        "https://host#",
        "https://host\\@evil.example",
        "https://ho st",
        " https://host",
        "https://host\n",
        "https://host\t/x",
        "https://host:99999",
        "https://host:0",
        "https://host:x",
        "https://[::1",
        "https://höst",
        "https://host/\u202e",
    ],
)
def test_any_other_endpoint_is_refused_without_being_shown(endpoint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        settings_of(endpoint=endpoint)
    assert "secret@" not in describe_validation(caught.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "[::1]", "LOCALHOST"])
def test_http_is_for_loopback_alone_and_only_when_the_source_says_so(host: str) -> None:
    assert settings_of(endpoint=f"http://{host}:8080", insecure=True)
    with pytest.raises(ValidationError):
        settings_of(endpoint=f"http://{host}:8080")


@pytest.mark.parametrize(
    "host",
    ["example.com", "localhost.example.com", "127.0.0.1.example.com", "10.0.0.1", "192.168.0.1", "2130706433", "[::]"],
)
def test_insecure_does_not_reach_beyond_loopback(host: str) -> None:
    with pytest.raises(ValidationError, match="must be https"):
        settings_of(endpoint=f"http://{host}", insecure=True)


@pytest.mark.parametrize(("host", "loopback"), [("localhost", True), ("::1", True), ("0x7f.1", False), ("", False)])
def test_loopback_names_are_recognized(host: str, loopback: bool) -> None:
    assert is_loopback_name(host) is loopback


@pytest.mark.parametrize(
    ("bundle", "fits"),
    [
        (None, True),
        ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", True),
        ("", False),
        ("/etc/ssl/ca.pem", False),
        ("-----BEGIN CERTIFICATE-----", False),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----", False),
    ],
)
def test_a_bundle_of_authorities_is_pem_text(bundle: str | None, fits: bool) -> None:
    if fits:
        assert settings_of(ca_bundle=bundle).ca_bundle == bundle
    else:
        with pytest.raises(ValidationError, match="PEM"):
            settings_of(ca_bundle=bundle)


@pytest.mark.parametrize("name", ["a", "red-team", "x" * 40, "1"])
def test_a_slug_is_a_name(name: str) -> None:
    assert settings_of(name).name == name


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a_b", "a.b", "a/b", "#source", "x" * 41, "a\n", "ä"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        settings_of(name)


def test_the_longest_gap_is_not_shorter_than_the_first() -> None:
    with pytest.raises(ValidationError, match="longest_seconds"):
        PollingSettings(first_seconds=60, longest_seconds=59)
