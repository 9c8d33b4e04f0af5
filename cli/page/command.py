"""``courier page``."""

from __future__ import annotations

import os
import sys
import tempfile
import webbrowser
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.shared import DEFAULT_STACK, EndpointUrl, Profile, Region, StackName, say
from courier.errors import SettingsError

MOST_BUILDS = 20_000
# The end of a local run must not wait for more.
MOST_BUILDS_OF_RUN = 1_000
PAGE_DAYS = timedelta(days=30)
# What identifies a page that an earlier run wrote, so that no other file is replaced.
_MARK = b'<meta name="generator" content="build-courier '
_MARK_WITHIN_BYTES = 4_096


def page(
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="File to write; `-` is standard output. [default: STACK.html]"
        ),
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    since: Annotated[
        str, typer.Option(metavar="WHEN", help="Builds that ended since then: `30d`, `12h`, or a date.")
    ] = "30d",
    limit: Annotated[int, typer.Option(min=1, max=MOST_BUILDS, help="Ended builds to read at most.")] = 10_000,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is not such a page.")] = False,
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Write one HTML file that shows what needs you, builds in flight, sources, recent builds, and trends.

    The file needs no server, loads nothing and sends nothing: open it, mail it, or leave it in the bucket. Its commands
    are ready to copy. It is a picture of one moment; make it again for a new one. Times are UTC.

    It only reads, and calls AWS only: some calls per source, and one per ended build, which cost $0.0004 per thousand.

    **Examples**

        courier page --open

        courier page -o - | aws s3 cp - s3://BUCKET/status.html --content-type text/html

    **Exit code** 0: the page is written. 2: an option is wrong, the file is none of ours, or AWS refuses.
    """
    from cli.build_search import parse_since
    from cli.deployment import choose_stack
    from cli.page.content import gather
    from cli.page.render import Place, render
    from cli.stack import open_stack
    from courier import aws

    now = datetime.now(UTC)
    start = parse_since(since, now=now)
    is_stream = output is not None and str(output) == "-"
    if is_stream and open_it:
        raise SettingsError("pass --open or -o -, not both: a browser opens a file")
    file = output or Path(f"{choose_stack(stack, region=region, profile=profile).stack}.html")
    if not is_stream:
        check_replaceable(file, force=force)
    progress = Console(stderr=True, highlight=False)
    with (
        progress.status("Reading the ledger") as status,
        open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target,
    ):
        content = gather(
            target,
            now=now,
            since=start,
            limit=limit,
            on_read=lambda count: status.update(f"Reading records: {count:,}"),
        )
        html = render(content, Place(region=aws.client("s3").meta.region_name))
    if is_stream:
        _write_to_stdout(html)
    else:
        write_page(file, html)
        say(Console(highlight=False), f"{file}: {len(content.ended)} builds since {start:%Y-%m-%d}, {content.summary}")
    for note in content.notes:
        say(progress, f"courier: cut short: {note}", style="yellow")
    if open_it and not webbrowser.open(file.resolve().as_uri()):
        say(progress, f"courier: there is no browser to open {file} with", style="yellow")


def _encode(html: str) -> bytes:
    # A lone surrogate, which a name may have, cannot be encoded otherwise.
    return html.encode(errors="xmlcharrefreplace")


def _write_to_stdout(html: str) -> None:
    """Write UTF-8, as the page says, whatever the encoding of the terminal is."""
    if (buffer := getattr(sys.stdout, "buffer", None)) is None:
        sys.stdout.write(html)
    else:
        buffer.write(_encode(html))


def write_page_of_run(folder: Path, name: str, outputs: Mapping[str, str], *, hint: str) -> Path:
    """Write the page of a local run beside its results, while the embedded AWS is up; ``hint`` continues the run.

    Raises
    ------
    SettingsError
        A file of the user has its name, or it cannot be written.
    """
    from cli.page.content import gather
    from cli.page.render import Place, render
    from cli.stack import one_line_errors, stack_with

    file = folder / "index.html"
    check_replaceable(file)
    now = datetime.now(UTC)
    with one_line_errors():
        content = gather(stack_with(name, outputs), now=now, since=now - PAGE_DAYS, limit=MOST_BUILDS_OF_RUN)
    write_page(file, render(content, Place(bucket_folder="bucket", commands=False, hint=hint)))
    return file


def check_replaceable(file: Path, *, force: bool = False) -> None:
    """Check that a page may be written here.

    Raises
    ------
    SettingsError
        The place cannot be written to, or has a file that is no page.
    """
    if file.is_dir():
        raise SettingsError(f"{file} is a folder; name a file, such as {file / 'index.html'}")
    if not file.exists() or force:
        return
    try:
        with file.open("rb") as existing:
            is_ours = _MARK in existing.read(_MARK_WITHIN_BYTES)
    except OSError as exc:
        raise SettingsError(f"{file}: cannot be read: {exc.strerror or type(exc).__name__}") from exc
    if not is_ours:
        raise SettingsError(f"{file} exists and is no page of courier; name another file with -o, or add --force")


def write_page(file: Path, html: str) -> None:
    """Write the page; it appears complete, or not at all.

    Raises
    ------
    SettingsError
        The file cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name[:100]}.", delete=False) as part:
            try:
                part.write(_encode(html))
                part.close()
                Path(part.name).chmod(0o644)
                os.replace(part.name, file)  # noqa: PTH105 - says that it replaces
            finally:
                Path(part.name).unlink(missing_ok=True)
    except OSError as exc:
        raise SettingsError(f"{file}: cannot be written: {exc.strerror or type(exc).__name__}") from exc
