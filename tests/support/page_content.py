"""What the page shows, made up in memory: an ordinary month, six planted problems, a provider that attacks.

``python -m tests.support.page_content FOLDER`` writes each as a page, for people who look at them.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from cli.build_search import InFlight
from cli.page.content import PageContent, RunningBuild, SourceView, strip_of
from cli.page.render import Place, render
from cli.records import EndedRecord
from cli.stack import Stack
from cli.statistics import percentile, summarize
from courier.config.environment import Environment
from courier.ledger import BuildRow, SourceState
from courier.ledger.pauses import Pause, dump_pauses
from courier.models import BuildRef, BuildStatus, Problem
from courier.object_keys import artifact_key, record_key
from courier.providers import parse_source
from courier.usecases.container import Container

NOW = datetime(2026, 11, 25, 14, 2, tzinfo=UTC)
SINCE = NOW - timedelta(days=30)
BUCKET = "acme-reports"
REGION = "eu-central-1"
MODELS = ("0f6c1d2e-sales", "pipeline-weekly", "churn")
REFUSED_HOST = Problem(
    name="ArtifactRefusedError",
    message="the download link leads to files.dreadnode-cdn.com, which artifact.hosts does not allow",
    advice="If you trust the host, add it to artifact.hosts of the source.",
)
LOST = Problem(
    name="BuildLost",
    message="the API has not known the build for 31 minutes; the last status was running",
    advice="Look for it in the provider's console.",
)
MEMORY = Problem(
    name="BuildFailed",
    message="Build exceeded memory limit of 48 GB while joining events with profiles",
    advice="The first suspect is the build size limit of 48 GB: reduce the data, or have the limit raised.",
)


def stack_of(name: str = "build-courier") -> Stack:
    """Return a stack that nobody calls."""
    outputs = {
        "BucketName": BUCKET,
        "DeadLettersUrl": f"https://sqs.{REGION}.amazonaws.com/123456789012/dead-letters",
        "DashboardUrl": f"https://console.aws.amazon.com/cloudwatch/home?region={REGION}",
    }
    environment = Environment(
        stack=name, table="ledger", bucket=BUCKET, prefix="", parameter_path="/s", state_machine="", topic=""
    )
    return Stack(name, outputs, Container(environment))


def insights(name: str = "insights", **more: object) -> dict[str, object]:
    usual = {"endpoint": "https://api.treasuredata.com", "secret": "build-courier/treasure-data"}
    return {"name": name, "provider": "treasure_insights", **usual, "data_models": "all", **more}


def red_team(name: str = "red-team", **more: object) -> dict[str, object]:
    usual = {"endpoint": "https://app.dreadnode.io", "secret": "build-courier/dreadnode"}
    place = {"organization": "acme", "workspace": "main", "project": "chatbot"}
    return {"name": name, "provider": "dreadnode_airt", **usual, **place, **more}


def ended(
    number: int,
    outcome: str = "succeeded",
    *,
    source: str = "insights",
    scope: str = MODELS[0],
    ago: timedelta = timedelta(hours=1),
    took: float | None = 1_200,
    problem: Problem | None = None,
    build_id: str | None = None,
    filename: str = "report.pdf",
) -> EndedRecord:
    """Return the record of one build; a delivered one has a report."""
    at = (NOW - ago).replace(microsecond=0)
    made_up = UUID(int=random.Random(number).getrandbits(128))  # noqa: S311 - the same in each run
    ref = BuildRef(source=source, scope=scope, build_id=build_id or str(made_up))
    artifact = None
    if outcome == "delivered":
        artifact = {
            "bucket": BUCKET,
            "key": artifact_key("", ref, at, filename),
            "size_bytes": 180_000 + 37 * number,
            "sha256": "0" * 64,
            "content_type": "application/pdf",
            "verified": True,
            "copied_at": at,
        }
    return EndedRecord.model_validate(
        {
            "build": ref,
            "provider": "treasure_insights",
            "outcome": outcome,
            "timeline": {
                "created_at": None if took is None else at - timedelta(seconds=took),
                "started_at": None,
                "first_seen_at": at - timedelta(seconds=took or 60),
                "completed_at": at,
                "detected_at": at,
                "copied_at": None,
            },
            "artifact": artifact,
            "problem": problem,
        }
    )


def running(
    build_id: str,
    *,
    source: str = "insights",
    scope: str = MODELS[0],
    age: timedelta = timedelta(minutes=12),
    usual: Sequence[float] = (),
    next_in: timedelta = timedelta(seconds=40),
    wait: timedelta = timedelta(days=1),
    **row: object,
) -> RunningBuild:
    """Return a build in flight that was polled a moment ago."""
    ref = BuildRef(source=source, scope=scope, build_id=build_id)
    seen, deadline = NOW - age, NOW - age + wait
    next_poll_at = (NOW + next_in).isoformat()
    fields = {
        "schema_version": 1,
        "build": str(ref),
        "status": BuildStatus.RUNNING,
        "first_seen_at": seen,
        "created_at": seen,
        "deadline_at": deadline,
        "next_poll_at": next_poll_at,
        "polls": 7,
        "last_poll_at": NOW - timedelta(seconds=25),
    }
    return RunningBuild(
        build=InFlight(
            ref=ref,
            state="running",
            first_seen_at=seen,
            created_at=seen,
            deadline_at=deadline,
            next_poll_at=next_poll_at,
        ),
        row=BuildRow.model_validate({**fields, **row}),
        seconds=age.total_seconds(),
        p50=percentile(usual, 0.5),
        p95=percentile(usual, 0.95),
    )


def content_of(
    records: Iterable[EndedRecord] = (),
    *,
    sources: Sequence[Mapping[str, object]] = (insights(), red_team()),
    states: Mapping[str, Mapping[str, object]] | None = None,
    broken: Mapping[str, str] | None = None,
    builds: Sequence[RunningBuild] = (),
    stack: str = "build-courier",
    dead_letters: int | None = 0,
    **more: object,
) -> PageContent:
    """Return the content of a page with these records, sources and builds in flight."""
    newest_first = sorted(records, key=lambda record: record.ended_at, reverse=True)
    views = []
    for document in sources:
        settings = parse_source(dict(document))
        own = [record for record in newest_first if record.build.source == settings.name]
        statistics = summarize(own)
        views.append(
            SourceView(
                name=settings.name,
                settings=settings,
                broken=None,
                state=SourceState.model_validate((states or {}).get(settings.name, {})),
                failing_scopes={},
                in_flight=sum(build.build.ref.source == settings.name for build in builds),
                days=strip_of(own, NOW),
                statistics=statistics,
                last_good=statistics.last_good,
            )
        )
    for name, reason in (broken or {}).items():
        views.append(
            SourceView(
                name=name,
                settings=None,
                broken=reason,
                state=None,
                failing_scopes={},
                in_flight=0,
                days=strip_of((), NOW),
                statistics=summarize(()),
                last_good=None,
            )
        )
    return PageContent(
        stack=stack_of(stack),
        now=NOW,
        since=SINCE,
        sources=views,
        running=builds,
        running_count=len(builds),
        ended={record_key("", record.build, record.ended_at): record for record in newest_first},
        dead_letters=dead_letters,
        **more,  # type: ignore[arg-type]  # as the caller says
    )


@cache
def month(count: int = 300, *, seed: int = 1, last_failures: bool = True) -> Sequence[EndedRecord]:
    """Return the builds of an ordinary month: most succeed, a few fail, all scopes have their usual durations."""
    chance = random.Random(seed)  # noqa: S311 - made-up builds
    scopes = [("insights", model, 900.0 * (index + 1)) for index, model in enumerate(MODELS)]
    scopes.append(("red-team", "acme/main/chatbot", 90.0))
    records = []
    for number in range(count):
        source, scope, usual = scopes[number % len(scopes)]
        ago = timedelta(days=29 * (number + 0.5) / count, seconds=chance.uniform(0, 3_600))
        took = usual * chance.lognormvariate(0, 0.25)
        outcome = "delivered" if source == "red-team" else "succeeded"
        problem = None
        # The newest builds are good, so that only planted problems need somebody.
        if number >= 8 * last_failures and chance.random() < 0.05:
            outcome, problem, took = "failed", MEMORY, took / 3
        elif chance.random() < 0.02:
            outcome, took = "canceled", took / 2
        records.append(ended(number, outcome, source=source, scope=scope, ago=ago, took=took, problem=problem))
    return records


def usual_of(records: Iterable[EndedRecord], scope: str) -> list[float]:
    """Return the durations of a scope's good builds."""
    return list(summarize(record for record in records if record.build.scope == scope).durations)


