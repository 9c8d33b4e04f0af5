"""The scenario of the simulated providers: accounts, builds, reports, and the course of each.

All durations are in seconds. Each plan in a queue is used by one POST; the last one is used by all later POSTs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

from local.simulator.messages import JsonValue

# The five statuses of a build and the four of a job: docs/source-apis.md 1.5 and 2.4.
FinalBuildStatus = Literal["done", "failed", "canceled"]
FinalJobStatus = Literal["completed", "failed"]

MEBIBYTE: Final = 1024 * 1024
SECTIONS: Final[Mapping[str, str]] = {
    # Only the first id is documented; the others are invented, so that a project can have full and empty sections.
    "risk_score_metrics": "Risk score",
    "findings": "Findings",
    "compliance_coverage": "Compliance coverage",
    "attack_timeline": "Attack timeline",
}


@dataclass(frozen=True)
class BuildPlan:
    """The course of a Treasure Insights build: queued, then running, then its final status.

    A canceled build without run time never starts. The default times are those of the documented sample.
    """

    queue_seconds: float = 0.005
    run_seconds: float = 40.0
    final_status: FinalBuildStatus = "done"


@dataclass(frozen=True)
class ScheduledBuild:
    """A build without a POST: created at an offset from the start, which is negative for earlier builds."""

    plan: BuildPlan = BuildPlan()
    created_offset_seconds: float = 0.0
    build_type: str = "full"
    build_id: str | None = None


@dataclass(frozen=True)
class DataModel:
    """One data model of the account, its builds, and the plans of builds that are started by POST."""

    oid: str
    name: str
    builds: tuple[ScheduledBuild, ...] = ()
    when_started: tuple[BuildPlan, ...] = (BuildPlan(),)
    type: str = "elasticube"


@dataclass(frozen=True)
class TreasureAccount:
    """The Treasure Data account: `key` has all permissions, `weak_keys` exist but have no access to Insights."""

    models: tuple[DataModel, ...] = ()
    account_id: str = "1234"
    key: str = field(default="1234/" + "0123456789abcdef" * 2 + "01234567", repr=False)
    weak_keys: tuple[str, ...] = field(default=(), repr=False)
    limits: Mapping[str, JsonValue] = field(default_factory=lambda: {"build_size": 8, "query_size": 4})
    unset_times: Literal["null", "absent"] = "null"
    start_status: int = 200


@dataclass(frozen=True)
class JobPlan:
    """The course of an AIRT report job; `artifact_bytes` is the exact size of its report."""

    queue_seconds: float = 2.0
    run_seconds: float = 40.0
    final_status: FinalJobStatus = "completed"
    error_message: str = "renderer failed"
    artifact_bytes: int = 256 * 1024


@dataclass(frozen=True)
class ScheduledJob:
    """A job without a POST, with a known id; its offset is negative for earlier jobs."""

    job_id: str
    plan: JobPlan = JobPlan()
    created_offset_seconds: float = 0.0


@dataclass(frozen=True)
class ReportTemplate:
    """A stored report template; an error about one of its empty sections has a null section key."""

    template_id: str
    sections: tuple[str, ...] = ("risk_score_metrics",)


@dataclass(frozen=True)
class Project:
    """One AIRT project, reachable by its slug and by its UUID."""

    slug: str
    uuid: str
    organization: str = "acme"
    workspace: str = "main"
    empty_sections: tuple[str, ...] = ()
    templates: tuple[ReportTemplate, ...] = ()
    jobs: tuple[ScheduledJob, ...] = ()
    when_started: tuple[JobPlan, ...] = (JobPlan(),)

    @property
    def scope(self) -> str:
        """``org/workspace/project``."""
        return f"{self.organization}/{self.workspace}/{self.slug}"


class LinkPolicy(StrEnum):
    """Which presigned URL a completed job has; docs/source-apis.md 2.4 leaves it open."""

    FRESH = "fresh"
    STORED_UNTIL_EXPIRED = "stored_until_it_dies"
    STORED_FOREVER = "stored_for_ever"


@dataclass(frozen=True)
class AirtAccount:
    """The Dreadnode platform.

    With `token_lifetime_seconds` the URLs are signed with temporary credentials, which may expire earlier.
    """

    projects: tuple[Project, ...] = ()
    key: str = field(default="dn_key_0123456789abcdef", repr=False)
    weak_keys: tuple[str, ...] = field(default=(), repr=False)
    url_lifetime_seconds: int = 3600
    url_policy: LinkPolicy = LinkPolicy.FRESH
    token_lifetime_seconds: int | None = None
    empty_sections_shape: Literal["flat", "in_detail"] = "flat"
    bucket: str = "airt-artifacts"


@dataclass(frozen=True)
class Scenario:
    """The initial state of the simulated providers."""

    treasure: TreasureAccount = field(default_factory=TreasureAccount)
    airt: AirtAccount = field(default_factory=AirtAccount)


def demo_scenario() -> Scenario:
    """Return the scenario of ``make run``, in which everything ends within 15 seconds.

    Three reports POSTed to ``acme/main/chatbot`` become one above 16 MiB, one of a few hundred KiB, and a failure;
    ``acme/main/sandbox`` has no data for its risk score.
    """
    sales = DataModel(
        oid="5d1d4f1c-1111-4222-8333-444444444444",
        name="sales_model",
        builds=(
            ScheduledBuild(BuildPlan(), created_offset_seconds=-3600),
            ScheduledBuild(BuildPlan(queue_seconds=2, run_seconds=5)),
        ),
        when_started=(BuildPlan(queue_seconds=1, run_seconds=6),),
    )
    marketing = DataModel(
        oid="5d1d4f1c-2222-4222-8333-444444444444",
        name="marketing_model",
        builds=(
            ScheduledBuild(BuildPlan(queue_seconds=1, run_seconds=7, final_status="failed")),
            ScheduledBuild(BuildPlan(queue_seconds=3, run_seconds=6, final_status="canceled")),
        ),
        when_started=(BuildPlan(queue_seconds=1, run_seconds=4, final_status="failed"),),
    )
    chatbot = Project(
        slug="chatbot",
        uuid="2489e9ad-2ee2-4e00-8ec9-32d5f69181c0",
        when_started=(
            JobPlan(queue_seconds=2, run_seconds=6, artifact_bytes=18 * MEBIBYTE),
            JobPlan(queue_seconds=1, run_seconds=3, artifact_bytes=320 * 1024),
            JobPlan(queue_seconds=1, run_seconds=5, final_status="failed"),
        ),
    )
    sandbox = Project(
        slug="sandbox",
        uuid="2489e9ad-2ee2-4e00-8ec9-32d5f69181c1",
        empty_sections=("risk_score_metrics",),
    )
    return Scenario(
        treasure=TreasureAccount(models=(sales, marketing)),
        airt=AirtAccount(projects=(chatbot, sandbox)),
    )
