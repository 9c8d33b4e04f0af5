"""The simulated vendor by itself, with plain `requests` as the client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from courier.providers.http_json.shipped import shipped_names
from local.simulator import ManualClock, RequestKind, SimulatedVendor, VendorAnswer, load_vendor, vendor_names

RUNS = "/v1/reporting/report_runs"
FORM = {
    "report_type": "balance.summary.1",
    "parameters[interval_start]": "1767225600",
    "parameters[interval_end]": "1769904000",
}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def stripe(clock: ManualClock) -> Iterator[SimulatedVendor]:
    with SimulatedVendor(load_vendor("stripe-report-runs"), clock=clock) as vendor:
        yield vendor


def call(vendor: SimulatedVendor, method: str, path: str, **more: Any) -> requests.Response:  # noqa: ANN401 - of requests
    headers = {"Authorization": f"Bearer {vendor.secret}"}
    return requests.request(method, f"{vendor.url}{path}", timeout=10, **{"headers": headers, **more})


def test_every_definition_that_ships_can_be_played() -> None:
    assert vendor_names() == shipped_names()


@pytest.mark.parametrize("name", vendor_names())
def test_a_scenario_uses_the_words_that_it_explains(name: str) -> None:
    job = load_vendor(name).job
    for course in filter(None, (job.course, job.empty)):
        states = [job.state(word) for word in course.words]
        assert all(states)
        assert states[-1] is not None
        assert states[-1].means in {"succeeded", "empty"}


def test_a_job_goes_through_its_words(stripe: SimulatedVendor, clock: ManualClock) -> None:
    stripe.plan("PENDING", "Succeeded")
    job = call(stripe, "POST", RUNS, data=FORM).json()
    assert (job["status"], job["result"]) == ("PENDING", None)
    clock.advance(60)
    job = call(stripe, "GET", f"{RUNS}/{job['id']}").json()
    assert (job["status"], job["succeeded_at"]) == ("Succeeded", int(clock().timestamp()) - 58)
    file = call(stripe, "GET", job["result"]["url"].removeprefix(stripe.url.replace("127.0.0.1", "localhost")))
    assert (file.content, len(file.content)) == (stripe.file_bytes(job["id"]), job["result"]["size"])


def test_a_list_comes_in_pages(stripe: SimulatedVendor) -> None:
    ids = [call(stripe, "POST", RUNS, data=FORM).json()["id"] for _ in range(3)]
    first = call(stripe, "GET", RUNS).json()
    second = call(stripe, "GET", RUNS, params={"starting_after": ids[1]}).json()
    assert [[job["id"] for job in page["data"]] for page in (first, second)] == [ids[:2], ids[2:]]
    assert (first["has_more"], second["has_more"]) == (True, False)


def test_what_the_documents_do_not_say_is_refused(stripe: SimulatedVendor) -> None:
    assert call(stripe, "POST", RUNS, data={**FORM, "more": "1"}).status_code == 400
    assert call(stripe, "POST", RUNS, json=FORM).status_code == 400
    assert call(stripe, "GET", RUNS, headers={}).status_code == 401
    assert call(stripe, "GET", f"{RUNS}/frr_0").status_code == 404
    assert call(stripe, "GET", "/v2/reporting").status_code == 404


def test_answers_can_be_replaced(stripe: SimulatedVendor) -> None:
    stripe.answer_next(RequestKind.LIST_BUILDS, VendorAnswer(status=429, body={"error": {}}))
    stripe.refuse_credentials(times=1)
    assert [call(stripe, "GET", RUNS).status_code for _ in range(3)] == [429, 401, 200]
    assert stripe.requests.counts()[RequestKind.LIST_BUILDS] == 3


def test_a_token_is_sold_for_the_right_form_only_and_expires(clock: ManualClock) -> None:
    scenario = load_vendor("azure-cost-details@1")
    with SimulatedVendor(scenario, clock=clock) as vendor:
        fields = json.loads(vendor.secret)
        assert scenario.token is not None
        assert scenario.token.form is not None
        path = scenario.token.call.partition(" ")[2]
        form = {**scenario.token.form, **fields}
        assert call(vendor, "POST", path, data={**form, "client_secret": "x"}).status_code == 401
        token = call(vendor, "POST", path, data=form).json()["access_token"]
        poll = scenario.routes[1].call.partition(" ")[2].replace("{id}", "x")
        headers = {"Authorization": f"Bearer {token}"}
        codes = []
        for seconds in (0, 3600):
            clock.advance(seconds)
            codes.append(call(vendor, "GET", f"{poll}?api-version=2025-03-01", headers=headers).status_code)
        assert codes == [404, 401]


def test_a_second_step_begins_the_course(clock: ManualClock) -> None:
    scenario = load_vendor("marketo-bulk-leads")
    with SimulatedVendor(scenario, clock=clock) as vendor:
        assert scenario.token is not None
        assert scenario.token.query is not None
        query = {**scenario.token.query, **json.loads(vendor.secret)}
        token = call(vendor, "GET", "/identity/oauth/token", params=query).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        body = scenario.routes[0].expect
        job = call(vendor, "POST", "/bulk/v1/leads/export/create.json", json=body, headers=headers).json()["result"][0]
        path = f"/bulk/v1/leads/export/{job['exportId']}"
        words = []
        for method, step in (("GET", "status"), ("POST", "enqueue"), ("GET", "status")):
            clock.advance(60)
            words.append(call(vendor, method, f"{path}/{step}.json", headers=headers).json()["result"][0]["status"])
        assert words == ["Created", "Created", "Completed"]
