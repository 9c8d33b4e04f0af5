"""Treasure Insights: how its responses are read, without a network."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from courier.config.secrets import ApiKey
from courier.errors import RequestUncertainError, SettingsError, SourceProtocolError, SourceRejectedError
from courier.models import AccountLimits, BuildRef, BuildRequest, BuildStatus
from courier.observability.provider_events import ProviderCallbacks, UnexpectedKind, UnexpectedValue
from courier.providers import parse_source
from courier.providers.treasure_insights import TreasureInsights, TreasureInsightsSettings
from tests.unit.providers.fake_api import FakeApi, Reply

MODEL = "5d1d4f1c-1111-4222-8333-444444444444"
BUILD = "0b0f6d0e-5a57-4a53-9a0a-3f1f7a1c0001"
REF = BuildRef(source="insights", scope=MODEL, build_id=BUILD)
DONE = {
    "oid": BUILD,
    "buildType": "full",
    "status": "done",
    "created": "2026-01-05T08:36:21.749Z",
    "started": "2026-01-05T08:36:21.754Z",
    "completed": "2026-01-05T08:37:01.224Z",
}


def settings(**more: object) -> TreasureInsightsSettings:
    document = {
        "name": "insights",
        "provider": "treasure_insights",
        "endpoint": "https://api.treasuredata.com",
        "secret": "build-courier/treasure-data",
        **more,
    }
    parsed = parse_source(document)
    assert isinstance(parsed, TreasureInsightsSettings)
    return parsed


def provider(fake: FakeApi, unexpected: list[UnexpectedValue] | None = None, **more: object) -> TreasureInsights:
    reported = [] if unexpected is None else unexpected
    return TreasureInsights(settings(**more), fake.client, ProviderCallbacks(on_unexpected_value=reported.append))


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("pending", BuildStatus.QUEUED),
        ("queued", BuildStatus.QUEUED),
        ("building", BuildStatus.RUNNING),
        ("done", BuildStatus.SUCCEEDED),
        ("failed", BuildStatus.FAILED),
        ("canceled", BuildStatus.CANCELED),
        ("cancelled", BuildStatus.CANCELED),
        (" DONE ", BuildStatus.SUCCEEDED),
        ("sleeping", BuildStatus.UNKNOWN),
        ("", BuildStatus.UNKNOWN),
    ],
)
def test_every_status_is_mapped_and_unknown_ones_wait(word: str, status: BuildStatus) -> None:
    build = provider(FakeApi(Reply(json={**DONE, "status": word}))).get_build(REF)
    assert build.status is status
    assert not build.has_artifact


def test_both_notations_of_times_are_the_same_build() -> None:
    other = {name: value.replace("Z", "+00:00") for name, value in DONE.items()}
    first = provider(FakeApi(Reply(json=other))).get_build(REF)
    (second,) = provider(FakeApi(Reply(json=[DONE]))).list_builds(MODEL)
    assert first == second
    assert first.completed_at == datetime(2026, 1, 5, 8, 37, 1, 224_000, tzinfo=UTC)


def test_times_may_be_null_absent_or_malformed() -> None:
    document = {"oid": BUILD, "status": "pending", "created": None, "started": "soon"}
    build = provider(FakeApi(Reply(json=document))).get_build(REF)
    assert (build.created_at, build.started_at, build.completed_at) == (None, None, None)


@pytest.mark.parametrize(
    "entry",
    [
        None,
        7,
        "text",
        [],
        {},
        {"oid": BUILD},
        {"oid": BUILD, "status": 5},
        {"status": "done"},
        {"oid": "../x", "status": "done"},
        {"oid": "..", "status": "done"},
        {"oid": "a\nb", "status": "done"},
        {"oid": "x" * 201, "status": "done"},
        {"oid": "\ud800", "status": "done"},
        {"oid": 12, "status": "done"},
    ],
)
def test_one_bad_entry_hides_no_other_and_is_reported_once(entry: object) -> None:
    unexpected: list[UnexpectedValue] = []
    insights = provider(FakeApi(Reply(json=[entry, DONE, entry])), unexpected)
    assert [build.ref for build in insights.list_builds(MODEL)] == [REF]
    insights.list_builds(MODEL)
    assert [value.kind for value in unexpected] == [UnexpectedKind.MALFORMED_ENTRY]


def test_each_unknown_status_is_reported_once() -> None:
    unexpected: list[UnexpectedValue] = []
    entries = [{**DONE, "oid": str(number), "status": "napping\x00"} for number in range(3)]
    insights = provider(FakeApi(Reply(json=[*entries, {**DONE, "status": "x" * 500}])), unexpected)
    insights.list_builds(MODEL)
    assert [(value.source, value.kind) for value in unexpected] == [("insights", UnexpectedKind.UNKNOWN_STATUS)] * 2
    assert unexpected[0].detail == "napping"
    assert len(unexpected[1].detail) == 40


def test_endless_unexpected_values_are_not_all_reported() -> None:
    unexpected: list[UnexpectedValue] = []
    entries = [{**DONE, "status": f"word {number}"} for number in range(1_000)]
    provider(FakeApi(Reply(json=entries)), unexpected).list_builds(MODEL)
    assert len(unexpected) == 100


@pytest.mark.parametrize("document", [{}, None, "text", {"builds": [DONE]}])
def test_anything_but_a_list_is_a_protocol_error(document: object) -> None:
    with pytest.raises(SourceProtocolError, match="insights: list_builds returned a document that is not a list"):
        provider(FakeApi(Reply(json=document))).list_builds(MODEL)


@pytest.mark.parametrize("document", [[DONE], {}, {**DONE, "oid": "another"}, {**DONE, "status": None}])
def test_a_response_about_no_or_another_build_is_a_protocol_error(document: object) -> None:
    with pytest.raises(SourceProtocolError, match="insights: get_build returned"):
        provider(FakeApi(Reply(json=document))).get_build(REF)


def test_all_models_are_listed_and_bad_ones_left_out() -> None:
    fake = FakeApi(Reply(json=[{"oid": MODEL, "name": 7}, {"oid": None}, {"name": "x"}, {"oid": MODEL}, {"oid": "b"}]))
    assert provider(fake).scopes() == [MODEL, "b"]
    assert fake.sent[0].path == "/reporting/datamodels"


def test_configured_models_cost_no_request() -> None:
    fake = FakeApi(Reply(500))
    assert provider(fake, data_models=["b", "a", "b"]).scopes() == ("b", "a")
    assert fake.sent == []


def test_identifiers_are_quoted_and_cannot_leave_their_path() -> None:
    fake = FakeApi(Reply(json=[]))
    provider(fake).list_builds("a/../b?c#d e")
    assert fake.sent[0].path == "/reporting/datamodels/a%2F..%2Fb%3Fc%23d%20e/builds"
    with pytest.raises(SettingsError):
        provider(fake).get_build(BuildRef(source="insights", scope="..", build_id="x"))


def test_a_reference_too_long_for_the_ledger_is_left_out() -> None:
    assert provider(FakeApi(Reply(json=[{**DONE, "oid": "\U0001f600" * 200}]))).list_builds("\U0001f600" * 400) == []


def test_a_start_sends_the_documented_field_in_camel_case() -> None:
    fake = FakeApi(Reply(201, json={"oid": BUILD, "status": "pending", "created": DONE["created"]}))
    build = provider(fake, build_type="by_table").start_build(BuildRequest(source="insights", data_model=MODEL))
    assert (build.ref, build.status) == (REF, BuildStatus.QUEUED)
    assert build.created_at is not None
    assert fake.sent[0].body == {"buildType": "by_table"}
    assert fake.sent[0].path == f"/reporting/datamodels/{MODEL}/builds"


def test_a_start_needs_no_more_than_the_oid() -> None:
    build = provider(FakeApi(Reply(json={"oid": BUILD}))).start_build(BuildRequest(source="insights", data_model=MODEL))
    assert build.status is BuildStatus.QUEUED


@pytest.mark.parametrize("document", [{}, [], None, {"oid": "a/b"}, {"oid": None}, "text"])
def test_a_start_whose_response_names_no_build_is_uncertain(document: object) -> None:
    with pytest.raises(RequestUncertainError):
        provider(FakeApi(Reply(json=document))).start_build(BuildRequest(source="insights", data_model=MODEL))


@pytest.mark.parametrize(
    ("document", "limits"),
    [
        ({"build_size": 8, "query_size": 4}, AccountLimits(build_size_gb=8, query_size_gb=4)),
        ({"build_size": "8.5", "other": None}, AccountLimits(build_size_gb=8.5)),
        ({"limits": {"build_size": 8}, "x": {"query_size": "4"}}, AccountLimits(build_size_gb=8, query_size_gb=4)),
        ({"a": {"b": {"build_size": 8}}}, None),
        ({"build_size": None, "query_size": "many"}, None),
        ([{"build_size": 8}], None),
        (None, None),
    ],
)
def test_limits_are_found_at_either_level(document: object, limits: AccountLimits | None) -> None:
    fake = FakeApi(Reply(json=document))
    assert provider(fake, account_id=1234).account_limits() == limits
    assert fake.sent[0].path == "/reporting/1234"


def test_without_an_account_no_request_is_made_for_limits() -> None:
    fake = FakeApi(Reply(500))
    assert provider(fake).account_limits() is None
    assert fake.sent == []


def test_an_unknown_account_is_refused() -> None:
    with pytest.raises(SourceRejectedError, match="insights: account_limits returned 404"):
        provider(FakeApi(Reply(404)), account_id="9").account_limits()


def test_the_advice_carries_the_limits() -> None:
    insights = provider(FakeApi(Reply()))
    advice = insights.failure_advice(AccountLimits(build_size_gb=8, query_size_gb=4.5))
    assert "8 GB limit" in advice
    assert "4.5 GB" in advice
    assert "account's build size limit" in insights.failure_advice(None)
    assert "query size limit" in insights.query_advice()


@pytest.mark.parametrize("text", ["1/key", "TD1 1/key", "td1   1/key"])
def test_the_key_may_carry_its_prefix(text: str) -> None:
    assert TreasureInsights.authorization(settings(), ApiKey(text)) == {"Authorization": "TD1 1/key"}


def test_a_prefix_alone_is_no_key() -> None:
    with pytest.raises(SettingsError, match="build-courier/treasure-data"):
        TreasureInsights.authorization(settings(), ApiKey("TD1"))


def test_the_check_names_configured_models_that_the_key_cannot_see() -> None:
    models = Reply(json=[{"oid": "a"}, {"oid": "b"}])
    assert provider(FakeApi(models)).check() == "insights: the API key works and can see 2 data models"
    assert provider(FakeApi(models), data_models=["a", "z"]).check().endswith("but not z")
    assert provider(FakeApi(models), data_models=["a"]).check().endswith("all configured ones among them")


@pytest.mark.parametrize(
    ("request_fields", "scope"),
    [
        ({"data_model": MODEL}, MODEL),
        ({"data_model": MODEL, "scope": MODEL}, MODEL),
        ({"build_id": BUILD, "scope": "x"}, "x"),
        ({"build_id": BUILD}, "only"),
    ],
)
def test_a_request_belongs_to_its_data_model(request_fields: dict[str, str], scope: str) -> None:
    insights = provider(FakeApi(Reply()), data_models=["only"])
    assert insights.request_scope(BuildRequest.model_validate({"source": "insights", **request_fields})) == scope


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        ({"report": {"template_id": "x"}}, "report"),
        ({"data_model": MODEL, "scope": "x"}, "scope"),
        ({"build_id": BUILD}, "scope"),
    ],
)
def test_a_request_that_does_not_fit_names_its_field(request_fields: dict[str, object], field: str) -> None:
    request = BuildRequest.model_validate({"source": "insights", **request_fields})
    with pytest.raises(SettingsError, match=f"^{field}:"):
        provider(FakeApi(Reply())).request_scope(request)
