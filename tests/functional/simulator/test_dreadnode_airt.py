from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from local.simulator import LinkPolicy, Project, ProviderName, RequestKind
from local.simulator.messages import JsonObject, JsonValue

from .conftest import EMPTY_TEMPLATE, JOB, PRESET, PROJECT, PROJECT_UUID, REPORT_BYTES, TEMPLATE, Client, scenario


def test_a_job_goes_its_way_on_the_clock(client: Client) -> None:
    started = client.airt("POST", "/build", json=PRESET)
    job_id = started.json()["job_id"]

    def status_at(age_seconds: float) -> str:
        client.clock.advance(age_seconds)
        return str(client.airt("GET", f"/build/{job_id}").json()["status"])

    assert started.status_code == 202
    assert started.json() == {
        "job_id": job_id,
        "status": "queued",
        "created_at": "2026-04-15T12:00:00Z",
        "completed_at": None,
        "error_message": None,
        "file_size_bytes": 0,
        "presigned_url": None,
        "url_expires_at": None,
    }
    assert [status_at(1.9), status_at(0.1), status_at(7.9), status_at(0.1)] == [
        "queued",
        "in_progress",
        "in_progress",
        "completed",
    ]


def test_a_completed_job_carries_a_link_and_its_size(client: Client) -> None:
    job = client.airt("GET", f"/build/{JOB}").json()

    query = parse_qs(urlsplit(job["presigned_url"]).query)
    assert urlsplit(job["presigned_url"]).hostname == client.providers.artifact_host
    assert query["X-Amz-Expires"] == ["3600"]
    assert query["X-Amz-SignedHeaders"] == ["host"]
    assert job["url_expires_at"] == "2026-04-15T13:00:00Z"
    assert job["file_size_bytes"] == REPORT_BYTES


def test_a_failed_job_says_why_and_carries_nothing(client: Client) -> None:
    client.airt("POST", "/build", json=PRESET)
    job_id = client.airt("POST", "/build", json=PRESET).json()["job_id"]
    client.clock.advance(60)

    job = client.airt("GET", f"/build/{job_id}").json()

    assert (job["status"], job["error_message"]) == ("failed", "renderer failed")
    assert (job["file_size_bytes"], job["presigned_url"], job["url_expires_at"]) == (0, None, None)


def test_each_get_mints_another_link_even_within_a_second(client: Client) -> None:
    first, second = client.link(), client.link()

    assert first != second
    assert client.fetch(first).content == client.fetch(second).content


def test_a_stored_link_is_the_same_until_it_dies(simulate: Callable[..., Client]) -> None:
    airt = replace(scenario().airt, url_policy=LinkPolicy.STORED_UNTIL_EXPIRED)
    client = simulate(scenario(airt=airt))
    first = client.link()
    client.clock.advance(3599)
    same = client.link()
    client.clock.advance(1)

    assert same == first
    assert client.link() != first
    assert client.fetch(first).status_code == 403
    assert client.fetch().status_code == 200


def test_a_link_stored_for_ever_is_handed_out_dead(simulate: Callable[..., Client]) -> None:
    airt = replace(scenario().airt, url_policy=LinkPolicy.STORED_FOREVER)
    client = simulate(scenario(airt=airt))
    first = client.link()
    client.clock.advance(3600)

    job = client.airt("GET", f"/build/{JOB}").json()

    assert job["presigned_url"] == first
    assert datetime.fromisoformat(job["url_expires_at"]) == client.clock()
    assert client.fetch(first).status_code == 403


def test_the_uuid_of_a_project_is_as_good_as_its_slug(client: Client) -> None:
    url = f"{client.providers.url}{PROJECT.replace('chatbot', PROJECT_UUID)}/reports/build/{JOB}"

    response = client.session.get(url, headers={"X-API-Key": client.scenario.airt.key}, timeout=10)

    assert response.json()["job_id"] == JOB
    assert client.providers.requests.of(RequestKind.GET_JOB)[0].target.scope == "acme/main/chatbot"


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({"Authorization": ""}, 401, "authentication_error"),
        ({"Authorization": "Bearer wrong"}, 401, "authentication_error"),
        ({"Authorization": "Bearer dn_key_weak"}, 403, "access_forbidden"),
        ({"X-API-Key": "wrong"}, 401, "authentication_error"),
    ],
)
def test_a_wrong_key_gets_the_envelope(client: Client, headers: dict[str, str], status: int, kind: str) -> None:
    response = client.airt("GET", f"/build/{JOB}", headers=headers)

    assert response.status_code == response.json()["code"] == status
    assert response.json()["type"] == kind
    assert response.json()["detail"]


