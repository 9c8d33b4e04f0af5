"""``courier get``: download a report, and prove that it is the recorded one."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from cli.shared import (
    DEFAULT_STACK,
    EXIT_FAILED,
    SEARCHED,
    BuildArgument,
    EndpointUrl,
    Profile,
    Region,
    SearchedSince,
    StackName,
    say,
)
from courier.errors import SettingsError

if TYPE_CHECKING:
    from courier.models import StoredArtifact

_CHUNK_BYTES = 1024 * 1024


def get(
    build: BuildArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="File to write; `-` is standard output. [default: its own name]"
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    since: SearchedSince = SEARCHED,
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Download the report of a build from the bucket, and check it against the SHA-256 of its record.

    The file appears complete, or not at all. A report that is stored with a content encoding, such
    as gzip, is written as it is stored.

    **Examples**

        courier get dd4519b2

        courier get dd4519b2 -o - | pdftotext - -

    **Exit code** 0: the file is written. 1: the build has no report, or the stored bytes differ from the record. 2:
    BUILD matches no build or more than one, the file exists, or AWS refuses.
    """
    from cli.build_search import find_build, parse_since
    from cli.stack import open_stack

    errors = Console(stderr=True)
    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target:
        found = find_build(target, build, since=parse_since(since, now=datetime.now(UTC)))
        artifact = None if found.record is None else found.record.artifact
        if artifact is None:
            say(errors, f"courier: {found.ref} has no report: its state is {found.state}", style="red")
            raise typer.Exit(EXIT_FAILED)
        file = output or Path(artifact.key.rpartition("/")[2])
        is_stream = str(file) == "-"
        if not is_stream and file.exists() and not force:
            raise SettingsError(f"{file} exists; name another file with --output, or add --force")
        try:
            digest = _download(artifact, sys.stdout.buffer) if is_stream else _download_to(artifact, file)
        except BrokenPipeError:
            raise
        except OSError as exc:
            raise SettingsError(f"{file}: cannot be written: {exc.strerror or type(exc).__name__}") from exc
    if digest != artifact.sha256:
        say(errors, f"courier: {artifact.key}: the stored bytes differ from the record's SHA-256", style="red")
        raise typer.Exit(EXIT_FAILED)
    if not is_stream:
        say(Console(highlight=False), f"{file}: {artifact.size_bytes} bytes, sha256 {artifact.sha256}")


def _download_to(artifact: StoredArtifact, file: Path) -> str:
    """Download into a file that appears if its bytes are the recorded ones; return their SHA-256."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name[:100]}.", delete=False) as part:
        try:
            digest = _download(artifact, part)
            part.close()
            if digest == artifact.sha256:
                Path(part.name).chmod(0o666 & ~_umask())
                os.replace(part.name, file)  # noqa: PTH105 - says that it replaces
        finally:
            Path(part.name).unlink(missing_ok=True)
    return digest


def _download(artifact: StoredArtifact, file: IO[bytes]) -> str:
    """Write the stored bytes, and return their SHA-256."""
    digest = hashlib.sha256()
    with open_stored(artifact) as chunks:
        for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


@contextmanager
def open_stored(artifact: StoredArtifact) -> Generator[Iterator[bytes], None, None]:
    """Open the recorded version of a report in the bucket, and yield its bytes in pieces."""
    from courier import aws

    version: Any = {"VersionId": artifact.version_id} if artifact.version_id else {}
    response = aws.client("s3").get_object(Bucket=artifact.bucket, Key=artifact.key, **version)
    # Not `with response["Body"]`, which yields urllib3's stream: that does not notice a body that was cut.
    with closing(response["Body"]) as body:
        yield body.iter_chunks(_CHUNK_BYTES)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