def calm() -> PageContent:
    """Return a stack in which all is well."""
    records = month()
    usual = usual_of(records, MODELS[0])
    return content_of(
        records,
        builds=[
            running("b193f44a-5059-4950-ae8a-0e47744216ee", usual=usual, age=timedelta(minutes=12)),
            running("dd4519b2-1901-47cd-9089-a2302d5c4854", source="red-team", scope="acme/main/chatbot"),
        ],
    )


def six_problems() -> PageContent:
    """Return a stack with six problems that need somebody; the rest of it is well."""
    records = [
        *month(),
        ended(9_001, "undeliverable", source="red-team", scope="acme/main/chatbot", problem=REFUSED_HOST),
        ended(9_002, "lost", scope="quarterly-board", ago=timedelta(hours=5), took=None, problem=LOST),
    ]
    usual = usual_of(records, MODELS[1])
    sandbox = insights("sandbox", secret="build-courier/sandbox")
    wide = insights("warehouse", secret="build-courier/warehouse")
    return content_of(
        records,
        sources=(insights(), red_team(), sandbox, wide),
        states={
            "sandbox": {
                "illness": "SourceUnauthorizedError",
                "ill_since": NOW - timedelta(hours=3, minutes=20),
                "rest_until": NOW + timedelta(minutes=9),
                "unhealthy_config": "1",
                "failures": 0,
                "last_error": "list_builds was rejected with 401: Could not validate credentials",
            },
            "warehouse": {
                "pauses": dump_pauses(
                    [Pause(since=NOW - timedelta(days=2), by="kim@example.com", note="the provider moves its API")]
                )
            },
        },
        builds=[
            running("5d1d4f1c-1111-4222-8333-444444444444", scope=MODELS[1], usual=usual, age=timedelta(hours=9)),
            running("b193f44a-5059-4950-ae8a-0e47744216ee", usual=usual_of(records, MODELS[0])),
        ],
        dead_letters=2,
    )


