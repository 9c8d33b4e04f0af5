"""The contract of `Provider`, tested for each provider and for the fake that other tests use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from courier.config.secrets import ApiKey
from courier.errors import BuildNotFoundError, SettingsError, SourceProtocolError
from courier.models import AccountLimits, BuildRequest, BuildStatus
from courier.providers import PROVIDERS
from courier.providers.base import Provider
from local.simulator import RequestKind
from tests.functional.providers.simulated_apis import (
    BUILD_REQUEST,
    DREADNODE_DEFINITION,
    MODEL,
    PRESET,
    PROJECT_SCOPE,
    REPORT_REQUEST,
    TREASURE_DEFINITION,
    SimulatedApis,
)
from tests.support.providers import FakeProvider


@dataclass(frozen=True)
class Case:
    provider: Provider
    request: BuildRequest
    misfit: BuildRequest | None
    end: Callable[[str], object]


def treasure_case(apis: SimulatedApis) -> Case:
    misfit = BuildRequest(source="insights", report={"template_id": "t"})
    return Case(apis.insights(account_id=1234), BUILD_REQUEST, misfit, lambda _: apis.clock.advance(60))


def dreadnode_case(apis: SimulatedApis) -> Case:
    misfit = BuildRequest(source="red-team", data_model="m")
    return Case(apis.red_team(), REPORT_REQUEST, misfit, lambda _: apis.clock.advance(60))


def fake_case(_: SimulatedApis) -> Case:
    provider = FakeProvider(can_list=True, can_cancel=True)

    def end(build_id: str) -> None:
        provider.set_status(build_id, BuildStatus.SUCCEEDED, has_artifact=True)

    return Case(provider, BuildRequest(source="insights", data_model="sales"), None, end)


def treasure_definition_case(apis: SimulatedApis) -> Case:
    provider = apis.described("insights", TREASURE_DEFINITION, scopes="all", values={"account": "1234"})
    request = BuildRequest(source="insights", scope=MODEL, input={})
    misfit = BuildRequest(source="insights", data_model=MODEL)
    return Case(provider, request, misfit, lambda _: apis.clock.advance(60))


def dreadnode_definition_case(apis: SimulatedApis) -> Case:
    provider = apis.described("red-team", DREADNODE_DEFINITION, "/api/v1", scopes=[PROJECT_SCOPE])
    request = BuildRequest.model_validate({"source": "red-team", "input": PRESET})
    misfit = BuildRequest.model_validate({"source": "red-team", "report": PRESET})
    return Case(provider, request, misfit, lambda _: apis.clock.advance(60))


# A provider that is described as data has one case for each of the APIs that a provider of their own serves as well.
CASES = {
    "treasure_insights": treasure_case,
    "dreadnode_airt": dreadnode_case,
    "http_json/treasure-insights": treasure_definition_case,
    "http_json/dreadnode-airt": dreadnode_definition_case,
    "fake": fake_case,
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, apis: SimulatedApis) -> Case:
    return CASES[request.param](apis)


@pytest.fixture(params=[name for name in CASES if name != "fake"])
def real_case(request: pytest.FixtureRequest, apis: SimulatedApis) -> Case:
    return CASES[request.param](apis)


def test_every_registered_provider_is_tested_against_the_contract() -> None:
    assert {name.partition("/")[0] for name in CASES} == {*PROVIDERS, "fake"}


def test_a_started_build_has_a_reference_and_has_not_ended(case: Case) -> None:
    build = case.provider.start_build(case.request)
    assert build.ref.source == case.provider.settings.name
    assert build.ref.scope == case.provider.request_scope(case.request)
    assert build.status in {BuildStatus.QUEUED, BuildStatus.RUNNING}
    assert build.created_at is not None
    assert not build.has_artifact


def test_a_started_build_can_be_polled(case: Case) -> None:
    build = case.provider.start_build(case.request)
    polled = case.provider.get_build(build.ref)
    assert polled.ref == build.ref
    assert not polled.status.is_terminal


def test_a_build_ends(case: Case) -> None:
    ref = case.provider.start_build(case.request).ref
    case.end(ref.build_id)
    assert case.provider.get_build(ref).status is BuildStatus.SUCCEEDED


def test_an_unknown_build_is_not_found(case: Case) -> None:
    ref = case.provider.start_build(case.request).ref
    with pytest.raises(BuildNotFoundError):
        case.provider.get_build(ref.model_copy(update={"build_id": "00000000-0000-0000-0000-00000000dead"}))


def test_the_scopes_name_where_builds_are(case: Case) -> None:
    assert case.provider.request_scope(case.request) in case.provider.scopes()


def test_a_list_agrees_with_single_polls(case: Case) -> None:
    build = case.provider.start_build(case.request)
    if case.provider.can_list:
        listed = {other.ref: other for other in case.provider.list_builds(build.ref.scope)}
        assert listed[build.ref] == case.provider.get_build(build.ref)
    else:
        with pytest.raises(SettingsError):
            case.provider.list_builds(build.ref.scope)


def test_an_artifact_is_located_when_there_is_one_and_only_then(case: Case) -> None:
    ref = case.provider.start_build(case.request).ref
    with pytest.raises((SourceProtocolError, SettingsError)):
        case.provider.locate_artifact(ref)
    case.end(ref.build_id)
    if case.provider.get_build(ref).has_artifact:
        link = case.provider.locate_artifact(ref)
        assert "?" in link.url.reveal()
        assert link.url.reveal() not in f"{link!r}{link.url}"
        assert link.filename.startswith(ref.build_id)
    else:
        with pytest.raises(SettingsError):
            case.provider.locate_artifact(ref)


def test_a_provider_says_beforehand_whether_its_builds_can_leave_reports(case: Case) -> None:
    # By this the state machine decides, before the wait, whether a copy can follow.
    ref = case.provider.start_build(case.request).ref
    case.end(ref.build_id)
    assert case.provider.get_build(ref).has_artifact == case.provider.leaves_reports
    if case.provider.name != "http_json":
        # Of a provider that is described as data, the definition decides, and not the class.
        assert (type(case.provider).locate_artifact is not Provider.locate_artifact) == case.provider.leaves_reports


def test_a_build_is_stopped_or_the_setting_is_named(case: Case) -> None:
    ref = case.provider.start_build(case.request).ref
    if case.provider.can_cancel:
        case.provider.cancel_build(ref)
        assert case.provider.get_build(ref).status is BuildStatus.CANCELED
    else:
        with pytest.raises(SettingsError, match="cancel_on_timeout"):
            case.provider.cancel_build(ref)


def test_a_request_that_does_not_fit_costs_nothing(real_case: Case, apis: SimulatedApis) -> None:
    assert real_case.misfit is not None
    for method in (real_case.provider.request_scope, real_case.provider.start_build):
        with pytest.raises(SettingsError):
            method(real_case.misfit)
    assert not apis.attempts


def test_polling_starts_no_build(real_case: Case, apis: SimulatedApis) -> None:
    scope = real_case.provider.request_scope(real_case.request)
    watch = BuildRequest(source=real_case.request.source, build_id="x", scope=scope)
    assert real_case.provider.request_scope(watch) == scope
    with pytest.raises(SettingsError):
        real_case.provider.start_build(watch)
    assert apis.request_count(RequestKind.START_BUILD) == apis.request_count(RequestKind.START_JOB) == 0


def test_limits_and_advice_fit_each_other(case: Case) -> None:
    limits = case.provider.account_limits()
    assert limits is None or limits != AccountLimits()
    for advice in (case.provider.failure_advice(limits), case.provider.failure_advice(None)):
        assert advice is None or "\n" not in advice


def test_a_check_is_one_sentence_and_starts_nothing(case: Case, apis: SimulatedApis) -> None:
    sentence = case.provider.check()
    assert sentence.startswith(f"{case.provider.settings.name}: ")
    assert "\n" not in sentence
    assert apis.request_count(RequestKind.START_BUILD) == apis.request_count(RequestKind.START_JOB) == 0


def test_the_base_url_and_the_authorization_header_fit_the_settings(case: Case) -> None:
    settings = case.provider.settings
    assert case.provider.base_url(settings).startswith(settings.endpoint)
    assert not case.provider.base_url(settings).endswith("/")
    (value,) = case.provider.authorization(settings, ApiKey("key")).values()
    assert "key" in value
