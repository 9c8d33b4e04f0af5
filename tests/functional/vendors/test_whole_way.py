"""Every definition that ships, the whole way: start or find, wait, copy, record, notice, on one embedded AWS."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from courier.models import BuildRequest
from courier.providers import parse_source
from local.runs.session import Session
from local.simulator import FaultRule, LinkExpired, RequestKind, SimulatedVendor, load_vendor, vendor_names

pytestmark = pytest.mark.long

TICK_SECONDS = 0.2
# Of the simulated vendors: the course of a job takes a few ticks.
WORD_SECONDS = 0.3
POLLING = {"first_seconds": 60, "longest_seconds": 60}


@dataclass(frozen=True)
class Ran:
    """One vendor after the run, and what the courier left of its builds."""

    vendor: SimulatedVendor
    found_id: str | None
    objects: dict[str, bytes]
    notices: dict[str, dict[str, Any]]

    @property
    def name(self) -> str:
        return self.vendor.scenario.api.partition("@")[0]

    def record(self, build_id: str) -> dict[str, Any]:
        keys = [key for key in self.objects if key.startswith(f"records/source={self.name}/")]
        found = [json.loads(self.objects[key]) for key in keys]
        (record,) = [record for record in found if record["build"]["build_id"] == build_id]
        return dict(record)


def reference(job_id: str) -> str:
    """Return a vendor's id as the courier knows it: without what its definition cuts off."""
    return job_id.rpartition("/")[2]


@pytest.fixture(scope="module")
def all_ran() -> Iterator[dict[str, Ran]]:
    with ExitStack() as stack:
        vendors: dict[str, SimulatedVendor] = {}
        for name in vendor_names():
            scenario = load_vendor(name)
            quick = scenario.model_copy(update={"job": scenario.job.model_copy(update={"seconds": WORD_SECONDS})})
            vendors[name] = stack.enter_context(SimulatedVendor(quick))
        sources, requests, secrets, found = [], [], {}, {}
        for name, vendor in vendors.items():
            source = name.partition("@")[0]
            settings = parse_source(
                vendor.source(name=source, secret=f"build-courier/{source}", polling=POLLING, backfill_hours=1)
            )
            sources.append(settings)
            secrets[settings.secret] = vendor.secret
            request = BuildRequest(source=source, scope=vendor.scenario.scope, input=vendor.scenario.input)
            vendor.plan(*vendor.scenario.job.course.words)
            failed = [word for word, state in vendor.scenario.job.states.items() if state.means == "failed"]
            if failed:
                vendor.plan(vendor.scenario.job.course.words[0], failed[0].swapcase())
            if vendor.scenario.job.empty is not None:
                vendor.plan_empty()
            requests += [request] * (1 + bool(failed) + (vendor.scenario.job.empty is not None))
            # Of a link that is signed; a file on the API's own host has none that could expire.
            if vendor.scenario.file is not None and vendor.scenario.file.address is None:
                vendor.faults.add(FaultRule(LinkExpired(), RequestKind.ARTIFACT, times=1))
        session = stack.enter_context(Session(sources=sources, secrets=secrets, tick_seconds=TICK_SECONDS))
        session.submit(requests)
        for name, vendor in vendors.items():
            if any(route.kind == "list" for route in vendor.scenario.routes):
                while not vendor.jobs:
                    time.sleep(0.05)
                found[name] = vendor.start_elsewhere()
        assert session.run(until_idle=True, timeout_seconds=60, on_change=lambda _: None, monotonic=time.monotonic), (
            session.builds()
        )
        report = session.finish()
        assert report.is_good, report
        objects = stored_objects(session)
        payload = [json.loads(notice.message)["data"] for notice in session.notices()]
        yield {
            name: Ran(
                vendor,
                found.get(name),
                objects,
                {
                    data["build"]["build_id"]: data
                    for data in payload
                    if data["build"]["source"] == name.partition("@")[0]
                },
            )
            for name, vendor in vendors.items()
        }


def stored_objects(session: Session) -> dict[str, bytes]:
    s3, bucket = session.aws.client("s3"), session.aws.outputs["BucketName"]
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [entry["Key"] for page in pages for entry in page["Contents"]]
    return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


@pytest.fixture(params=vendor_names())
def ran(request: pytest.FixtureRequest, all_ran: dict[str, Ran]) -> Ran:
    return all_ran[request.param]


def test_every_job_has_a_record_and_a_notice_of_its_end(ran: Ran) -> None:
    job = ran.vendor.scenario.job
    for played in ran.vendor.jobs:
        state = job.state(played.course.words[-1])
        assert state is not None
        has_file = ran.vendor.scenario.file is not None and played.course.files > 0
        good = "succeeded" if ran.vendor.scenario.file is None else "delivered" if has_file else "empty"
        expected = {"succeeded": good}.get(state.means, state.means)
        build_id = reference(played.job_id)
        assert ran.record(build_id)["outcome"] == expected, build_id
        assert ran.notices[build_id]["outcome"] == expected, build_id


def test_files_are_stored_byte_for_byte(ran: Ran) -> None:
    for played in ran.vendor.jobs:
        record = ran.record(reference(played.job_id))
        if record["outcome"] == "delivered":
            assert ran.objects[record["artifact"]["key"]] == ran.vendor.file_bytes(played.job_id)


def test_a_job_of_another_client_is_found_in_the_list(ran: Ran) -> None:
    if ran.found_id is not None:
        assert ran.record(reference(ran.found_id))["outcome"] in {"delivered", "succeeded"}


def test_no_request_was_refused(ran: Ran) -> None:
    # A dead link is the one refusal that was injected.
    refused = [entry for entry in ran.vendor.requests if entry.status is None or entry.status >= 400]
    assert [entry.faults for entry in refused] == [("LinkExpired",)] * len(refused)


def test_no_credential_came_to_a_store(ran: Ran) -> None:
    # The store answers 400 to a request with a key of its own and a signed link, so the copies above prove it.
    bare = [entry for entry in ran.vendor.requests if entry.provider == "artifact_store"]
    assert all(entry.status in {200, 206, 403} for entry in bare)


def test_nothing_that_was_stored_holds_a_secret(all_ran: dict[str, Ran]) -> None:
    for ran in all_ran.values():
        secret = ran.vendor.scenario.secret
        texts = [secret] if isinstance(secret, str) else [secret[name] for name in secret if name != "client_id"]
        documents = [body for key, body in ran.objects.items() if key.startswith("records/")]
        documents.append(json.dumps(ran.notices).encode())
        for text in (*texts, "X-Amz-Signature", f"token-{ran.name}"):
            assert not any(text.encode() in body for body in documents), ran.name
