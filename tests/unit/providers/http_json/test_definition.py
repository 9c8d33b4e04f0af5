"""A definition that cannot work is refused where it is read, with one clear line."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from courier.errors import SettingsError
from courier.models import BuildRequest
from courier.providers import parse_source
from courier.providers.http_json.settings import HttpJsonSettings
from courier.providers.http_json.shipped import load_shipped, shipped_names
from tests.unit.providers.http_json.described import API, ENDPOINT, SECRET, document, mistakes, settings

OAUTH = {"kind": "oauth2", "token_url": "https://login.example.com/{tenant}/token"}


def test_the_usual_definition_works_and_survives_the_parameter() -> None:
    source = settings()
    assert HttpJsonSettings.model_validate_json(source.model_dump_json(exclude_defaults=True)) == source
    assert parse_source(document()) == source


@pytest.mark.parametrize(
    ("part", "line"),
    [
        ({"auth": {"kind": "header", "nme": "X"}}, "api.auth.nme: is unknown; did you mean name?"),
        ({"strat": {}}, "api.strat: is unknown; did you mean start?"),
        ({"auth": {"kind": "header", "token_url": "https://x/t"}}, "token_url does not belong to kind header"),
        ({"auth": {"kind": "oauth2"}}, "token_url: field required for kind oauth2"),
        ({"auth": {"kind": "login", "post": "/login"}}, "name exactly one of body and form"),
        ({"build": {"id": "id", "status": "data."}}, "api.build.status.read: does not compile: it ends too early"),
        ({"build": {"id": "id", "status": {"read": "a", "header": "b"}}}, "exactly one of read and header"),
        ({"build": {"id": {"header": "Location", "match": "jobs/"}, "status": "s"}}, "has 0 groups"),
        ({"build": {"id": "id", "status": "s", "keep": {"scope": "x"}}}, "scope is the name of something else already"),
        ({"build": {}}, "build.status: field required"),
        ({"build": {"status": "state"}}, "start.id: field required where build.id"),
        ({"words": {"running": ["Busy"], "succeeded": ["busy "]}}, "'busy' is in running and in succeeded"),
        ({"words": {"running": ["busy"]}}, "no word, code or rule says that a build has succeeded"),
        ({"words": {"succeeded": ["done"], "running": [True]}}, "is a boolean in YAML, as on, off, yes and no are"),
        ({"words": {"succeeded": [10]}}, "is a number in YAML; put it in quotes"),
        ({"status": {"get": "/jobs/{ib}"}}, "nothing fills {ib}; did you mean {id}?"),
        ({"status": {"get": "jobs/{id}"}}, "must begin with one slash"),
        ({"status": {"get": "//evil.example/{id}"}}, "must begin with one slash"),
        ({"status": {"get": "/a/../{id}"}}, "must not contain . or .."),
        ({"status": {"get": "/jobs/{id}?x=1"}}, "write the query under query"),
        ({"status": {"get": "/jobs/{ id }"}}, "belongs to no placeholder"),
        ({"status": {"get": "/jobs/{id?}"}}, "cannot leave a part out"),
        ({"status": {"get": "/a", "post": "/b"}}, "exactly one of get, post with its path, not get and post"),
        ({"status": {"delete": "/jobs/{id}"}}, "exactly one of get, post with its path, not delete"),
        ({"status": {"get": "/jobs/{id}", "body": {}}}, "a GET has no body"),
        ({"status": {"get": "/jobs/{id}", "codes": {"nope": "running"}}}, "api.status.codes"),
        ({"status": {"get": "/jobs/{id}", "query": {"v": 2}}}, "api.status.query.v: is a number in YAML"),
        ({"list": {"get": "/jobs", "each": "data", "next": {"query": "after"}}}, "query and value belong together"),
        (
            {"list": {"get": "/jobs", "each": "data", "next": {"more": "more"}}},
            "exactly one of query (with value), link",
        ),
        (
            {"list": {"get": "/jobs", "each": "data", "next": {"link": "prev"}}},
            "api.list.next.link: input should be 'next'",
        ),
        ({"headers": {"X-Key": "{secret}"}}, "{secret} may stand under auth only"),
        ({"rules": [{"means": "throttled"}]}, "a rule without a condition would always fit"),
        ({"rules": [{"code": 429, "means": "waiting"}]}, "api.rules[0].means"),
        ({"link": {"name": "x"}}, "name exactly one of url and file"),
        ({"link": {"url": "u", "file": "/f", "name": "x"}}, "name exactly one of url and file"),
        ({"link": {"url": "u", "pick": "[0]", "name": "x"}}, "pick chooses among the files of each"),
        ({"link": {"get": "/l/{id}", "url": "u", "none_means": "empty", "name": "x"}}, "exclude get and post"),
        ({"link": {"url": "u", "name": "{id}-{what}.csv"}}, "nothing fills {what}"),
        ({"auth": {"kind": "none"}, "link": {"url": "u", "auth": True, "name": "x"}}, "no credentials to send"),
        ({"auth": {**OAUTH, "token_url": "https://{tenant}.example.com/token"}}, "with placeholders in its path only"),
        ({"auth": {**OAUTH, "token_url": "token"}}, "with placeholders in its path only"),
        ({"headers": {"X:": "a"}}, "is no name of a header"),
        ({"auth": {**OAUTH}}, "api.auth.token_url: nothing fills {tenant}"),
        ({"auth": {"kind": "header", "also_for": ["https://x.example/path"]}}, "api.auth.also_for[0]"),
        ({"scope_parts": "organization"}, "api.scope_parts"),
    ],
)
def test_what_cannot_work_is_refused(part: dict[str, Any], line: str) -> None:
    assert line in mistakes(part)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ({"api": 7}, "api: must be a definition, or the name of one"),
        ({"api": "stripe-report-rnus@1"}, "did you mean stripe-report-runs@1?"),
        ({"api": "../../etc/passwd"}, "no definition of this name"),
        ({"scopes": "some"}, 'use "all" or a list of scopes'),
        ({"scopes": "all"}, "scopes: the definition does not say how to find them"),
        ({"values": {"region": "eu"}}, "values.region: is unknown"),
        ({"values": {"Region": "eu"}}, "values.Region"),
        ({"requests": [{"input": {}}]}, "requests[0].input.kind: field required"),
        ({"requests": [{"input": {"kind": "a", "form": "b"}}]}, "requests[0].input.form: is unknown"),
        ({"requests": [{"scope": "other", "input": {"kind": "a"}}]}, "requests[0].scope: is not among the scopes"),
        ({"also_for": ["http://files.example.com"]}, "also_for: must be https"),
        ({"token_url": "ftp://x/y"}, "token_url: must be an address such as"),
        ({"also_for": ["https://x.example:99999"]}, "also_for[0]: must be an origin"),
        ({"api": {"status": {"get": "/{scope}/{id}"}}, "scopes": [".."]}, "scopes: . and .. cannot be part"),
    ],
)
def test_what_does_not_fit_the_source_is_refused(source: dict[str, Any], line: str) -> None:
    part = source.pop("api") if isinstance(source.get("api"), dict) else None
    assert line in mistakes(part, **source)


def test_credentials_for_a_host_that_is_not_listed_are_refused() -> None:
    link = {"link": {"url": "u", "auth": True, "name": "x"}}
    assert "api.link.auth: credentials would have to go to files.example.com" in mistakes(
        link, artifact={"hosts": ["files.example.com"]}
    )
    assert mistakes(link, artifact={"hosts": ["files.example.com"]}, also_for=["https://files.example.com"]) == ""


def test_several_mistakes_are_one_line() -> None:
    line = mistakes({"status": {"get": "/x/{a}"}, "link": {"url": "u", "name": "{b}"}})
    assert "{a}" in line
    assert "{b}" in line


def test_yaml_may_spell_a_word_that_it_reads_as_something_else() -> None:
    words = yaml.safe_load("{running: [on], succeeded: ['10']}")
    assert "as on, off, yes and no are" in mistakes({"words": words})
    assert mistakes({"words": yaml.safe_load("{running: ['on'], succeeded: ['10']}")}) == ""


def test_braces_of_a_query_language_are_left_alone() -> None:
    query = "query($q: ID!) { node(id: $q) { id status } }"
    assert mistakes({"status": {"post": "/graphql", "body": {"query": query, "variables": {"q": "{id}"}}}}) == ""


def test_the_origins_that_see_credentials_are_complete() -> None:
    auth = {**OAUTH, "also_for": ["https://files.example.com:8443"]}
    source = settings({"auth": auth}, values={"tenant": "t"})
    assert source.credential_origins == (ENDPOINT, "https://login.example.com", "https://files.example.com:8443")
    assert source.download_origins == (ENDPOINT, "https://files.example.com:8443")
    own = settings({"auth": {"kind": "oauth2", "token_url": "/oauth/token"}})
    assert own.credential_origins == (ENDPOINT,)
    assert own.full_token_url == f"{ENDPOINT}/oauth/token"


def test_the_longest_gap_of_a_vendor_caps_the_polling() -> None:
    source = settings({"status": {"get": "/jobs/{id}", "longest_gap_seconds": 30}}, polling={"stall_after_hours": 2})
    assert (source.polling.first_seconds, source.polling.longest_seconds) == (30, 30)
    assert source.polling.stall_after_hours == 2


def test_a_definition_by_name_costs_its_name_in_the_parameter() -> None:
    source = parse_source({"name": "s", "provider": "http_json", "api": "stripe-report-runs@1", "secret": SECRET})
    text = source.model_dump_json(exclude_defaults=True)
    assert len(text) < 120
    assert HttpJsonSettings.model_validate_json(text) == source
    larger = parse_source(
        {**document(), "api": "stripe-report-runs@1", "artifact": {"largest_bytes": 7}, "endpoint": ENDPOINT}
    )
    assert larger.artifact.content_types == source.artifact.content_types
    assert HttpJsonSettings.model_validate_json(larger.model_dump_json(exclude_defaults=True)) == larger


@pytest.mark.parametrize("name", shipped_names())
def test_each_shipped_definition_has_an_example_that_works(name: str) -> None:
    shipped = load_shipped(name)
    example = parse_source(shipped.example)
    assert isinstance(example, HttpJsonSettings)
    assert example.api is shipped.api
    for request in example.build_requests():
        assert isinstance(request, BuildRequest)


def test_the_courier_comes_with_at_least_sixteen_definitions() -> None:
    assert len(shipped_names()) >= 16


def test_a_request_names_exactly_one_way() -> None:
    with pytest.raises(ValueError, match="exactly one of data_model, report, input and build_id"):
        BuildRequest(source="s", input={}, build_id="x")
    assert BuildRequest(source="s", input={}).input == {}


def test_an_older_source_is_not_parsed_as_a_described_one() -> None:
    with pytest.raises(SettingsError, match=r"sources\[0\].api: is unknown"):
        parse_source({**document(), "provider": "treasure_insights", "api": API}, where="sources[0]")