@pytest.mark.parametrize("path", ["/build/nope", "/nope", "/build/nope/more"])
def test_what_does_not_exist_is_404(client: Client, path: str) -> None:
    assert client.airt("GET", path).json()["type"] == "not_found"


@pytest.mark.parametrize("slug", ["other", "unheard-of"])
def test_another_project_does_not_show_the_job(simulate: Callable[..., Client], slug: str) -> None:
    airt = scenario().airt
    client = simulate(scenario(airt=replace(airt, projects=(*airt.projects, Project("other", uuid=TEMPLATE)))))
    url = f"{client.providers.url}{PROJECT.replace('chatbot', slug)}/reports/build/{JOB}"

    response = client.session.get(url, headers={"X-API-Key": client.scenario.airt.key}, timeout=10)

    assert response.status_code == 404


@pytest.mark.parametrize(
    ("body", "location"),
    [
        ({}, ["body"]),
        ([], ["body"]),
        ({**PRESET, "template_id": TEMPLATE}, ["body"]),
        ({"preset": {"format": "pdf"}}, ["body", "preset", "sections"]),
        ({"preset": {"format": "pdf", "sections": []}}, ["body", "preset", "sections"]),
        ({"preset": {"format": "pdf", "sections": ["nope"]}}, ["body", "preset", "sections", 0]),
        ({"preset": {"format": "exe", "sections": ["findings"]}}, ["body", "preset", "format"]),
        ({"preset": "pdf"}, ["body", "preset"]),
        ({"template_id": "nope"}, ["body", "template_id"]),
    ],
)
@pytest.mark.parametrize("path", ["/build", "/preflight"])
def test_a_body_against_the_schema_gets_a_validation_error(
    client: Client, path: str, body: JsonValue, location: list[JsonValue]
) -> None:
    response = client.airt("POST", path, json=body)

    assert response.status_code == 422
    assert response.json()["type"] == "validation_error"
    assert response.json()["errors"][0]["loc"] == location
    assert len(client.providers.builds) == 3  # two of Treasure Insights and the job of the scenario


def test_a_body_that_is_no_json_gets_a_validation_error(client: Client) -> None:
    assert client.airt("POST", "/build", data=b"{").json()["errors"][0]["type"] == "json_invalid"


def test_an_unknown_template_is_404(client: Client) -> None:
    assert client.airt("POST", "/build", json={"template_id": JOB}).status_code == 404


@pytest.mark.parametrize(
    ("body", "empty"),
    [
        (
            {"preset": {"format": "pdf", "sections": ["risk_score_metrics", "findings"]}},
            {"key": "findings", "title": "Findings"},
        ),
        ({"template_id": EMPTY_TEMPLATE}, {"key": None, "title": "Findings"}),
    ],
)
def test_empty_sections_refuse_a_build_at_once(client: Client, body: JsonValue, empty: JsonObject) -> None:
    dry_run, build = client.airt("POST", "/preflight", json=body), client.airt("POST", "/build", json=body)

    assert (dry_run.status_code, build.status_code) == (200, 422)
    assert dry_run.json() == build.json() == {"error": "empty_sections", "sections": [empty]}
    assert len(client.providers.builds) == 3


def test_the_other_likely_shape_of_empty_sections(simulate: Callable[..., Client]) -> None:
    client = simulate(scenario(airt=replace(scenario().airt, empty_sections_shape="in_detail")))

    response = client.airt("POST", "/build", json={"template_id": EMPTY_TEMPLATE})

    assert response.json()["detail"]["sections"] == [{"key": None, "title": "Findings"}]


def test_a_preflight_of_full_sections_lists_none_and_starts_nothing(client: Client) -> None:
    response = client.airt("POST", "/preflight", json={"template_id": TEMPLATE})

    assert (response.status_code, response.json()["sections"]) == (200, [])
    assert len(client.providers.builds) == 3


def test_the_state_has_the_size_of_the_report(client: Client) -> None:
    state = client.providers.build(JOB)

    assert (state.provider, state.scope, state.status) == (
        ProviderName.DREADNODE_AIRT,
        "acme/main/chatbot",
        "completed",
    )
    assert state.artifact_bytes == len(client.providers.artifact_bytes(JOB)) == REPORT_BYTES
    assert state.completed == state.created + timedelta(seconds=10)


def test_two_jobs_of_the_same_size_have_different_reports(client: Client) -> None:
    job_id = client.airt("POST", "/build", json=PRESET).json()["job_id"]

    assert client.providers.artifact_bytes(job_id) != client.providers.artifact_bytes(JOB)
