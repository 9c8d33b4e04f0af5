"""Reads the records in a stack's bucket, the newest first, with a bounded number of calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pydantic import AwareDatetime, ValidationError

from courier import aws
from courier.models import AccountLimits, Act, Attempt, Problem, StoredArtifact
from courier.object_keys import segment
from courier.outcomes.records import CourierFacts, LatestHead, LatestTimeline

if TYPE_CHECKING:
    from cli.stack import Stack

# What one command reads at most: 2,000 records cost less than a cent and take some seconds.
MOST_RECORDS = 2_000
# Pages of 1,000 keys that one search lists per source.
MOST_PAGES = 200
_CONCURRENT_READS = 10
# Records of one day that are read before the progress is shown.
_CHUNK = 500


class RecordTimeline(LatestTimeline):
    """The instants of a record, written by any 1.x version."""

    created_at: AwareDatetime | None = None
    started_at: AwareDatetime | None = None
    first_seen_at: AwareDatetime | None = None
    copied_at: AwareDatetime | None = None


class EndedRecord(LatestHead):
    """A record for display, written by any 1.x version."""

    timeline: RecordTimeline
    outcome: str
    provider: str = ""
    artifact: StoredArtifact | None = None
    problem: Problem | None = None
    limits: AccountLimits | None = None
    courier: CourierFacts | None = None
    attempt: int = 1
    earlier_attempts: tuple[Attempt, ...] = ()
    acts: tuple[Act, ...] = ()

    @property
    def seconds(self) -> float | None:
        """How long the build took, where the provider reports both ends."""
        begin, end = self.timeline.created_at or self.timeline.started_at, self.timeline.completed_at
        return None if begin is None or end is None else max(0.0, (end - begin).total_seconds())


@dataclass
class Found:
    """Records by their keys, the newest first; ``cut`` says why there may be more."""

    records: dict[str, EndedRecord] = field(default_factory=dict)
    cut: str | None = None


def read_last_records(
    stack: Stack,
    *,
    most: int,
    source: str | None = None,
    since: datetime | None = None,
    matches: Callable[[EndedRecord], bool] = lambda _: True,
    most_read: int | None = None,
    on_read: Callable[[int], None] = lambda _: None,
) -> Found:
    """Read the newest records of one source or of all, also of removed ones.

    One list call finds the sources, one per source its days, and one per source and day the records, from the newest
    day back until there are enough. ``on_read`` is called with the number of records read so far.
    """
    most_read = MOST_RECORDS if most_read is None else most_read
    found, read = Found(), 0
    for key_of_day in _keys_by_day(stack, source, since):
        keys = list(key_of_day)
        while keys:
            # Without a filter this reads only records that are shown.
            count = min(len(keys), max(1, most - len(found.records)), most_read - read, _CHUNK)
            chunk, keys = keys[:count], keys[count:]
            read += count
            on_read(read)
            for key, record in read_records(stack, chunk).items():
                if matches(record) and (since is None or record.ended_at >= since):
                    found.records[key] = record
            if len(found.records) >= most:
                found.cut = f"more than {most} builds may match: --limit shows more"
                return _sorted(found)
            if read >= most_read:
                found.cut = f"only the newest {most_read} records were read: narrow it down with --since or --source"
                return _sorted(found)
    return _sorted(found)


def find_records(stack: Stack, beginning: str, *, since: datetime, most: int) -> Found:
    """Find the records of builds whose id begins like this and that ended since then; reads ``most`` at most."""
    start = segment(beginning)
    found, keys = Found(), list[str]()
    for source in _folders(stack, f"{_root(stack)}source="):
        pages = _pages(stack, source, StartAfter=f"{source}date={since.date().isoformat()}")
        for number, page in enumerate(pages):
            if number == MOST_PAGES:
                found.cut = f"only {MOST_PAGES * 1_000} records per source were searched: name SOURCE/SCOPE/ID"
                break
            names = (item["Key"] for item in page.get("Contents", []))
            keys += [key for key in names if key.rpartition("/")[2].startswith(start)]
    # The whole id first, however many ids it begins.
    keys.sort(key=lambda key: not key.endswith(f"/{start}.json"))
    found.records = read_records(stack, keys[:most])
    return _sorted(found)


def read_latest(stack: Stack, source: str | None, *, most: int) -> Found:
    """Read the records under ``latest/``: the newest good build of each scope."""
    prefix = f"{stack.container.environment.prefix}latest/{'' if source is None else segment(source) + '/'}"
    keys = []
    for page in _pages(stack, prefix):
        keys += [item["Key"] for item in page.get("Contents", [])]
        if len(keys) > most:
            break
    found = Found(read_records(stack, keys[:most]))
    if len(keys) > most:
        found.cut = f"only {most} scopes are shown: name a source, or raise --limit"
    return _sorted(found)


def read_records(stack: Stack, keys: Sequence[str]) -> dict[str, EndedRecord]:
    """Read records; objects that are none, or of a later major version, are left out."""
    # Made here: two threads must not make the same client.
    aws.client("s3")
    with ThreadPoolExecutor(_CONCURRENT_READS) as pool:
        read = pool.map(lambda key: _read(stack, key), keys)
        return {key: record for key, record in zip(keys, read, strict=True) if record is not None}


def _sorted(found: Found) -> Found:
    newest_first = sorted(found.records.items(), key=lambda item: item[1].ended_at, reverse=True)
    return Found(dict(newest_first), found.cut)


def _root(stack: Stack) -> str:
    return f"{stack.container.environment.prefix}records/"


def _keys_by_day(stack: Stack, source: str | None, since: datetime | None) -> Iterator[Sequence[str]]:
    """Yield the keys of one day after the other, the newest day first."""
    root = _root(stack)
    sources: Iterable[str] = (
        _folders(stack, f"{root}source=") if source is None else [f"{root}source={segment(source)}/"]
    )
    days: dict[str, list[str]] = {}
    for folder in sources:
        for day in _folders(stack, f"{folder}date=", since=None if since is None else since.date()):
            days.setdefault(unquote(day.removesuffix("/").rpartition("date=")[2]), []).append(day)
    for name in sorted(days, reverse=True):
        listed = [
            (item["LastModified"], item["Key"])
            for prefix in days[name]
            for page in _pages(stack, prefix)
            for item in page.get("Contents", [])
        ]
        yield [key for _, key in sorted(listed, reverse=True)]


def _folders(stack: Stack, prefix: str, *, since: date | None = None) -> Iterator[str]:
    start = {} if since is None else {"StartAfter": f"{prefix}{since.isoformat()}"}
    for page in _pages(stack, prefix, Delimiter="/", **start):
        yield from (entry["Prefix"] for entry in page.get("CommonPrefixes", []))


def _pages(stack: Stack, prefix: str, **more: str) -> Iterator[Any]:
    paginator = aws.client("s3").get_paginator("list_objects_v2")
    arguments: dict[str, Any] = {"Bucket": stack.outputs["BucketName"], "Prefix": prefix, **more}
    yield from paginator.paginate(**arguments)


def _read(stack: Stack, key: str) -> EndedRecord | None:
    client = aws.client("s3")
    try:
        with closing(client.get_object(Bucket=stack.outputs["BucketName"], Key=key)["Body"]) as body:
            text = body.read()
    except client.exceptions.NoSuchKey:
        return None
    try:
        return EndedRecord.model_validate_json(text)
    except ValidationError:
        return None
