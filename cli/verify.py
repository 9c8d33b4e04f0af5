"""``courier verify``: prove that the stored reports are the recorded ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from cli.shared import (
    DEFAULT_STACK,
    EXIT_FAILED,
    SEARCHED,
    BuildArguments,
    EndpointUrl,
    Profile,
    Region,
    SearchedSince,
    StackName,
    say,
)
from cli.tables import Format, FormatOption, print_data
from courier.errors import SettingsError

if TYPE_CHECKING:
    from cli.records import EndedRecord
    from courier.models import StoredArtifact

_CONCURRENT_READS = 4
_GONE = frozenset({"NoSuchKey", "NoSuchVersion", "404"})


def verify(
    builds: BuildArguments = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every delivered report whose build ended since `--since`.")
    ] = False,
    source: Annotated[str | None, typer.Option(help="With `--all`: only reports of this source.")] = None,
    since: SearchedSince = SEARCHED,
    output_format: FormatOption = Format.TABLE,
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Read stored reports, and compare size and SHA-256 with their records.

    It only reads; AWS bills the reads, and the transfer out of its network. The version that the record names is
    read, so an object that was replaced or deleted later does not matter where the bucket keeps versions.

    **Examples**

        courier verify dd4519b2

        courier verify --all --since 30d --format json

    **Exit code** 0: all are the recorded ones. 1: at least one differs, is gone, or was never stored. 2: an option is
    wrong, no build or several begin so, or AWS refuses.
    """
    from cli.act import named_builds
    from cli.build_search import find_build, parse_since
    from cli.records import read_last_records
    from cli.stack import open_stack
    from courier import aws

    if bool(builds) == everything or (source and not everything):
        raise SettingsError("name builds, or pass --all")
    start = parse_since(since, now=datetime.now(UTC))
    cut = None
    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target:
        if everything:
            found = read_last_records(
                target, most=_MOST, source=source, since=start, matches=lambda record: record.artifact is not None
            )
            records, cut = list(found.records.values()), found.cut
        else:
            refs = named_builds(target, builds or [], since=since)
            every = {ref: find_build(target, str(ref), since=start).record for ref in refs}
            records = [record for record in every.values() if record is not None]
            if missing := [str(ref) for ref, record in every.items() if record is None]:
                raise SettingsError(f"{missing[0]} has not ended, so it has no report yet")
        # Made here: two threads must not make the same client.
        aws.client("s3")
        with ThreadPoolExecutor(_CONCURRENT_READS) as pool:
            rows = list(pool.map(_verify, records))
    _print(rows, output_format)
    if cut:
        say(Console(stderr=True), f"courier: cut short: {cut}", style="yellow")
    if cut or not all(row["verified"] for row in rows):
        raise typer.Exit(EXIT_FAILED)


_MOST = 2_000


def _verify(record: EndedRecord) -> dict[str, Any]:
    artifact = record.artifact
    problem = "it has no report: its outcome is " + record.outcome if artifact is None else _difference(artifact)
    return {
        "build": str(record.build),
        "verified": problem is None,
        "problem": problem,
        "size_bytes": artifact.size_bytes if artifact else None,
        "sha256": artifact.sha256 if artifact else None,
        "key": artifact.key if artifact else None,
    }


def _difference(artifact: StoredArtifact) -> str | None:
    """Return how the stored bytes differ from the recorded ones, None where they do not."""
    from botocore.exceptions import ClientError

    from cli.get import open_stored

    digest, size = hashlib.sha256(), 0
    try:
        with open_stored(artifact) as chunks:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
    except ClientError as exc:
        if exc.response["Error"]["Code"] in _GONE:
            return "the object is gone"
        raise
    if size != artifact.size_bytes:
        return f"{size} bytes are stored, {artifact.size_bytes} are recorded"
    return None if digest.hexdigest() == artifact.sha256 else f"the SHA-256 of the stored bytes is {digest.hexdigest()}"


def _print(rows: Sequence[dict[str, Any]], chosen: Format) -> None:
    if chosen is not Format.TABLE:
        print_data(list(rows), rows, chosen)
        return
    console = Console(highlight=False)
    for row in rows:
        word, style = ("verified", "green") if row["verified"] else ("differs", "red")
        say(console, f"{word:<8}  {row['build']}  {row['problem'] or row['sha256']}", style=style)
    good = sum(row["verified"] for row in rows)
    say(console, f"{good} of {len(rows)} report{'' if len(rows) == 1 else 's'} verified")
