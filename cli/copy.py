"""``courier copy``: the copy of a report, as a command."""

from __future__ import annotations

import math
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer
from rich.console import Console

from cli.shared import EXIT_FAILED, Profile
from courier.errors import CourierError, SettingsError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

    from courier.transfer.options import Destination

MIB, GIB = 1024**2, 1024**3
_SIZE = re.compile(r"(\d+)\s*(|B|KiB|MiB|GiB)\Z", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "kib": 1024, "mib": MIB, "gib": GIB}
# Errors of the copy name settings of a source; here they are options.
_OPTIONS = {
    "set artifact.private_addresses, or add ": "use --private-addresses, or --allow-host ",
    " to artifact.hosts": "",
    "artifact.hosts": "--allow-host",
    "artifact.content_types": "--content-type",
    "ca_bundle": "--ca-bundle",
    "the provider promises": "--size says",
    ", and the provider returns the same link again": "; ask for a fresh one",
}
# The ARN of an access point stands for a bucket (S3 user guide, "Using access points"); the key follows a slash.
_ARN = re.compile(
    r"(?P<bucket>arn:[a-z0-9-]+:s3[a-z-]*:(?P<region>[a-z0-9-]*):[0-9]{12}:"
    r"(?:outpost[:/][A-Za-z0-9-]+[:/])?accesspoint[:/][A-Za-z0-9.-]+)(?:/(?P<key>.*))?",
    re.DOTALL,
)
_BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}\Z")
_REFUSED_HOST = re.compile(r"the link points to (?P<origin>\S+), --allow-host allows .*\Z")


def copy_command(
    url: Annotated[
        str,
        typer.Argument(
            help="Where to read, such as a presigned URL. `-` reads the URL from standard input: a presigned URL is a"
            " secret, and arguments are visible in the process list.",
            show_default=False,
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(
            help="Where to write: `s3://bucket/key`. The ARN of an access point may stand for the bucket.",
            show_default=False,
        ),
    ],
    profile: Profile = None,
    region: Annotated[
        str | None,
        typer.Option(
            metavar="REGION",
            envvar="COURIER_REGION",
            show_default="the one of your AWS configuration",
            help="AWS region of the bucket.",
        ),
    ] = None,
    endpoint_url: Annotated[
        str | None,
        typer.Option("--endpoint-url", metavar="URL", help="Endpoint to use instead of S3, such as a local emulator."),
    ] = None,
    sha256: Annotated[str | None, typer.Option(metavar="DIGEST", help="Expected SHA-256, in hexadecimal.")] = None,
    size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Expected length, such as `183204` or `2GiB`.")
    ] = None,
    content_type: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE", help="Media type to accept. Repeatable. Without it, everything except HTML and XML."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Parts to copy in parallel.", min=1, max=64)] = 6,
    part_size: Annotated[
        str, typer.Option(metavar="SIZE", help="Size of a part. Memory use is workers x part size + 10 MiB.")
    ] = "8MiB",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST",
            help="Host to read from, as `[http://]host[:port]` or `*.suffix`. Repeatable. Without it, *.amazonaws.com.",
        ),
    ] = None,
    private_addresses: Annotated[
        bool, typer.Option("--private-addresses", help="The named hosts may be in a private network.")
    ] = False,
    no_ranges: Annotated[
        bool, typer.Option("--no-ranges", help="Read the file in one GET, for links that are good for one request.")
    ] = False,
    content_md5: Annotated[
        bool,
        typer.Option(
            "--content-md5",
            help="Send Content-MD5 instead of x-amz-checksum headers, for S3-compatible stores that refuse those.",
        ),
    ] = False,
    ca_bundle: Annotated[
        Path | None,
        typer.Option(help="PEM file with the certificate authority of your own storage.", exists=True, dir_okay=False),
    ] = None,
) -> None:
    r"""Copy a file from a URL to S3, complete and verified, or not at all.

    An existing object is never overwritten: if it has the same bytes, the copy succeeds, otherwise it fails.
    Hosts other than `*.amazonaws.com` need `--allow-host`. Proxy variables apply to S3 alone.

    On Amazon S3 a copy of any size needs `s3:PutObject`; `s3:AbortMultipartUpload` to clean up after a failure, and
    `s3:GetObject` with `s3:ListBucket` to compare an object that exists. Other stores may ignore conditional writes:
    there the key is read before and after the write, which always needs `s3:GetObject`.

    Exit code 1: the copy failed and left nothing behind. Exit code 2: wrong usage, or no AWS credentials.

    **Example**

        jq -r .url answer.json | courier copy - s3://my-bucket/report.pdf \
            --allow-host files.example.com
    """
    from cli.stack import aws_environment, one_line_errors
    from courier.config.settings import ArtifactSettings
    from courier.links import ArtifactLink, SecretUrl
    from courier.transfer.checkpoint import MemoryCheckpointStore
    from courier.transfer.copy import copy
    from courier.transfer.options import MOST_PARTS, CopyOptions, Expected
    from courier.transfer.url_policy import LinkRules

    bad = typer.BadParameter
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise bad("must be 64 hexadecimal digits", param_hint="--sha256")
    try:
        options = CopyOptions(
            workers=workers,
            part_size_bytes=parse_size(part_size, "--part-size"),
            ranges=not no_ranges,
            content_md5=content_md5,
        )
    except ValueError as exc:
        raise bad(str(exc), param_hint="--part-size") from exc
    try:
        rules = LinkRules.parse(allow_host or ArtifactSettings().hosts, private_addresses=private_addresses)
    except SettingsError as exc:
        raise bad(str(exc), param_hint="--allow-host") from exc
    link = ArtifactLink(
        url=SecretUrl(sys.stdin.readline().strip() if url == "-" else url),
        size_bytes=None if size is None else parse_size(size, "--size"),
        expires_at=None,
        filename="",
    )
    destination = parse_target(target, endpoint_url)
    # The endpoint applies to the bucket alone: credentials may still come from the real AWS.
    with aws_environment(profile=profile, region=region, endpoint_url=None):
        with one_line_errors():
            s3 = _client(endpoint_url, ca_bundle, workers)
        existing: list[bool] = []
        began = time.monotonic()
        try:
            with _progress(Console(stderr=True)) as show:
                artifact = copy(
                    lambda: link,
                    destination,
                    s3=s3,
                    rules=rules,
                    expected=Expected(
                        content_types=tuple(content_type or ()),
                        largest_bytes=MOST_PARTS * 5 * GIB,
                        sha256=sha256,
                    ),
                    checkpoints=MemoryCheckpointStore(),
                    seconds_left=lambda: math.inf,
                    ca_bundle=None if ca_bundle is None else ca_bundle.read_text(),
                    options=options,
                    progress=show,
                    on_existing=lambda: existing.append(True),
                )
        except CourierError as exc:
            typer.echo(f"courier: {_with_option_names(exc)}", err=True)
            raise typer.Exit(EXIT_FAILED) from exc
    seconds = time.monotonic() - began
    speed = artifact.size_bytes / MIB / seconds
    unproven = "" if artifact.verified else ", length unverified"
    coding = "" if artifact.content_encoding is None else f", Content-Encoding {artifact.content_encoding}"
    pace = f"{artifact.size_bytes} bytes in {seconds:.2f} s, {speed:.1f} MiB/s"
    if existing:  # compared, and not overwritten
        pace = f"already exists with the same {artifact.size_bytes} bytes"
    typer.echo(f"{target}: {pace}, sha256 {artifact.sha256}{coding}{unproven}")


