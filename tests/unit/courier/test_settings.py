import json

import pytest
from pydantic import ValidationError

from courier.config.environment import Environment
from courier.config.settings import PollingSettings, is_loopback_name
from courier.config.validation import describe_validation
from courier.errors import SettingsError
from courier.providers import parse_source
from courier.sources.catalog import Sources, read_source
from tests.fakes import settings_of

SECRET = "TD1 12345/abcdef0123456789"
SECRET_RULE = "secret: must be the name of a secret that begins with build-courier/, not the key itself"
INSIGHTS = {
    "name": "insights",
    "provider": "treasure_insights",
    "endpoint": "https://api.treasuredata.com",
    "secret": "build-courier/s",
}


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
def test_an_https_endpoint_is_taken(endpoint: str) -> None:
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
def test_loopback_is_known_by_its_names(host: str, loopback: bool) -> None:
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
def test_what_is_no_slug_is_no_name(name: str) -> None:
    with pytest.raises(ValidationError):
        settings_of(name)


def test_the_longest_gap_is_not_shorter_than_the_first() -> None:
    with pytest.raises(ValidationError, match="longest_seconds"):
        PollingSettings(first_seconds=60, longest_seconds=59)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"polling": {"first_seconds": 0}}, "polling.first_seconds: input should be greater than 0"),
        ({"polling": {"first_seconds": "nan"}}, "polling.first_seconds: "),
        ({"polling": {"first_seconds": SECRET}}, "polling.first_seconds: must be a number"),
        ({"polling": SECRET}, "polling: must be a mapping"),
        ({"polling": {"first_second": SECRET}}, "polling.first_second: is unknown; did you mean first_seconds?"),
        ({"requests_per_minute": SECRET}, "requests_per_minute: must be a whole number"),
        ({"requests_per_minute": 1.5}, "requests_per_minute: must be a whole number"),
        ({"artifact": {"hosts": SECRET}}, "artifact.hosts: must be a list, such as [a, b]"),
        ({"requests_per_minute": 0}, "requests_per_minute: input should be greater than or equal to 1"),
        ({"secret": ""}, SECRET_RULE),
        ({"secret": SECRET}, SECRET_RULE),
        ({"secret": "build-courier/"}, SECRET_RULE),
        ({"secret": "other/build-courier/abcdef"}, SECRET_RULE),
        ({"artifact": {"hosts": [""]}}, "artifact.hosts[0]: string should have at least 1 character"),
        ({"api_key": SECRET}, "api_key: is unknown"),
        ({"endpoint": f"https://{SECRET}"}, "endpoint must look like https://host"),
        ({"account_id": [SECRET]}, "account_id: "),
        ({"data_models": SECRET}, "data_models: "),
        ({"data_model": SECRET}, "data_model: is unknown; did you mean data_models?"),
        ({"insecure": SECRET}, "insecure: "),
        ({"requests": [{"data_model": "x", "key": SECRET}]}, "requests[0].key: is unknown"),
        ({"requests": [{"data_modle": SECRET}]}, "requests[0].data_modle: is unknown; did you mean data_model?"),
        ({"name": SECRET}, "name: "),
    ],
)
def test_a_wrong_source_is_told_by_its_place_and_without_its_value(change: dict[str, object], text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_source({**INSIGHTS, **change})
    assert text in str(caught.value)
    assert "abcdef" not in str(caught.value)
    assert "abcdef" not in repr(caught.value.__cause__)


def test_all_wrong_places_are_told_at_once() -> None:
    document = {key: value for key, value in INSIGHTS.items() if key != "endpoint"}
    with pytest.raises(
        SettingsError, match=r"sources\[2\]\.endpoint: field required; .*sources\[2\]\.colour"
    ) as caught:
        parse_source({**document, "colour": "red"}, where="sources[2]")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        ("[]", "JSON object"),
        ('"x"', "JSON object"),
        ("{}", "provider: field required"),
        ('{"provider": "nobody"}', "treasure_insights"),
        ('{"provider": 7}', "treasure_insights"),
    ],
)
def test_a_parameter_that_holds_no_source_says_so(text: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        read_source("insights", text)


def test_a_parameter_bears_the_name_of_its_source() -> None:
    text = json.dumps({**INSIGHTS, "name": "other"})
    with pytest.raises(SettingsError, match="named other"):
        read_source("insights", text)


def test_a_source_that_is_not_there_is_told_with_those_that_are() -> None:
    sources = Sources({"a": settings_of("a"), "b": settings_of("b")}, {"c": "endpoint: field required"})
    assert sources.get("a").name == "a"
    with pytest.raises(SettingsError, match="there is no source x; configured: a, b"):
        sources.get("x")
    with pytest.raises(SettingsError, match="source c is misconfigured: endpoint: field required"):
        sources.get("c")


def test_a_function_without_its_environment_says_what_is_missing() -> None:
    environment = Environment.from_variables({"STACK_NAME": "courier"})
    assert environment.stack == "courier"
    with pytest.raises(SettingsError, match="table"):
        environment.required("table")