def for_picture() -> PageContent:
    """Return a stack with two problems, short enough for a picture."""
    records = month()
    refused = ended(9_001, "undeliverable", source="red-team", scope="acme/main/chatbot", problem=REFUSED_HOST)
    usual = {scope: usual_of(records, scope) for scope in MODELS}
    return content_of(
        [*records, refused],
        builds=[
            running(
                "5d1d4f1c-1111-4222-8333-444444444444", scope=MODELS[1], usual=usual[MODELS[1]], age=timedelta(hours=9)
            ),
            running("b193f44a-5059-4950-ae8a-0e47744216ee", usual=usual[MODELS[0]]),
        ],
    )


ATTACK = '</script><img src=x onerror="window.hacked=1"><!--<script>\'`${window.hacked=1}{{7*7}}\u2028'


def attacked() -> PageContent:
    """Return a stack whose provider puts scripts into everything that it controls."""
    evil = '"><img src=x onerror=window.hacked=1>'
    problem = Problem(name=ATTACK, message=f"{ATTACK} said the provider", advice=ATTACK)
    scope = ATTACK.replace("/", "-").replace("\u2028", "")[:200]
    records = [
        ended(1, "delivered", scope=scope, build_id=f"id{evil}", filename=f"{evil}.pdf"),
        ended(2, "undeliverable", scope=scope, build_id="$(touch hacked)", problem=problem),
        ended(3, "failed", scope=scope, build_id="`id`';id", problem=problem),
        ended(4, "succeeded", scope="javascript:alert(1)", build_id="javascript:window.hacked=1"),
        ended(5, "hacked<b>outcome", scope="later version"),
    ]
    state = {
        "illness": "SourceUnauthorizedError",
        "ill_since": NOW - timedelta(hours=1),
        "rest_until": NOW + timedelta(hours=1),
        "unhealthy_config": "1",
        "last_error": ATTACK,
    }
    return content_of(
        records,
        states={"insights": state},
        broken={"bad": ATTACK},
        builds=[
            running(f"run{evil}", scope=scope, provider_status=ATTACK, status=BuildStatus.UNKNOWN, failures=4),
            running("run2", scope=scope, last_error=ATTACK, failures=4),
        ],
        notes=[ATTACK],
    )


def many(count: int = 10_000) -> PageContent:
    """Return a stack with many builds."""
    return content_of(month(count, last_failures=False))


PAGES: Mapping[str, Callable[[], PageContent]] = {
    "calm": calm,
    "six_problems": six_problems,
    "picture": for_picture,
    "attacked": attacked,
    "many": many,
    "no_builds": content_of,
    "empty": lambda: content_of(sources=()),
}


def data_in(html: str) -> dict[str, Any]:
    """Return the builds that the page's script shows."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    data: dict[str, Any] = json.loads(text)
    return data


def main() -> None:
    """Write all pages into a folder."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        html = render(make(), Place(region=REGION))
        (folder / f"{name}.html").write_text(html, encoding="utf-8")
        print(f"{folder / name}.html {len(html.encode()):,} bytes")  # noqa: T201


if __name__ == "__main__":
    main()
