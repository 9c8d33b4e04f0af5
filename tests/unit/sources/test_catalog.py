"""The configured sources: read from parameters, found by name."""

import json

import pytest

from courier.errors import SettingsError
from courier.sources.catalog import Sources, read_source
from tests.support.providers import settings_of

INSIGHTS = {
    "name": "insights",
    "provider": "treasure_insights",
    "endpoint": "https://api.treasuredata.com",
    "secret": "build-courier/s",
}


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
def test_a_parameter_that_holds_no_source_is_reported(text: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        read_source("insights", text)


def test_a_parameter_has_the_name_of_its_source() -> None:
    text = json.dumps({**INSIGHTS, "name": "other"})
    with pytest.raises(SettingsError, match="named other"):
        read_source("insights", text)


def test_an_unknown_source_is_reported_with_the_known_ones() -> None:
    sources = Sources({"a": settings_of("a"), "b": settings_of("b")}, {"c": "endpoint: field required"})
    assert sources.get("a").name == "a"
    with pytest.raises(SettingsError, match="there is no source x; configured: a, b"):
        sources.get("x")
    with pytest.raises(SettingsError, match="source c is misconfigured: endpoint: field required"):
        sources.get("c")


def test_the_secret_of_a_source_begins_with_the_prefix_of_its_stack() -> None:
    text = json.dumps({**INSIGHTS, "secret": "eu/s"})
    assert read_source("insights", text, secret_prefix="eu/").secret == "eu/s"
    with pytest.raises(SettingsError, match="secret: must be the name of a secret that begins with build-courier/"):
        read_source("insights", text)
