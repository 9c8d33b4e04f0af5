"""The simulator on a manual clock, with plain `requests` as the client."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypedDict, Unpack

import pytest
import requests

from local.simulator import (
    AirtAccount,
    BuildPlan,
    DataModel,
    FaultPlan,
    JobPlan,
    ManualClock,
    Project,
    ReportTemplate,
    Scenario,
    ScheduledBuild,
    ScheduledJob,
    SimulatedProviders,
    TreasureAccount,
)

TIMEOUT_SECONDS = 10
MODEL = "5d1d4f1c-1111-4222-8333-444444444444"
BUILD = "0b0f6d0e-5a57-4a53-9a0a-3f1f7a1c0001"
JOB = "2489e9ad-2ee2-4e00-8ec9-32d5f69181aa"
TEMPLATE = "2489e9ad-2ee2-4e00-8ec9-32d5f69181bb"
EMPTY_TEMPLATE = "2489e9ad-2ee2-4e00-8ec9-32d5f69181cc"
PROJECT = "/api/v1/org/acme/ws/main/airt/projects/chatbot"
PROJECT_UUID = "2489e9ad-2ee2-4e00-8ec9-32d5f69181c0"
REPORT_BYTES = 64 * 1024
PRESET = {"preset": {"format": "pdf", "sections": ["risk_score_metrics"]}}


def scenario(treasure: TreasureAccount | None = None, airt: AirtAccount | None = None) -> Scenario:
    model = DataModel(
        oid=MODEL,
        name="sales_model",
        builds=(
            ScheduledBuild(BuildPlan(queue_seconds=5, run_seconds=40), build_id=BUILD),
            ScheduledBuild(BuildPlan(), created_offset_seconds=-3600),
        ),
        when_started=(BuildPlan(final_status="failed"), BuildPlan(final_status="done")),
    )
    return Scenario(
        treasure=treasure or TreasureAccount(models=(model,), weak_keys=("1/weak",)),
        airt=airt or AirtAccount(projects=(chatbot(),), weak_keys=("dn_key_weak",)),
    )


def chatbot() -> Project:
    return Project(
        slug="chatbot",
        uuid=PROJECT_UUID,
        empty_sections=("findings",),
        templates=(ReportTemplate(TEMPLATE), ReportTemplate(EMPTY_TEMPLATE, sections=("findings",))),
        jobs=(ScheduledJob(JOB, JobPlan(queue_seconds=2, run_seconds=8, artifact_bytes=REPORT_BYTES), -10),),
        when_started=(
            JobPlan(queue_seconds=2, run_seconds=8, artifact_bytes=REPORT_BYTES),
            JobPlan(final_status="failed"),
        ),
    )


class Sent(TypedDict, total=False):
    """Headers and body of a request."""

    headers: Mapping[str, str]
    json: object
    data: bytes


@dataclass
class Client:
    """A simulator, its clock, and a client with valid keys."""

    providers: SimulatedProviders
    clock: ManualClock
    scenario: Scenario
    session: requests.Session

    def treasure(self, method: str, path: str, **sent: Unpack[Sent]) -> requests.Response:
        return self._send(f"TD1 {self.scenario.treasure.key}", method, f"/reporting{path}", **sent)

    def airt(self, method: str, path: str, **sent: Unpack[Sent]) -> requests.Response:
        return self._send(f"Bearer {self.scenario.airt.key}", method, f"{PROJECT}/reports{path}", **sent)

    def _send(self, authorization: str, method: str, path: str, **sent: Unpack[Sent]) -> requests.Response:
        sent["headers"] = {"Authorization": authorization, **sent.get("headers", {})}
        return self.session.request(method, f"{self.providers.url}{path}", timeout=TIMEOUT_SECONDS, **sent)

    def link(self, job_id: str = JOB) -> str:
        return str(self.airt("GET", f"/build/{job_id}").json()["presigned_url"])

    def fetch(self, url: str | None = None, *, method: str = "GET", **headers: str) -> requests.Response:
        """Download an artifact with only these headers."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.session.request(
            method,
            url or self.link(),
            headers={"Accept-Encoding": "identity", **sent},
            timeout=TIMEOUT_SECONDS,
            allow_redirects=False,
        )


@pytest.fixture
def simulate() -> Iterator[Callable[..., Client]]:
    """Start a simulator, which is stopped at the end of the test."""
    with ExitStack() as stack:

        def start(
            played: Scenario | None = None, *, faults: FaultPlan | None = None, waits: list[float] | None = None
        ) -> Client:
            clock, chosen = ManualClock(), played or scenario()
            wait = (lambda _: None) if waits is None else waits.append
            providers = stack.enter_context(SimulatedProviders(chosen, seed=1, clock=clock, faults=faults, wait=wait))
            session = stack.enter_context(requests.Session())
            return Client(providers, clock, chosen, session)

        yield start


@pytest.fixture
def client(simulate: Callable[..., Client]) -> Client:
    return simulate()
