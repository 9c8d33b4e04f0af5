"""Treasure Insights: how its responses are read, without a network."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from courier.config.secrets import ApiKey
from courier.errors import (
    BuildNotFoundError,
    RequestUncertainError,
    SettingsError,
    SourceProtocolError,
    SourceRejectedError,
    SourceUnavailableError,
)
from courier.models import AccountLimits, BuildRef, BuildRequest, BuildStatus
from courier.observability.provider_events import ProviderCallbacks, UnexpectedKind, UnexpectedValue
from courier.providers import parse_source
from courier.providers.treasure_insights import TreasureInsights, TreasureInsightsSettings
from tests.unit.providers.fake_api import START, FakeApi, Reply

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


def vendors_text(text: str) -> object:
    return text.replace("T", " ").replace("Z", " UTC")


def epoch_milliseconds(text: str) -> object:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


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
    assert build.times_unreadable


def test_times_that_are_unexpected_are_reported_once_for_each_form() -> None:
    unexpected: list[UnexpectedValue] = []
    entries = [
        {**DONE, "oid": str(number), "started": "2026-01-05T08:36", "completed": f"{number} minutes ago"}
        for number in range(9)
    ]
    builds = provider(FakeApi(Reply(json=entries)), unexpected).list_builds(MODEL)
    assert len(builds) == 9
    assert all(build.times_unreadable for build in builds)
    assert [(value.kind, value.detail) for value in unexpected] == [
        (UnexpectedKind.NAIVE_TIME, "started: 9999-99-99T99:99"),
        (UnexpectedKind.UNREADABLE_TIME, "completed: 9 minutes ago"),
    ]


@pytest.mark.parametrize(("ahead", "reported"), [(timedelta(minutes=29), False), (timedelta(hours=1), True)])
def test_a_time_ahead_of_our_clock_by_hours_is_kept_and_reported(ahead: timedelta, reported: bool) -> None:
    unexpected: list[UnexpectedValue] = []
    entry = {**DONE, "completed": (START + ahead).isoformat()}
    (build,) = provider(FakeApi(Reply(json=[entry])), unexpected).list_builds(MODEL)
    assert (build.completed_at, build.times_unreadable) == (START + ahead, False)
    expected = [(UnexpectedKind.FUTURE_TIME, "completed is in the future")] if reported else []
    assert [(value.kind, value.detail) for value in unexpected] == expected


@pytest.mark.parametrize("write", [vendors_text, epoch_milliseconds])
def test_the_forms_of_the_vendors_other_api_are_the_same_build(write: Callable[[str], object]) -> None:
    other = {name: write(value) if value.endswith("Z") else value for name, value in DONE.items()}
    unexpected: list[UnexpectedValue] = []
    assert provider(FakeApi(Reply(json=other)), unexpected).get_build(REF) == provider(
        FakeApi(Reply(json=DONE))
    ).get_build(REF)
    assert unexpected == []


def test_an_unknown_status_is_kept_in_the_providers_words() -> None:
    build = provider(FakeApi(Reply(json={**DONE, "status": "archived " + "x" * 99}))).get_build(REF)
    assert build.status is BuildStatus.UNKNOWN
    assert build.provider_status is not None
    assert build.provider_status.startswith("archived x")
    assert len(build.provider_status) == 40
    assert provider(FakeApi(Reply(json=DONE))).get_build(REF).provider_status is None


def test_ids_are_compared_without_case_and_stored_in_lower_case() -> None:
    capitals = [{**DONE, "oid": BUILD.upper()}]
    fake = FakeApi(Reply(json=[{"oid": MODEL.upper()}]), Reply(json=capitals), Reply(json={"oid": BUILD.upper()}))
    insights = provider(fake)
    (scope,) = insights.scopes()
    (build,) = insights.list_builds(scope)
    started = insights.start_build(BuildRequest(source="insights", data_model=MODEL.upper()))
    assert scope == MODEL
    assert build.ref == started.ref == REF
    assert build.spelled_ref == BuildRef(source="insights", scope=MODEL.upper(), build_id=BUILD.upper())
    assert [sent.path for sent in fake.sent[1:]] == [f"/reporting/datamodels/{MODEL}/builds"] * 2


def test_configured_data_models_are_compared_without_case() -> None:
    insights = provider(FakeApi(Reply(json=[DONE])), data_models=[MODEL.upper(), MODEL, "Not-A-UUID"])
    assert insights.scopes() == [MODEL, "Not-A-UUID"]
    (build,) = insights.list_builds(MODEL)
    assert (build.ref, build.spelled_ref) == (REF, BuildRef(source="insights", scope=MODEL.upper(), build_id=BUILD))
    assert insights.request_scope(BuildRequest(source="insights", data_model=MODEL.upper(), scope=MODEL)) == MODEL
    assert provider(FakeApi(Reply(json=[{"oid": MODEL}])), data_models=[MODEL.upper()]).check().endswith("among them")


def test_a_build_that_was_stored_in_capitals_keeps_its_name_when_it_is_polled() -> None:
    stored = BuildRef(source="insights", scope=MODEL.upper(), build_id=BUILD.upper())
    build = provider(FakeApi(Reply(json=DONE))).get_build(stored)
    assert (build.ref, build.spelled_ref) == (stored, None)
    (listed,) = provider(FakeApi(Reply(json=[DONE]))).list_builds(stored.scope)
    assert (listed.ref, listed.spelled_ref) == (REF, stored.model_copy(update={"build_id": BUILD}))


def test_neither_the_spelling_nor_unreadable_times_go_on_the_wire() -> None:
    entry = {**DONE, "oid": BUILD.upper(), "created": "soon"}
    (build,) = provider(FakeApi(Reply(json=[entry]))).list_builds(MODEL)
    assert {"spelled_ref", "times_unreadable"}.isdisjoint(build.model_dump())


@pytest.mark.parametrize(
    "document", [{"message": "no Route matched with those values"}, {"detail": "Not Found"}, {}, [], None]
)
def test_a_404_that_is_not_in_the_vendors_form_is_a_gateways(document: object) -> None:
    insights = provider(FakeApi(Reply(404, json=document)))
    request = BuildRequest(source="insights", data_model=MODEL)
    attempts: list[Callable[[], object]] = [
        lambda: insights.get_build(REF),
        lambda: insights.list_builds(MODEL),
        lambda: insights.cancel_build(REF),
        lambda: insights.start_build(request),
    ]
    for attempt in attempts:
        with pytest.raises(SourceUnavailableError, match="a gateway responded 404"):
            attempt()


@pytest.mark.parametrize("document", [{"error": "Not found"}, {"text": "x"}, {"message": "x", "status_code": 404}])
def test_a_404_in_the_vendors_form_is_about_the_build(document: object) -> None:
    with pytest.raises(BuildNotFoundError):
        provider(FakeApi(Reply(404, json=document))).get_build(REF)
    with pytest.raises(SourceRejectedError):
        provider(FakeApi(Reply(404, json=document))).start_build(BuildRequest(source="insights", data_model=MODEL))


def test_a_next_page_is_read_or_reported() -> None:
    unexpected: list[UnexpectedValue] = []
    second = {**DONE, "oid": "second"}
    linked = Reply(json=[DONE], headers={"Link": '<?page=2>; rel="next"'})
    insights = provider(
        FakeApi(linked, Reply(json=[second]), Reply(json=[DONE], headers={"X-Total-Count": "2"})), unexpected
    )
    assert [build.ref.build_id for build in insights.list_builds(MODEL)] == [BUILD, "second"]
    assert unexpected == []
    insights.list_builds(MODEL)
    insights.list_builds(MODEL)
    assert [(value.kind, value.detail) for value in unexpected] == [
        (UnexpectedKind.UNREAD_PAGE, "list_builds: 1 entries of 2 that its headers announce")
    ]


def test_an_entry_whose_id_stands_twice_hides_no_other() -> None:
    unexpected: list[UnexpectedValue] = []
    body = b'[{"oid": "a", "oid": "b", "status": "done"}, {"oid": "c", "status": "done", "x": NaN, "y": 1, "y": 2}]'
    builds = provider(FakeApi(Reply(body=body)), unexpected).list_builds(MODEL)
    assert [build.ref.build_id for build in builds] == ["c"]
    assert [value.kind for value in unexpected] == [UnexpectedKind.MALFORMED_ENTRY]


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
    assert provider(fake, data_models=["b", "a", "b"]).scopes() == ["b", "a"]
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
        provider(FakeApi(Reply(404, json={"error": "account not found"})), account_id="9").account_limits()


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
