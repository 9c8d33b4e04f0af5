"""What the commands that act have in common: which builds are meant, one question, one event each, and the results."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.text import Text

from cli.shared import EXIT_FAILED, say
from cli.tables import Format, print_data
from courier.errors import SettingsError

if TYPE_CHECKING:
    from cli.stack import Stack
    from courier.models import BuildRef, Outcome

# One command acts on so many builds at most, four at a time: the functions of a new account run ten at once.
MOST_BUILDS = 1_000
_CONCURRENT_ACTS = 4


def named_builds(stack: Stack, texts: Sequence[str], *, since: str) -> list[BuildRef]:
    """Find the builds that begin like this, each once."""
    from cli.build_search import find_build, parse_since

    start = parse_since(since, now=datetime.now(UTC))
    return list(dict.fromkeys(find_build(stack, text, since=start).ref for text in texts))


def builds_in_flight_of(stack: Stack, source: str) -> list[BuildRef]:
    """Return the builds in flight of one source, the oldest first."""
    from cli.build_search import builds_in_flight

    found, cut = builds_in_flight(stack, source)
    return _limited([build.ref for build in reversed(found)], cut)


def ended_builds(stack: Stack, outcomes: Collection[Outcome], *, source: str | None, since: str) -> list[BuildRef]:
    """Return the builds that ended like this, the oldest first."""
    from cli.build_search import parse_since
    from cli.records import read_last_records

    found = read_last_records(
        stack,
        most=MOST_BUILDS + 1,
        source=source,
        since=parse_since(since, now=datetime.now(UTC)),
        matches=lambda record: record.outcome in outcomes,
    )
    return _limited([record.build for record in reversed(found.records.values())], found.cut)


def _limited(refs: list[BuildRef], cut: str | None) -> list[BuildRef]:
    if len(refs) > MOST_BUILDS or cut:
        raise SettingsError(f"these are too many builds for one command ({cut or len(refs)}): narrow them down")
    return refs


def confirm(verb: str, refs: Sequence[object], *, yes: bool, dry_run: bool) -> None:
    """Ask once before several builds are changed.

    Raises
    ------
    SettingsError
        There is no terminal to ask on.
    typer.Exit
        The operator declined.
    """
    if len(refs) <= 1 or yes or dry_run:
        return
    if not sys.stdin.isatty():
        raise SettingsError(f"{verb} {len(refs)} builds? Add --yes to do it, or --dry-run to see them")
    for ref in refs[:_SHOWN]:
        typer.echo(f"  {ref}", err=True)
    if len(refs) > _SHOWN:
        typer.echo(f"  and {len(refs) - _SHOWN} more", err=True)
    if not typer.confirm(f"{verb} these {len(refs)} builds?", err=True):
        typer.echo("Nothing was done.", err=True)
        raise typer.Exit(EXIT_FAILED)


_SHOWN = 10


def perform(
    stack: Stack, events: Sequence[Mapping[str, object]], *, note: str | None = None, dry_run: bool = False
) -> list[dict[str, Any]]:
    """Send one event each, and return the results in the same order; what failed is a result too.

    An event has its ``action`` and what it is about; who sends it, why, and ``dry_run`` are added here.
    """
    from cli.stack import caller, invoke, one_line_errors

    common: dict[str, object] = {"by": caller(), "dry_run": dry_run}
    if note is not None:
        common["note"] = note

    def send(event: Mapping[str, object]) -> dict[str, Any]:
        try:
            with one_line_errors():
                return invoke(stack, {"id": str(uuid.uuid4()), **common, **event})
        except SettingsError as exc:
            known = {name: event.get(name) for name in ("action", "build", "source")}
            return {**known, "done": False, "note": str(exc)}

    with ThreadPoolExecutor(min(_CONCURRENT_ACTS, max(1, len(events)))) as pool:
        return list(pool.map(send, events))


def print_results(results: Sequence[Mapping[str, Any]], chosen: Format) -> None:
    """Print what became of each act: one line for a pipe, a build and its result below for a terminal.

    Raises
    ------
    typer.Exit
        An act was not done.
    """
    if chosen is not Format.TABLE:
        print_data(list(results), list(results), chosen)
    else:
        console = Console(highlight=False)
        if not results:
            say(console, "No builds match, so nothing was done")
        for result in results:
            word, style = ("done", "green") if result["done"] else ("not done", "red")
            name = result.get("build") or result.get("source") or result["action"]
            note = " ".join(str(result["note"]).split())
            if console.is_terminal:
                console.print(Text.assemble((f"{word:<8}", style), f"  {name}"), soft_wrap=True)
                console.print(Text(note), soft_wrap=False)
            else:
                say(console, f"{word:<8}  {name}  {note}")
    if not all(result["done"] for result in results):
        raise typer.Exit(EXIT_FAILED)
