"""``courier request``: request builds now, and wait for their outcomes."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from cli.shared import (
    DEFAULT_STACK,
    EXIT_FAILED,
    OUTCOME_COLOURS,
    DryRun,
    EndpointUrl,
    Note,
    Profile,
    Region,
    StackName,
    Yes,
    say,
)
from cli.tables import Format, FormatOption, print_data
from courier.errors import SettingsError

if TYPE_CHECKING:
    from cli.stack import Stack
    from courier.models import BuildRequest

_GOOD = frozenset({"delivered", "succeeded"})
# The interval of reads of the ledger while waiting; a tick comes once a minute.
_WAIT_SECONDS = 5.0


def request(
    source: Annotated[str | None, typer.Argument(metavar="SOURCE", help="The source that builds it.")] = None,
    data_model: Annotated[
        str | None, typer.Option("--data-model", metavar="OID", help="Treasure Insights: build this data model.")
    ] = None,
    template_id: Annotated[
        str | None, typer.Option("--template-id", metavar="ID", help="Dreadnode: render a report of this template.")
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            "--file",
            metavar="FILE",
            help="JSON requests, such as `events/request_build.report.json`; `-` is standard input.",
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the builds have ended.")] = False,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="With `--wait`: how long to wait at most.")
    ] = 86_400.0,
    note: Note = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    output_format: FormatOption = Format.TABLE,
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Request builds now: each is started once, or the one of the same scope that is already running is tracked.

    A file holds one request, a list of them, or one in each line.

    **Examples**

        courier request insights --data-model 0a1b2c3d --wait

        courier request --file - < report.json

    **Exit code** 0: all are tracked; with `--wait`, all were delivered or succeeded. 1: at least one was not, or you
    said no, or the time was up. 2: an option or a file is wrong, or AWS refuses.
    """
    from cli.act import confirm, perform, print_results
    from cli.stack import open_stack

    requests = _requests(source, data_model, template_id, file)
    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target:
        confirm("Request", [_name(each) for each in requests], yes=yes, dry_run=dry_run)
        events = [
            {"action": "request", "request": each.model_dump(mode="json", exclude_none=True)} for each in requests
        ]
        results = perform(target, events, note=note, dry_run=dry_run)
        started = [result["build"] for result in results if result["done"] and result["build"]]
        if not wait or dry_run or not started:
            print_results(results, output_format)
            return
        errors = Console(stderr=True)
        for result in results:
            say(errors, f"{result['build'] or result['action']}: {result['note']}")
        outcomes = wait_for(target, started, seconds=timeout)
    _print_outcomes([{"build": build, "outcome": outcomes.get(build)} for build in started], output_format)
    if len(started) < len(results) or not all(outcomes.get(build) in _GOOD for build in started):
        raise typer.Exit(EXIT_FAILED)


def wait_for(stack: Stack, builds: Sequence[str], *, seconds: float) -> dict[str, str]:
    """Wait until all builds have an outcome, or until the time is up; return the outcomes by build."""
    from courier.models import BuildRef

    refs = [BuildRef.parse(build) for build in builds]
    until = time.monotonic() + seconds
    while True:
        rows = stack.container.builds.find_many(refs)
        outcomes = {str(ref): str(row.outcome) for ref, row in rows.items() if row is not None and row.outcome}
        left = until - time.monotonic()
        if len(outcomes) == len(set(refs)) or left <= 0:
            return outcomes
        time.sleep(min(_WAIT_SECONDS, left))


def _print_outcomes(rows: Sequence[dict[str, Any]], chosen: Format) -> None:
    if chosen is not Format.TABLE:
        print_data(list(rows), rows, chosen)
        return
    for row in rows:
        outcome = row["outcome"] or "not ended"
        say(Console(), f"{outcome:<13}  {row['build']}", style=OUTCOME_COLOURS.get(outcome))


def _requests(
    source: str | None, data_model: str | None, template_id: str | None, file: str | None
) -> Sequence[BuildRequest]:
    if file is not None:
        if source or data_model or template_id:
            raise SettingsError("a request of --file names its source itself: pass either, not both")
        return [_parse(document, place) for place, document in _documents(file)]
    if source is None or (data_model is None) == (template_id is None):
        raise SettingsError("name a SOURCE with --data-model or --template-id, or pass --file")
    fields: dict[str, object] = {"data_model": data_model} if data_model else {"report": {"template_id": template_id}}
    return [_parse({"source": source, **fields}, "the request")]


def _documents(file: str) -> Iterator[tuple[str, object]]:
    """Yield the requests of a file, each with its place."""
    name = "standard input" if file == "-" else file
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{name}: cannot be read ({getattr(exc, 'strerror', None) or 'not UTF-8'})") from exc
    try:
        whole = json.loads(text)
    except ValueError:
        # One request in each line.
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                try:
                    yield f"{name}, line {number}", json.loads(line)
                except ValueError as exc:
                    raise SettingsError(f"{name}, line {number}: is not JSON") from exc
        if not text.strip():
            raise SettingsError(f"{name}: is empty") from None
        return
    if isinstance(whole, list):
        yield from ((f"{name}[{number}]", each) for number, each in enumerate(whole))
    else:
        yield name, whole


def _parse(document: object, place: str) -> BuildRequest:
    from pydantic import ValidationError

    from courier.config.validation import describe_validation
    from courier.models import BuildRequest

    if not isinstance(document, dict):
        raise SettingsError(f'{place}: must be an object such as {{"source": "insights", "data_model": "..."}}')
    try:
        return BuildRequest.model_validate(document)
    except ValidationError as exc:
        raise SettingsError(f"{place}: {describe_validation(exc)}") from None


def _name(request: BuildRequest) -> str:
    what = request.data_model or request.build_id or (json.dumps(request.report) if request.report else "")
    return f"{request.source}: {what}"
