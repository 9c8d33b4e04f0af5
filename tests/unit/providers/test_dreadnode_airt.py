"""Dreadnode AIRT: how its responses are read, without a network."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime

import pytest

from courier.config.secrets import ApiKey
from courier.errors import (
    BuildNotFoundError,
    CourierError,
    EmptyReportError,
    RequestUncertainError,
    SettingsError,
    SourceExhaustedError,
    SourceProtocolError,
    SourceRejectedError,
    SourceThrottledError,
    SourceUnauthorizedError,
    SourceUnavailableError,
)
from courier.models import BuildRef, BuildRequest, BuildStatus
from courier.observability.provider_events import ProviderCallbacks, UnexpectedKind, UnexpectedValue
from courier.providers import parse_source
from courier.providers.dreadnode_airt import DreadnodeAirt, DreadnodeAirtSettings
from tests.unit.providers.fake_api import FakeApi, Reply, Step

JOB = "2489e9ad-2ee2-8e00-8ec9-32d5f69181c0"
SCOPE = "acme/main/chatbot"
REF = BuildRef(source="red-team", scope=SCOPE, build_id=JOB)
PRESET = {"preset": {"format": "pdf", "sections": ["risk_score_metrics"]}}
REQUEST = BuildRequest(source="red-team", report={"template_id": "t"})
URL = "https://bucket.s3.us-east-1.amazonaws.com/airt/x.pdf?X-Amz-Expires=3600&X-Amz-Signature=hushhush"
COMPLETED = {
    "job_id": JOB,
    "status": "completed",
    "created_at": "2026-04-15T12:00:00Z",
    "completed_at": "2026-04-15T12:00:42Z",
    "error_message": None,
    "file_size_bytes": 183204,
    "presigned_url": URL,
    "url_expires_at": "2026-04-15T13:00:42Z",
}
NOT_FOUND = {"code": 404, "detail": "job not found", "type": "not_found"}
NOTHING_EMPTY = Reply(json={"sections": []})


def settings(**more: object) -> DreadnodeAirtSettings:
    document = {
        "name": "red-team",
        "provider": "dreadnode_airt",
        "endpoint": "https://app.dreadnode.io",
        "secret": "build-courier/dreadnode",
        "organization": "acme",
        "workspace": "main",
        "project": "chatbot",
        **more,
    }
    parsed = parse_source(document)
    assert isinstance(parsed, DreadnodeAirtSettings)
    return parsed


def provider(*steps: Step, unexpected: list[UnexpectedValue] | None = None, **more: object) -> DreadnodeAirt:
    reported = [] if unexpected is None else unexpected
    return DreadnodeAirt(
        settings(**more), FakeApi(*steps).client, ProviderCallbacks(on_unexpected_value=reported.append)
    )


def test_a_completed_job_is_a_build_with_an_artifact() -> None:
    build = provider(Reply(json=COMPLETED)).get_build(REF)
    assert (build.status, build.has_artifact, build.artifact_bytes) == (BuildStatus.SUCCEEDED, True, 183204)
    assert build.completed_at == datetime(2026, 4, 15, 12, 0, 42, tzinfo=UTC)
    assert build.error_message is None


def test_the_example_of_the_documentation_is_read() -> None:
    build = provider(Reply(json={"file_size_bytes": 0, "status": "queued"})).get_build(REF)
    assert (build.ref, build.status, build.has_artifact, build.artifact_bytes) == (REF, BuildStatus.QUEUED, False, None)


@pytest.mark.parametrize("size", [0, None, -1, True, "many", 1e300, [], float(2**60)])
def test_a_size_that_cannot_be_is_unknown(size: object) -> None:
    assert provider(Reply(json={**COMPLETED, "file_size_bytes": size})).get_build(REF).artifact_bytes is None


def test_a_failed_job_carries_its_error_message() -> None:
    job = {**COMPLETED, "status": "failed", "error_message": "renderer\nfailed \x1b[31m", "presigned_url": None}
    build = provider(Reply(json=job)).get_build(REF)
    assert (build.status, build.error_message, build.has_artifact) == (
        BuildStatus.FAILED,
        "renderer failed [31m",
        False,
    )


def test_an_unknown_status_waits_and_is_reported() -> None:
    unexpected: list[UnexpectedValue] = []
    job = {**COMPLETED, "status": "expired\n", "presigned_url": None}
    build = provider(Reply(json=job), unexpected=unexpected).get_build(REF)
    assert (build.status, build.provider_status, build.has_artifact) == (BuildStatus.UNKNOWN, "expired", False)
    assert [value.detail for value in unexpected] == ["expired"]


def test_a_link_proves_a_report_whatever_the_status_is_called() -> None:
    build = provider(Reply(json={**COMPLETED, "status": "done"})).get_build(REF)
    assert (build.status, build.provider_status, build.has_artifact) == (BuildStatus.UNKNOWN, "done", True)


def test_a_known_status_is_not_repeated() -> None:
    assert provider(Reply(json=COMPLETED)).get_build(REF).provider_status is None


def test_a_job_whose_times_are_unexpected_is_read_and_reported() -> None:
    unexpected: list[UnexpectedValue] = []
    job = {**COMPLETED, "created_at": "soon", "completed_at": "2026-04-15T12:00:42", "url_expires_at": "then"}
    build = provider(Reply(json=job), unexpected=unexpected).get_build(REF)
    assert (build.status, build.created_at) == (BuildStatus.SUCCEEDED, None)
    assert [(value.kind, value.detail) for value in unexpected] == [
        (UnexpectedKind.UNREADABLE_TIME, "created_at: soon"),
        (UnexpectedKind.NAIVE_TIME, "completed_at: 9999-99-99T99:99:99"),
    ]


def test_a_job_id_is_compared_without_case() -> None:
    job = provider(Reply(json={**COMPLETED, "job_id": JOB.upper()}))
    assert job.get_build(REF).ref == REF
    started = provider(NOTHING_EMPTY, Reply(202, json={"job_id": JOB.upper()})).start_build(REQUEST)
    assert started.ref == REF


@pytest.mark.parametrize(
    "text", [b'"status": "queued", "status": "completed"', b'"presigned_url": 1, "presigned_url": 2']
)
def test_a_field_that_stands_twice_with_two_values_is_a_protocol_error(text: bytes) -> None:
    body = b'{"status": "completed", ' + text + b"}"
    with pytest.raises(SourceProtocolError):
        provider(Reply(body=body)).get_build(REF)


@pytest.mark.parametrize(
    "document",
    [{"detail": "Not Found"}, {"message": "no Route matched with those values"}, {"code": 404}, [NOT_FOUND], None],
)
def test_a_404_that_is_not_in_the_platforms_form_is_a_gateways(document: object) -> None:
    with pytest.raises(SourceUnavailableError, match="a gateway responded 404"):
        provider(Reply(404, json=document)).get_build(REF)
    with pytest.raises(SourceUnavailableError, match="a gateway responded 404"):
        provider(NOTHING_EMPTY, Reply(404, json=document)).start_build(REQUEST)


@pytest.mark.parametrize("more", [{}, {"code": 404}, {"type": "not_found"}])
def test_a_404_in_the_platforms_form_is_about_the_job(more: dict[str, object]) -> None:
    with pytest.raises(BuildNotFoundError):
        provider(Reply(404, json=NOT_FOUND | more)).get_build(REF)


@pytest.mark.parametrize(
    "reply", [Reply(404, body=b"<html>404</html>"), Reply(404, json={"detail": "Not Found"}), Reply(405)]
)
def test_a_platform_without_the_dry_run_may_say_so_in_any_form(reply: Reply) -> None:
    started = provider(reply, Reply(202, json={"job_id": JOB})).start_build(REQUEST)
    assert started.ref == REF


@pytest.mark.parametrize("document", [{}, [], None, {"job_id": JOB}, {**COMPLETED, "job_id": "other"}])
def test_a_response_about_no_or_another_job_is_a_protocol_error_without_the_link(document: object) -> None:
    with pytest.raises(SourceProtocolError) as caught:
        provider(Reply(json=document)).get_build(REF)
    assert "hush" not in "".join(traceback.format_exception(caught.value))


def test_a_wrong_field_beside_the_link_does_not_show_the_link() -> None:
    with pytest.raises(SourceProtocolError) as caught:
        provider(Reply(json={**COMPLETED, "status": ["completed"], "job_id": [URL]})).get_build(REF)
    assert "hush" not in "".join(traceback.format_exception(caught.value))


def test_an_artifact_is_located_anew_and_hides_its_link() -> None:
    link = provider(Reply(json=COMPLETED)).locate_artifact(REF)
    assert link.url.reveal() == URL
    assert "hush" not in repr(link)
    assert (link.size_bytes, link.filename) == (183204, f"{JOB}.pdf")
    assert link.expires_at == datetime(2026, 4, 15, 13, 0, 42, tzinfo=UTC)


@pytest.mark.parametrize(
    ("path", "suffix"),
    [
        ("x.HTML", ".html"),
        ("x.exe", ".pdf"),
        ("x", ".pdf"),
        ("x.json/", ".json"),
        ("%2e%2e/x.md", ".md"),
        ("[", ".pdf"),
    ],
)
def test_the_suffix_is_one_of_a_report(path: str, suffix: str) -> None:
    job = {**COMPLETED, "presigned_url": f"https://[::1]/{path}?sig=x"}
    assert provider(Reply(json=job)).locate_artifact(REF).filename == f"{JOB}{suffix}"


def test_a_malformed_link_is_left_for_the_copy_to_refuse() -> None:
    link = provider(Reply(json={**COMPLETED, "presigned_url": "https://[broken/x.html?sig=hushhush"})).locate_artifact(
        REF
    )
    assert link.filename == f"{JOB}.pdf"
    assert "hush" not in repr(link)


@pytest.mark.parametrize(
    "change", [{"presigned_url": None}, {"presigned_url": 5}, {"status": "queued", "presigned_url": ""}]
)
def test_no_link_is_a_protocol_error(change: dict[str, object]) -> None:
    with pytest.raises(SourceProtocolError, match="no link"):
        provider(Reply(json={**COMPLETED, **change})).locate_artifact(REF)


def test_a_start_makes_a_dry_run_first() -> None:
    fake = FakeApi(
        NOTHING_EMPTY, Reply(202, json={"job_id": JOB, "status": "queued", "created_at": "2026-04-15T12:00:00Z"})
    )
    request = BuildRequest(source="red-team", report={"preset": {"format": "pdf"}})
    build = DreadnodeAirt(settings(), fake.client).start_build(request)
    assert (build.ref, build.status, build.has_artifact) == (REF, BuildStatus.QUEUED, False)
    base = "/org/acme/ws/main/airt/projects/chatbot/reports"
    assert [sent.path for sent in fake.sent] == [f"{base}/preflight", f"{base}/build"]
    assert [sent.body for sent in fake.sent] == [{"preset": {"format": "pdf"}}] * 2


def test_a_dry_run_with_empty_sections_starts_nothing() -> None:
    fake = FakeApi(Reply(json={"sections": [{"key": None, "title": "Findings"}]}))
    with pytest.raises(EmptyReportError) as caught:
        DreadnodeAirt(settings(), fake.client).start_build(REQUEST)
    assert caught.value.sections == ("Findings",)
    assert len(fake.sent) == 1


@pytest.mark.parametrize("status", [404, 405, 400])
def test_a_platform_without_dry_runs_still_builds(status: int) -> None:
    red_team = provider(Reply(status), Reply(202, json={"job_id": JOB, "status": "queued"}))
    assert red_team.start_build(REQUEST).ref == REF


def test_a_refused_key_stops_before_the_build() -> None:
    fake = FakeApi(Reply(403))
    with pytest.raises(SourceUnauthorizedError):
        DreadnodeAirt(settings(), fake.client).start_build(REQUEST)
    assert len(fake.sent) == 1


VALIDATION = {
    "code": 422,
    "detail": "Validation error",
    "type": "validation_error",
    "errors": [{"loc": ["body", "preset", "sections"], "msg": "Field required", "type": "missing"}],
}


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (Reply(422, json={"error": "empty_sections", "sections": [{"key": "a", "title": "A"}]}), EmptyReportError, "a"),
        (Reply(422, json=VALIDATION), SourceRejectedError, "body.preset.sections: Field required"),
        (Reply(426, json={"code": 426, "detail": "Upgrade to 3.0"}), SourceRejectedError, "Upgrade to 3.0"),
        (Reply(429, json={"code": 429, "detail": "Out of Credits"}), SourceExhaustedError, "Out of Credits"),
        (Reply(429, json={"code": 429, "detail": "Slow down"}), SourceThrottledError, "Slow down"),
        (Reply(409, json={"code": 409, "detail": "Taken", "type": "exists"}), SourceRejectedError, r"Taken \(exists\)"),
        (Reply(504, body=b"<html>504 Gateway Time-out</html>"), RequestUncertainError, "504 Gateway Time-out"),
        (Reply(202, json={"status": "queued"}), RequestUncertainError, "names no job"),
        (Reply(202, json={"job_id": "a/b", "presigned_url": URL}), RequestUncertainError, "names no job"),
    ],
)
def test_a_refused_start_says_why(reply: Reply, error: type[CourierError], words: str) -> None:
    with pytest.raises(CourierError, match=words) as caught:
        provider(NOTHING_EMPTY, reply).start_build(REQUEST)
    assert type(caught.value) is error
    assert "hush" not in "".join(traceback.format_exception(caught.value))


def test_exhausted_credits_are_not_retried() -> None:
    fake = FakeApi(Reply(429, json={"detail": "insufficient credits"}))
    with pytest.raises(SourceExhaustedError):
        DreadnodeAirt(settings(), fake.client).get_build(REF)
    assert len(fake.sent) == 1


@pytest.mark.parametrize(
    ("endpoint", "base"),
    [
        ("https://h", "https://h/api/v1"),
        ("https://h/", "https://h/api/v1"),
        ("https://h/api/v1/", "https://h/api/v1"),
        ("https://h/api", "https://h/api"),
        ("https://h/proxy", "https://h/proxy/api/v1"),
    ],
)
def test_the_base_url_ends_where_the_vendors_client_ends(endpoint: str, base: str) -> None:
    assert DreadnodeAirt.base_url(settings(endpoint=endpoint)) == base


@pytest.mark.parametrize("text", ["dn_key_1", "Bearer dn_key_1", "bearer  dn_key_1"])
def test_the_operator_chooses_the_header(text: str) -> None:
    assert DreadnodeAirt.authorization(settings(), ApiKey(text)) == {"Authorization": "Bearer dn_key_1"}
    assert DreadnodeAirt.authorization(settings(auth="x-api-key"), ApiKey(text)) == {"X-API-Key": "dn_key_1"}
    with pytest.raises(SettingsError, match="build-courier/dreadnode"):
        DreadnodeAirt.authorization(settings(), ApiKey("Bearer"))


def test_names_are_quoted() -> None:
    fake = FakeApi(Reply(404, json=NOT_FOUND))
    with pytest.raises(BuildNotFoundError):
        DreadnodeAirt(settings(project="a b?c"), fake.client).get_build(REF)
    assert fake.sent[0].path == f"/org/acme/ws/main/airt/projects/a%20b%3Fc/reports/build/{JOB}"


@pytest.mark.parametrize(
    "report",
    [
        {},
        {"preset": {}, "template_id": "x"},
        {"preset": "x"},
        {"template_id": " "},
        {"template_id": 5},
        {"presets": {}},
    ],
)
def test_a_report_names_exactly_one_way(report: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=r"^report: "):
        provider(Reply()).start_build(BuildRequest.model_validate({"source": "red-team", "report": report}))
    with pytest.raises(SettingsError, match=r"^requests\[0\].report: "):
        settings(requests=[{"report": report}])


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"data_model": "x"}, "data_model"), ({"build_id": JOB, "scope": "other"}, "scope")],
)
def test_a_request_that_does_not_fit_names_its_field(fields: dict[str, str], field: str) -> None:
    with pytest.raises(SettingsError, match=f"^{field}:"):
        provider(Reply()).request_scope(BuildRequest.model_validate({"source": "red-team", **fields}))


def test_the_check_starts_nothing() -> None:
    assert "to verify" in provider(Reply(404, json=NOT_FOUND)).check()
    with pytest.raises(SourceUnavailableError, match="a gateway responded 404"):
        provider(Reply(404, body=b"404 page not found")).check()
    assert "can be built" in provider(NOTHING_EMPTY, requests=[{"report": PRESET}]).check()
    empty = Reply(json={"sections": [{"key": "risk"}]})
    assert "would be empty in sections risk" in provider(empty, requests=[{"report": PRESET}]).check()
    with pytest.raises(SourceUnauthorizedError):
        provider(Reply(401)).check()
