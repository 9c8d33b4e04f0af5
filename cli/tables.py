"""How a command shows data: a table for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import json
import sys
import textwrap
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.shared import say

if TYPE_CHECKING:
    from courier.ledger.pauses import Pause


class Format(StrEnum):
    """The formats of a command's output."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


FormatOption = Annotated[Format, typer.Option("--format", "-f", help="Format of the output.")]


def print_data(data: object, rows: Sequence[Mapping[str, object]], chosen: Format) -> None:
    """Print for a program: the data as JSON, or its rows as CSV."""
    if chosen is Format.JSON:
        typer.echo(json.dumps(data, indent=2))
        return
    writer = csv.DictWriter(sys.stdout, list(rows[0]) if rows else [], lineterminator="\n")
    if rows:
        writer.writeheader()
    writer.writerows(rows)


def print_table(console: Console, table: Table) -> None:
    """Print a table that fits the terminal; in a pipe each row is one line."""
    if console.is_terminal:
        console.print(table)
        return
    wide = Console(width=100_000, highlight=False, color_system=None)
    with wide.capture() as captured:
        wide.print(table)
    for line in captured.get().splitlines():
        say(console, line.rstrip())


def duration(seconds: float | None) -> str:
    """Return a duration in its two largest units."""
    if seconds is None:
        return ""
    whole = max(0, int(seconds))
    for (size, unit), (smaller, its_unit) in (
        ((86_400, "d"), (3_600, "h")),
        ((3_600, "h"), (60, "min")),
    ):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {its_unit}" if rest else "")
    return f"{whole // 60} min" if whole >= 60 else f"{whole} s"  # noqa: PLR2004 - a minute


def age(later: datetime, earlier: datetime | None) -> str:
    """Return the time between two moments, in its two largest units."""
    return "" if earlier is None else duration(max(timedelta(), later - earlier).total_seconds())


def moment(instant: datetime | None, *, seconds: bool = False) -> str:
    """Return an instant for a person, in UTC."""
    if instant is None:
        return ""
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")


def stamp_or_none(instant: datetime | None) -> str | None:
    """Return an instant for a program."""
    from courier.clock import stamp

    return None if instant is None else stamp(instant)


def describe_pause(pause: Pause) -> str:
    """Return a pause for a person: since when, until when, by whom, and why."""
    end = f" until {moment(pause.until)} UTC" if pause.until else ""
    return f"paused since {moment(pause.since)} UTC{end} by {pause.by}{f': {pause.note}' if pause.note else ''}"


def print_paragraph(console: Console, text: str, *, indent: int = 4, style: str | None = None) -> None:
    """Print indented text: on a terminal it wraps at words, and paths and ids stay whole; in a pipe it is one line."""
    space = " " * indent
    width = max(console.width, indent + 20) if console.is_terminal else len(space + text) + 1
    for line in textwrap.wrap(
        text,
        width,
        initial_indent=space,
        subsequent_indent=space,
        break_long_words=False,
        break_on_hyphens=False,
    ):
        say(console, line, style=style)
