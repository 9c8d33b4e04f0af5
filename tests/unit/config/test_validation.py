"""Messages about wrong settings: the place of each, never its value."""

import pytest

from courier.errors import SettingsError
from courier.providers import parse_source

SECRET = "TD1 12345/abcdef0123456789"
SECRET_RULE = "secret: must be the name of a secret that begins with build-courier/, not the key itself"
INSIGHTS = {
    "name": "insights",
    "provider": "treasure_insights",
    "endpoint": "https://api.treasuredata.com",
    "secret": "build-courier/s",
}


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
        ({"secret": "abcdefabcdefabcdefabcdefabcdefab"}, SECRET_RULE),
        ({"secret": "abcdef-0123"}, SECRET_RULE),
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
def test_an_error_names_the_place_and_not_the_value(change: dict[str, object], text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_source({**INSIGHTS, **change})
    assert text in str(caught.value)
    assert "abcdef" not in str(caught.value)
    assert "abcdef" not in repr(caught.value.__cause__)


def test_all_errors_are_reported_at_once() -> None:
    document = {key: value for key, value in INSIGHTS.items() if key != "endpoint"}
    with pytest.raises(
        SettingsError, match=r"sources\[2\]\.endpoint: field required; .*sources\[2\]\.colour"
    ) as caught:
        parse_source({**document, "colour": "red"}, where="sources[2]")
    assert "\n" not in str(caught.value)


def test_a_misspelled_field_is_not_reported_as_missing_too() -> None:
    document = {key: value for key, value in INSIGHTS.items() if key != "endpoint"}
    with pytest.raises(SettingsError) as caught:
        parse_source({**document, "endpont": "https://api.treasuredata.com"})
    assert str(caught.value) == "endpont: is unknown; did you mean endpoint?"


@pytest.mark.parametrize("secret", ["dreadnode", "treasure-data"])
def test_words_without_the_prefix_of_secrets_are_a_name(secret: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_source({**INSIGHTS, "secret": secret})
    assert str(caught.value) == f"secret: must begin with build-courier/; did you mean build-courier/{secret}?"


@pytest.mark.parametrize("secret", ["eu/td", "eu/more/td"])
def test_a_secret_begins_with_the_prefix_of_its_stack(secret: str) -> None:
    assert parse_source({**INSIGHTS, "secret": secret}, secret_prefix="eu/").secret == secret


@pytest.mark.parametrize("secret", ["build-courier/s", "eu/", "EU/td", SECRET])
def test_a_secret_outside_the_prefix_of_its_stack_is_refused_but_not_shown(secret: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_source({**INSIGHTS, "secret": secret}, secret_prefix="eu/")
    assert str(caught.value) == "secret: must be the name of a secret that begins with eu/, not the key itself"
