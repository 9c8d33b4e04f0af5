"""``courier move-bucket``: after a change of bucket, bring the records of the earlier one along."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from cli.shared import DEFAULT_STACK, EXIT_FAILED, EndpointUrl, Profile, Region, StackName, say
from courier.errors import SettingsError

if TYPE_CHECKING:
    from cli.stack import Stack

_CONCURRENT_COPIES = 8
# Records that are read at a time, so that the progress moves.
_CHUNK = 200
COPIED, KEPT, UNREADABLE = "copied", "kept", "unreadable"


def move_bucket(
    old: Annotated[str, typer.Argument(metavar="OLD-BUCKET", help="Name of the bucket that the stack had before.")],
    old_prefix: Annotated[
        str | None,
        typer.Option(metavar="PREFIX", help="KeyPrefix that the stack had before. [default: the one it has now]"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would be copied, and copy nothing.")] = False,
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Copy records and `latest` from the stack's earlier bucket, after a deployment with another `ExistingBucketName`.

    From then on `status`, `builds`, `latest`, the page and every query see the builds of both. Reports stay in the
    earlier bucket, whose name is in their records; `get` and `verify` find them there. Nothing is changed in the
    earlier bucket, no record of the new one is replaced, and `latest` never moves back in time, so the command may be
    repeated. docs/upgrades.md describes the whole move.

    **Example**

        courier move-bucket acme-reports-2026

    **Exit code** 0: the new bucket has all records. 1: an object under `latest` is no record that this version reads.
    2: AWS refuses, or the bucket is the one that the stack has now.
    """
    from cli.stack import open_stack

    console = Console(highlight=False)
    progress = Console(stderr=True, highlight=False)
    with (
        progress.status("Listing the earlier bucket") as status,
        open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target,
    ):
        bucket = target.outputs["BucketName"]
        prefix = target.container.environment.prefix
        source = prefix if old_prefix is None else old_prefix
        if (old, source) == (bucket, prefix):
            raise SettingsError(
                f"{old} is the bucket that stack {target.name} has now; deploy it with the new bucket first "
                "(parameter ExistingBucketName), then name the earlier one here"
            )

        def on_copy(count: int) -> None:
            status.update(f"Reading records: {count:,}")

        records = _each(_keys(old, f"{source}records/"), _record_copier(old, source, target, dry_run), on_copy)
        heads = _each(_keys(old, f"{source}latest/"), _head_copier(old, target, dry_run), on_copy)
    would = "would be " if dry_run else ""
    say(console, f"{records[COPIED]} records {would}copied to {bucket}, {records[KEPT]} are there already")
    say(console, f"{heads[COPIED]} heads {would}written under latest, {heads[KEPT]} are as new or newer there")
    say(console, f"Reports stay in {old}: keep that bucket for as long as you need them")
    if unreadable := heads[UNREADABLE]:
        say(
            progress,
            f"courier: {unreadable} objects under latest are no records that this version reads",
            style="red",
        )
        raise typer.Exit(EXIT_FAILED)


def _each(keys: Iterator[str], copy: Callable[[str], str], on_copy: Callable[[int], None]) -> Counter[str]:
    """Copy each object, several at a time, and count what became of them."""
    from courier import aws

    # Made here: two threads must not make the same client.
    aws.client("s3")
    found: Counter[str] = Counter()
    with ThreadPoolExecutor(_CONCURRENT_COPIES) as pool:
        while chunk := list(islice(keys, _CHUNK)):
            found.update(pool.map(copy, chunk))
            on_copy(found.total())
    return found


def _keys(bucket: str, prefix: str) -> Iterator[str]:
    from courier import aws

    for page in aws.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from (item["Key"] for item in page.get("Contents", []))


def _record_copier(old: str, old_prefix: str, stack: Stack, dry_run: bool) -> Callable[[str], str]:
    """Return what copies one record, unless the new bucket has it already."""
    from courier import aws

    client, bucket = aws.client("s3"), stack.outputs["BucketName"]

    def copy(key: str) -> str:
        new_key = stack.container.environment.prefix + key.removeprefix(old_prefix)
        if _exists(bucket, new_key):
            return KEPT
        if dry_run:
            return COPIED
        body = _read(old, key)
        try:
            client.put_object(Bucket=bucket, Key=new_key, Body=body, ContentType="application/json", IfNoneMatch="*")
        except client.exceptions.ClientError as exc:
            # The courier, or another run of this command, has just written it.
            if exc.response["Error"]["Code"] not in {"PreconditionFailed", "ConditionalRequestConflict"}:
                raise
            return KEPT
        return COPIED

    return copy


def _head_copier(old: str, stack: Stack, dry_run: bool) -> Callable[[str], str]:
    """Return what writes one record under ``latest``, unless the new bucket has a newer one."""
    from pydantic import ValidationError

    from courier.object_keys import latest_key
    from courier.outcomes.records import LatestHead, Record

    bucket, prefix = stack.outputs["BucketName"], stack.container.environment.prefix

    def copy(key: str) -> str:
        try:
            record = Record.model_validate_json(_read(old, key))
            new_key = latest_key(prefix, record.build)
            current = LatestHead.model_validate_json(_read(bucket, new_key)) if _exists(bucket, new_key) else None
        except ValidationError:
            return UNREADABLE
        if current is not None and (current.build == record.build or current.ended_at >= record.ended_at):
            return KEPT
        return COPIED if dry_run or stack.container.records.write_latest(record) else KEPT

    return copy


def _exists(bucket: str, key: str) -> bool:
    from courier import aws

    client = aws.client("s3")
    try:
        client.head_object(Bucket=bucket, Key=key)
    except client.exceptions.ClientError as exc:
        if exc.response["Error"]["Code"] not in {"404", "NoSuchKey"}:
            raise
        return False
    return True


def _read(bucket: str, key: str) -> bytes:
    from courier import aws

    response: Any = aws.client("s3").get_object(Bucket=bucket, Key=key)
    with closing(response["Body"]) as body:
        return bytes(body.read())
