"""The registry: configuration in, a provider out, and one clear line for what is wrong."""

from __future__ import annotations

import subprocess
import sys
import traceback

import pytest
from pydantic import ValidationError

from courier.config.secrets import Secret
from courier.errors import SettingsError
from courier.models import BuildRequest
from courier.providers import TOKEN_LIMIT_SHARE, open_provider, parse_source, provider_class
from courier.providers.treasure_insights import TreasureInsightsSettings
from courier.usecases.events import PROVIDER_CALL_SECONDS, RESERVE_SECONDS

INSIGHTS: dict[str, object] = {
    "name": "insights",
    "provider": "treasure_insights",
    "endpoint": "https://api.treasuredata.com",
    "secret": "build-courier/treasure-data",
}
RED_TEAM: dict[str, object] = {
    "name": "red-team",
    "provider": "dreadnode_airt",
    "endpoint": "https://app.dreadnode.io",
    "secret": "build-courier/dreadnode",
    "organization": "acme",
    "workspace": "main",
    "project": "chatbot",
}


@pytest.mark.parametrize("document", [INSIGHTS, RED_TEAM])
def test_each_provider_has_its_settings(document: dict[str, object]) -> None:
    settings = parse_source(document)
    assert type(settings) is provider_class(document).settings_model
    assert parse_source(settings.model_dump(mode="json")) == settings


@pytest.mark.parametrize(
    ("document", "line"),
    [
        ({}, "sources[1].provider: field required, one of dreadnode_airt, http_json, treasure_insights"),
        (
            {"provider": "jenkins"},
            "sources[1].provider: 'jenkins' is unknown; use one of dreadnode_airt, http_json, ",
        ),
        ({"provider": ["x"]}, "sources[1].provider: a list is unknown; use one of"),
        ({k: v for k, v in RED_TEAM.items() if k != "project"}, "sources[1].project: field required"),
        ({**RED_TEAM, "organization": ".."}, "sources[1].organization: a dot segment"),
        ({**RED_TEAM, "project": "x" * 121}, "sources[1].project: string should have at most 120 characters"),
        ({**RED_TEAM, "auth": "basic"}, "sources[1].auth: input should be 'bearer' or 'x-api-key'"),
        ({**RED_TEAM, "requests": [{}]}, "sources[1].requests[0].report: field required"),
        ({**INSIGHTS, "dta_models": "all"}, "sources[1].dta_models: is unknown; did you mean data_models?"),
        ({**INSIGHTS, "data_models": "some"}, 'sources[1].data_models: use "all" or a list of data model oids'),
        ({**INSIGHTS, "data_models": []}, 'sources[1].data_models: use "all" or a list of data model oids'),
        ({**INSIGHTS, "data_models": ["a", "b/c"]}, "sources[1].data_models: entry 1 is not a data model oid"),
        ({**INSIGHTS, "data_models": [7]}, "sources[1].data_models: entry 0 is not a data model oid"),
        ({**INSIGHTS, "account_id": True}, "sources[1].account_id: input should be a valid string"),
        ({**INSIGHTS, "build_type": "partial"}, "sources[1].build_type: input should be 'full', 'schema_changes'"),
        ({**INSIGHTS, "requests": [{"data_model": ""}]}, "sources[1].requests[0].data_model: "),
        ({**INSIGHTS, "endpoint": "http://api.example.com"}, "sources[1]: endpoint must be https"),
    ],
)
def test_an_error_names_its_place(document: dict[str, object], line: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_source(document, where="sources[1]")
    assert str(caught.value).startswith(line)


def test_a_key_pasted_into_the_wrong_field_is_not_shown() -> None:
    document = {**INSIGHTS, "secret": ["dn_key_hush"], "api_key": "dn_key_hush"}
    with pytest.raises(SettingsError) as caught:
        parse_source(document)
    assert "hush" not in "".join(traceback.format_exception(caught.value))


def test_an_account_id_may_be_a_number() -> None:
    settings = parse_source({**INSIGHTS, "account_id": 1234})
    assert isinstance(settings, TreasureInsightsSettings)
    assert settings.account_id == "1234"


def test_configured_requests_become_requests() -> None:
    insights = parse_source({**INSIGHTS, "requests": [{"data_model": "a"}, {"data_model": "b"}]})
    assert [request.data_model for request in insights.build_requests()] == ["a", "b"]
    red_team = parse_source({**RED_TEAM, "requests": [{"report": {"template_id": "t"}}]})
    assert red_team.build_requests() == (BuildRequest(source="red-team", report={"template_id": "t"}),)
    assert parse_source(INSIGHTS).build_requests() == ()


def test_opening_a_provider_sends_nothing() -> None:
    def read_secret(name: str, fresh: bool) -> Secret:
        raise AssertionError("no key is needed yet")

    for document in (INSIGHTS, RED_TEAM):
        provider = open_provider(parse_source(document), read_secret=read_secret)
        assert provider.name == document["provider"]
    assert provider.api.endpoint == "https://app.dreadnode.io/api/v1"


def test_an_invalid_ca_bundle_is_reported_with_its_source() -> None:
    pem = "-----BEGIN CERTIFICATE-----\nnot one\n-----END CERTIFICATE-----"
    with pytest.raises(SettingsError, match="insights: ca_bundle"):
        open_provider(parse_source({**INSIGHTS, "ca_bundle": pem}))


def test_settings_are_values() -> None:
    settings = parse_source(INSIGHTS)
    with pytest.raises(ValidationError):
        settings.name = "other"  # type: ignore[misc]  # that is the point


def test_reading_settings_loads_no_http_and_no_aws_library() -> None:
    code = (
        "import sys, courier.providers, courier.config.secrets;"
        "print(sorted({'requests', 'urllib3', 'boto3', 'botocore', 'aws_lambda_powertools'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)  # noqa: S603 - our own interpreter
    assert result.stdout.strip() == "[]"


def test_sources_of_the_built_in_providers_do_not_load_the_definitions() -> None:
    code = (
        "import sys; from courier.providers import open_provider, parse_source;"
        f"[open_provider(parse_source(document)) for document in ({INSIGHTS!r}, {RED_TEAM!r})];"
        "print([name for name in sys.modules if 'http_json' in name])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)  # noqa: S603 - our own interpreter
    assert result.stdout.strip() == "[]"


def test_a_call_with_a_token_in_its_middle_fits_into_what_an_invocation_reserves() -> None:
    assert PROVIDER_CALL_SECONDS * (1 + TOKEN_LIMIT_SHARE) <= RESERVE_SECONDS
