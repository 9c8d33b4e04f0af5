"""Ten thousand builds in flight over fifty sources, and one real tick through the real handler.

The rows are put into the ledger without executions, since none of these builds ends: 10,000 executions would only
be 30,000 threads of the embedded AWS. Everything else is as ever: the dispatcher finds what is due, hands it out in
segments by asynchronous invocations, and each segment is a process of its own.
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

from bench.waiting.lives import LATENCY_SECONDS, TEMPLATE, configure
from bench.waiting.sandboxes import Run, Sandboxes
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
# Ages of the builds: young ones, which are looked at each minute, and old ones, evenly.
_OLDEST_SECONDS = 3 * 3600.0
_WAIT_SECONDS = 24 * 3600
_BATCH = 25
# Processors are few here, and a process more or less changes nothing of what a segment needs.
_AT_ONCE = 6
_LONGEST_SECONDS = 300.0
_END_SECONDS = 10.0


@dataclass(frozen=True)
class Group:
    """So many sources alike, each with so many builds in flight, over so many scopes if it can list them."""

    sources: int
    builds: int
    scopes: int = 0


CROWD = (Group(1, 2000, 40), Group(24, 250, 5), Group(23, 86), Group(1, 21), Group(1, 1))
SMALL_CROWD = (Group(1, 400, 4), Group(1, 30), Group(1, 1))


@dataclass(frozen=True, kw_only=True)
class Account:
    """One source and its builds: created at these moments, by id, by scope."""

    settings: SourceSettings
    key: str
    builds: Mapping[str, Mapping[str, datetime]]

    @property
    def single(self) -> bool:
        """Whether it has one build only."""
        return sum(map(len, self.builds.values())) == 1


@dataclass(frozen=True, kw_only=True)
class Rush:
    """How the tick went.

    ``due``, ``looked``
        Builds, by source: due when the tick began, and looked at when it was over.
    ``asked``
        Requests to all providers.
    ``most_in_a_minute``
        Requests of each source within any minute, as the provider saw them.
    ``aws_cpu_seconds``
        What the embedded AWS computed meanwhile.
    """

    accounts: Sequence[Account]
    due: Counter[str]
    looked: Counter[str]
    most_in_a_minute: Mapping[str, int]
    dispatcher: Run
    segments: Sequence[Run]
    seconds: float
    aws_cpu_seconds: float
    asked: int

    @property
    def builds(self) -> int:
        """All builds in flight."""
        return sum(len(ids) for account in self.accounts for ids in account.builds.values())

    @property
    def over_budget(self) -> list[str]:
        """Sources that were asked more often than they bear."""
        budgets = {account.settings.name: account.settings.requests_per_minute for account in self.accounts}
        return [name for name, most in self.most_in_a_minute.items() if most > budgets[name]]


def rush(groups: Sequence[Group] = CROWD, *, seed: int = 1, latency_seconds: float = LATENCY_SECONDS) -> Rush:
    """Put the crowd into a ledger, and let one tick look at what is due."""
    random = Random(seed)  # noqa: S311 - a benchmark, repeatable by its seed
    now = datetime.now(UTC)
    builds = {name: _builds(group, now, random, name) for name, group in _named(groups)}
    with _provider(builds, latency_seconds) as provider, Sandboxes(most_at_once=_AT_ONCE) as sandboxes:
        accounts = [
            Account(settings=_source(name, group, provider.port), key=_key(name), builds=builds[name])
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
        asked = provider.stop()
    dispatcher, *segments = sorted(sandboxes.runs, key=lambda run: '"due": [{' in run.payload)
    return Rush(
        accounts=accounts,
        due=Counter(build.partition("/")[0] for build in due),
        looked=Counter(build.partition("/")[0] for build in due if int(str(rows[build].get("polls", 0))) == 1),
        most_in_a_minute={account.settings.name: _most_in_a_minute(asked.get(account.key, ())) for account in accounts},
        dispatcher=dispatcher,
        segments=segments,
        seconds=max(run.ended_at for run in sandboxes.runs) - began_at,
        aws_cpu_seconds=cpu,
        asked=sum(map(len, asked.values())),
    )


def _named(groups: Sequence[Group]) -> Iterator[tuple[str, Group]]:
    number = 0
    for group in groups:
        for _ in range(group.sources):
            number += 1
            yield f"source-{number}", group


def _key(name: str) -> str:
    return f"key-of-{name}"


def _builds(group: Group, now: datetime, random: Random, name: str) -> dict[str, dict[str, datetime]]:
    scopes = [f"model-{number}" for number in range(group.scopes)] or [f"acme/main/{name}"]
    builds: dict[str, dict[str, datetime]] = {scope: {} for scope in scopes}
    for number in range(group.builds):
        created = now - timedelta(seconds=random.uniform(MINUTE, _OLDEST_SECONDS))
        builds[scopes[number % len(scopes)]][f"{name}-build-{number:06}"] = created
    return builds


def _source(name: str, group: Group, port: int) -> SourceSettings:
    common = {"name": name, "endpoint": f"http://127.0.0.1:{port}", "insecure": True, "secret": f"build-courier/{name}"}
    if group.scopes:
        return parse_source({**common, "provider": "treasure_insights", "data_models": "all"})
    place = {"organization": "acme", "workspace": "main", "project": name}
    return parse_source({**common, **place, "provider": "dreadnode_airt"})


def _fill(aws: EmbeddedAws, accounts: Sequence[Account], now: datetime, random: Random) -> dict[str, datetime]:
    """Put a row for each build, with a next look where the beat may have put it; gives those by row."""
    due_at: dict[str, datetime] = {}
    items: list[dict[str, UniversalAttributeValueTypeDef]] = []
    for account in accounts:
        for scope, builds in account.builds.items():
            for build_id, created in builds.items():
                ref = BuildRef(source=account.settings.name, scope=scope, build_id=build_id)
                # The last look was at some moment within the last gap, so that what is due now
                # is what became due within the last minute.
                gap = next_gap((now - created).total_seconds(), account.settings.polling, seed=str(ref)) or MINUTE
                # A source with a single build is due as well: it must not be forgotten over the others.
                ahead = 0.0 if account.single else random.uniform(0, gap)
                due_at[str(ref)] = now - timedelta(seconds=MINUTE - ahead)
                items.append(row_of(ref, created, due_at[str(ref)]))
    client = aws.client("dynamodb")
    for start in range(0, len(items), _BATCH):
        _put(client, aws.outputs["LedgerTableName"], items[start : start + _BATCH])
    return due_at


def _put(client: DynamoDBClient, table: str, items: Sequence[Mapping[str, UniversalAttributeValueTypeDef]]) -> None:
    client.batch_write_item(RequestItems={table: [{"PutRequest": {"Item": item}} for item in items]})


def row_of(ref: BuildRef, created: datetime, due_at: datetime) -> dict[str, UniversalAttributeValueTypeDef]:
    """Give a row as the ledger has it of a running build that was looked at before and whose execution waits."""
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
        """End it, and give who asked when."""
        said, _ = self._process.communicate(timeout=_END_SECONDS)
        asked: dict[str, list[float]] = json.loads(said)
        return asked


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
        [sys.executable, "-m", "bench.waiting.crowd_provider"],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        if process.stdin is None or process.stdout is None:
            raise AssertionError("opened with pipes")
        process.stdin.write(json.dumps(document) + "\n")
        process.stdin.flush()
        yield _Provider(process, int(process.stdout.readline()))
    finally:
        process.terminate()
        process.communicate(timeout=_END_SECONDS)