def _with_option_names(error: CourierError) -> str:
    text = str(error)
    for setting, option in _OPTIONS.items():
        text = text.replace(setting, option)
    if refused := _REFUSED_HOST.match(text):
        # The origin may come from a redirect, so it is quoted: pasting the option must not run a command.
        text += f"; to allow it: --allow-host {shlex.quote(refused['origin'])}"
    return text


def parse_target(text: str, endpoint_url: str | None) -> Destination:
    """Read ``s3://bucket/key``, where the bucket may be the ARN of an access point.

    Raises
    ------
    typer.BadParameter
        The text has another form, or cannot be used with the endpoint; the message names the option.
    """
    from courier.transfer.options import Destination

    bad = typer.BadParameter
    if endpoint_url is not None and not re.match(r"https?://[^/]", endpoint_url):
        raise bad("must look like http://127.0.0.1:9000", param_hint="--endpoint-url")
    path = text.removeprefix("s3://")
    access_point = _ARN.fullmatch(path)
    if access_point is not None:
        bucket, key = access_point["bucket"], access_point["key"] or ""
        _check_access_point(access_point["region"], endpoint_url)
    else:
        bucket, _, key = path.partition("/")
    if not text.startswith("s3://") or (access_point is None and not _BUCKET.match(bucket)):
        raise bad(f"{text!r} does not look like s3://bucket/key", param_hint="TARGET")
    if not key:
        raise bad(f"the key is missing: s3://{bucket}/KEY", param_hint="TARGET")
    if key.endswith("/"):
        raise bad(f"{text} is a folder; add a name: {text}NAME", param_hint="TARGET")
    try:
        return Destination(bucket=bucket, key=key)
    except SettingsError as exc:
        raise bad(str(exc), param_hint="TARGET") from exc


def _check_access_point(region: str, endpoint_url: str | None) -> None:
    """Refuse what botocore refuses only once the file has been downloaded."""
    if not region and find_spec("awscrt") is None:
        text = "a multi-Region access point needs another signature (pip install awscrt); name a bucket instead"
        raise typer.BadParameter(text, param_hint="TARGET")
    if endpoint_url is not None and not (urlsplit(endpoint_url).hostname or "").endswith(".amazonaws.com"):
        text = "the ARN of an access point has an endpoint of its own on AWS"
        raise typer.BadParameter(text, param_hint="--endpoint-url")


def parse_size(text: str, option: str) -> int:
    """Read a size in bytes.

    Raises
    ------
    typer.BadParameter
        The text is not a size, or is zero; the message names the option.
    """
    match = _SIZE.match(text.strip())
    if match is None:
        raise typer.BadParameter(
            f"{text!r} is not a size; use bytes, or a number with B, KiB, MiB or GiB"
            " (not KB, MB or GB, which mean 1000 to some and 1024 to others)",
            param_hint=option,
        )
    if not int(match[1]):
        raise typer.BadParameter("must be at least one byte", param_hint=option)
    return int(match[1]) * _UNITS[match[2].lower()]


def _client(endpoint_url: str | None, ca_bundle: Path | None, workers: int) -> S3Client:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import NoCredentialsError

    from courier.transfer.s3_calls import storage_config

    config = storage_config(workers)
    if endpoint_url is not None:
        # Self-hosted storage seldom has a host name per bucket.
        config = config.merge(Config(s3={"payload_signing_enabled": False, "addressing_style": "path"}))
    verify = None if endpoint_url is None or ca_bundle is None else str(ca_bundle)
    session = boto3.Session()
    credentials = session.get_credentials()
    if credentials is None:
        raise NoCredentialsError
    # Resolves credentials of a login or a role, so that a failure comes now and not after the download.
    credentials.get_frozen_credentials()
    return session.client("s3", config=config, endpoint_url=endpoint_url, verify=verify)


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[int, int | None], None] | None]:
    """Show a progress bar on a terminal, nothing elsewhere."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    if not console.is_terminal:
        yield None
        return
    columns = (BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("copy", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
