"""One real tick through the real handler, over ten thousand builds in flight of fifty sources.

The ledger rows have no executions: none of these builds ends, and 10,000 executions would only be 30,000 threads of
the embedded AWS. Everything else is real: the dispatcher finds the due builds, invokes a segment for each part of
them asynchronously, and each segment runs in its own process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from bench.polling.lifecycle import LATENCY_SECONDS, TEMPLATE, configure
from bench.polling.sandboxes import MeasuredInvocation, MeasuredPool
from courier.builds.poll_schedule import next_gap
from courier.clock import stamp
from courier.config.settings import SourceSettings
from courier.ledger.builds import mark_of
from courier.ledger.table import Scalar, encode
from courier.models import BuildRef, BuildStatus
from courier.providers import parse_source
from local.embedded.embedded_aws import EmbeddedAws

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import UniversalAttributeValueTypeDef

MINUTE = 60.0
_ROOT = Path(__file__).resolve().parent.parent.parent
# Ages of the builds: evenly distributed from young ones, which are polled each minute, to old ones.
_OLDEST_SECONDS = 3 * 3600.0
_WAIT_SECONDS = 24 * 3600
_BATCH = 25
# The machine has few processors; the number of concurrent processes does not change what a segment needs.
_MAX_CONCURRENCY = 6
_LONGEST_SECONDS = 300.0
_END_SECONDS = 10.0


@dataclass(frozen=True)
class SourceGroup:
    """A number of equal sources, each with this number of builds in flight, and of scopes if it can list them."""

    sources: int
    builds: int
    scopes: int = 0


FULL_LOAD = (
    SourceGroup(1, 2000, 40),
    SourceGroup(24, 250, 5),
    SourceGroup(23, 86),
    SourceGroup(1, 21),
    SourceGroup(1, 1),
)


@dataclass(frozen=True, kw_only=True)
class SourceLoad:
    """One source and the creation times of its builds, by scope and id."""

    settings: SourceSettings
    key: str
    builds: Mapping[str, Mapping[str, datetime]]

    @property
    def single(self) -> bool:
        """Whether the source has only one build."""
        return sum(map(len, self.builds.values())) == 1


@dataclass(frozen=True, kw_only=True)
class LoadResult:
    """The measurements of the tick.

    ``due``, ``polled``
        Builds by source: due when the tick started, and polled when it had ended.
    ``most_in_a_minute``
        The most requests of each source in any minute, as the provider counted them.
    ``provider_requests``
        Requests to all providers.
    ``aws_cpu_seconds``
        CPU time of the embedded AWS during the tick.
    """

    accounts: Sequence[SourceLoad]
    due: Counter[str]
    polled: Counter[str]
    most_in_a_minute: Mapping[str, int]
    dispatcher: MeasuredInvocation
    segments: Sequence[MeasuredInvocation]
    seconds: float
    aws_cpu_seconds: float
    provider_requests: int

    @property
    def builds(self) -> int:
        """The number of builds in flight."""
        return sum(len(ids) for account in self.accounts for ids in account.builds.values())

    @property
    def over_rate_limit(self) -> list[str]:
        """Sources that received more requests than their limit allows."""
        limits = {account.settings.name: account.settings.requests_per_minute for account in self.accounts}
        return [name for name, most in self.most_in_a_minute.items() if most > limits[name]]


def run_load(
    groups: Sequence[SourceGroup] = FULL_LOAD, *, seed: int = 1, latency_seconds: float = LATENCY_SECONDS
) -> LoadResult:
    """Fill a ledger with the builds, and let one tick poll those that are due."""
    random = Random(seed)  # noqa: S311 - a benchmark, repeatable by its seed
    now = datetime.now(UTC)
    builds = {name: _builds(group, now, random, name) for name, group in _named(groups)}
    with (
        _provider(builds, latency_seconds) as provider,
        MeasuredPool(max_concurrency=_MAX_CONCURRENCY) as sandboxes,
    ):
        accounts = [
            SourceLoad(settings=_source(name, group, provider.port), key=_key(name), builds=builds[name])
            for name, group in _named(groups)
        ]
        with EmbeddedAws(TEMPLATE, load_handler=sandboxes.load) as aws:
            configure(
                aws,
                [account.settings for account in accounts],
                {account.settings.secret: account.key for account in accounts},
            )
            due_at = _fill(aws, accounts, now, random)
            due = [build for build, moment in due_at.items() if moment <= datetime.now(UTC)]
            cpu, began_at = time.process_time(), time.monotonic()
            delivery = aws.invoke_asynchronously("poll_builds", {"scheduled_time": datetime.now(UTC).isoformat()})
            first = delivery.result().result
            if first is None or first.error_type is not None:
                raise RuntimeError(f"the tick failed: {first}")
            aws.wait_until_idle(_LONGEST_SECONDS)
            cpu = time.process_time() - cpu
            rows = {str(row["build"]): row for row in aws.ledger_rows()}
            if letters := aws.dead_letters():
                raise RuntimeError(f"segments failed: {letters[0]}")
        request_times = provider.stop()
    dispatcher, *segments = sorted(sandboxes.invocations, key=lambda run: '"due": [{' in run.payload)
    return LoadResult(
        accounts=accounts,
        due=Counter(build.partition("/")[0] for build in due),
        polled=Counter(build.partition("/")[0] for build in due if int(str(rows[build].get("polls", 0))) == 1),
        most_in_a_minute={
            account.settings.name: _most_in_a_minute(request_times.get(account.key, ())) for account in accounts
        },
        dispatcher=dispatcher,
        segments=segments,
        seconds=max(run.ended_at for run in sandboxes.invocations) - began_at,
        aws_cpu_seconds=cpu,
        provider_requests=sum(map(len, request_times.values())),
    )


def _named(groups: Sequence[SourceGroup]) -> Iterator[tuple[str, SourceGroup]]:
    number = 0
    for group in groups:
        for _ in range(group.sources):
            number += 1
            yield f"source-{number}", group


def _key(name: str) -> str:
    return f"key-of-{name}"


def _builds(group: SourceGroup, now: datetime, random: Random, name: str) -> dict[str, dict[str, datetime]]:
    scopes = [f"model-{number}" for number in range(group.scopes)] or [f"acme/main/{name}"]
    builds: dict[str, dict[str, datetime]] = {scope: {} for scope in scopes}
    for number in range(group.builds):
        created = now - timedelta(seconds=random.uniform(MINUTE, _OLDEST_SECONDS))
        builds[scopes[number % len(scopes)]][f"{name}-build-{number:06}"] = created
    return builds


def _source(name: str, group: SourceGroup, port: int) -> SourceSettings:
    common = {"name": name, "endpoint": f"http://127.0.0.1:{port}", "insecure": True, "secret": f"build-courier/{name}"}
    if group.scopes:
        return parse_source({**common, "provider": "treasure_insights", "data_models": "all"})
    project = {"organization": "acme", "workspace": "main", "project": name}
    return parse_source({**common, **project, "provider": "dreadnode_airt"})


def _fill(aws: EmbeddedAws, accounts: Sequence[SourceLoad], now: datetime, random: Random) -> dict[str, datetime]:
    """Put a row for each build with a plausible next poll time, and return these times by row."""
    due_at: dict[str, datetime] = {}
    items: list[dict[str, UniversalAttributeValueTypeDef]] = []
    for account in accounts:
        for scope, builds in account.builds.items():
            for build_id, created in builds.items():
                ref = BuildRef(source=account.settings.name, scope=scope, build_id=build_id)
                # The last poll was at a random time within the last gap, so that the due builds are those
                # that became due within the last minute.
                gap = next_gap((now - created).total_seconds(), account.settings.polling, seed=str(ref)) or MINUTE
                # The build of a source with a single build is always due: larger sources must not starve it.
                ahead = 0.0 if account.single else random.uniform(0, gap)
                due_at[str(ref)] = now - timedelta(seconds=MINUTE - ahead)
                items.append(ledger_row(ref, created, due_at[str(ref)]))
    client = aws.client("dynamodb")
    for start in range(0, len(items), _BATCH):
        _put(client, aws.outputs["LedgerTableName"], items[start : start + _BATCH])
    return due_at


def _put(client: DynamoDBClient, table: str, items: Sequence[Mapping[str, UniversalAttributeValueTypeDef]]) -> None:
    client.batch_write_item(RequestItems={table: [{"PutRequest": {"Item": item}} for item in items]})


def ledger_row(ref: BuildRef, created: datetime, due_at: datetime) -> dict[str, UniversalAttributeValueTypeDef]:
    """Return the row of a running build that was polled before and whose execution waits."""
    row: dict[str, Scalar] = {
        "build": str(ref),
        "schema_version": 1,
        "status": BuildStatus.RUNNING.value,
        "first_seen_at": stamp(created),
        "status_since": stamp(created),
        "created_at": stamp(created),
        "deadline_at": stamp(created + timedelta(seconds=_WAIT_SECONDS)),
        "due_source": ref.source,
        "next_poll_at": stamp(due_at),
        "execution": f"execution-of-{ref.build_id}",
        "kept_token": mark_of(f"token-of-{ref.build_id}"),
    }
    return {name: encode(value) for name, value in row.items()}


def _most_in_a_minute(moments: Sequence[float]) -> int:
    ordered = sorted(moments)
    return max((sum(start <= moment < start + MINUTE for moment in ordered) for start in ordered), default=0)


class _Provider:
    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.port = port
        self._process = process

    def stop(self) -> dict[str, list[float]]:
        """Stop the provider and return the request times by API key."""
        output, _ = self._process.communicate(timeout=_END_SECONDS)
        request_times: dict[str, list[float]] = json.loads(output)
        return request_times


@contextmanager
def _provider(
    builds: Mapping[str, Mapping[str, Mapping[str, datetime]]], latency_seconds: float
) -> Iterator[_Provider]:
    document = {
        "latency_seconds": latency_seconds,
        "builds": {
            _key(name): {
                scope: {build_id: stamp(created) for build_id, created in ids.items()} for scope, ids in scopes.items()
            }
            for name, scopes in builds.items()
        },
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.polling.load_provider"],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        if process.stdin is None or process.stdout is None:
            raise AssertionError("the process has pipes")
        process.stdin.write(json.dumps(document) + "\n")
        process.stdin.flush()
        yield _Provider(process, int(process.stdout.readline()))
    finally:
        process.terminate()
        process.communicate(timeout=_END_SECONDS)
