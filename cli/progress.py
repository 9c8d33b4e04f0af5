"""How a run shows itself: a live table on a terminal, plain lines everywhere else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    # The whole embedded AWS, which `courier status` need not wait for.
    from local.runs.session import BuildLine

OUTCOME_COLOURS = {
    "delivered": "green",
    "succeeded": "green",
    "empty": "yellow",
    "canceled": "yellow",
    "failed": "red",
    "timed_out": "red",
    "lost": "red",
    "undeliverable": "red",
}
_HEADINGS = ("source", "scope", "build", "state", "polls", "seconds")
_SCOPE, _BUILD, _STATE = 1, 2, 3
# Title, headings, rules and the line about the builds that do not fit.
_LINES_AROUND_THE_ROWS = 7
_FEWEST_ROWS = 3
# What is left of an id at least where it must be cut; as many characters as it takes to tell it from the others.
_SHORTEST_ID = 8


class Progress(Protocol):
    """Shows the builds of a run each time they may have changed."""

    def show(self, builds: Sequence[BuildLine]) -> None:
        """Show the builds as they are now."""
        ...


class LiveTable:
    """One row per build, redrawn in place."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, builds: Sequence[BuildLine]) -> None:
        """Redraw."""
        self._live.update(BuildsTable(builds))


class PlainLines:
    """One line each time a build is seen in a new state: for logs and pipes.

    Parameters
    ----------
    elapsed
        Gives the seconds since the run began.
    """

    def __init__(self, console: Console, elapsed: Callable[[], float]) -> None:
        self._console = console
        self._elapsed = elapsed
        self._shown: dict[str, str] = {}

    def show(self, builds: Sequence[BuildLine]) -> None:
        """Print what changed since the last call."""
        for build in builds:
            if self._shown.get(build.build) != build.state:
                self._shown[build.build] = build.state
                say(self._console, f"{self._elapsed():6.1f} s  {build.state:<13}  {build.build}")


@contextmanager
def progress_on(console: Console, *, monotonic: Callable[[], float]) -> Iterator[Progress]:
    """Give the progress display that fits the console."""
    if not console.is_terminal or console.is_dumb_terminal:
        started = monotonic()
        yield PlainLines(console, lambda: monotonic() - started)
        return
    # Transient: the summary says how each build ended, with whole ids.
    # Not redirected: the embedded AWS has taken over the standard output already.
    with Live(
        console=console,
        refresh_per_second=4,
        transient=True,
        vertical_overflow="crop",
        redirect_stdout=False,
        redirect_stderr=False,
    ) as live:
        yield LiveTable(live)


class BuildsTable:
    """The builds as a table that fits the terminal: long ids are cut, and builds that have ended give way."""

    def __init__(self, builds: Sequence[BuildLine]) -> None:
        self._builds = builds

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it for the width and height at hand."""
        yield Text(_title(self._builds), style="bold")
        if not self._builds:
            return
        room = max(_FEWEST_ROWS, (options.height or console.height) - _LINES_AROUND_THE_ROWS)
        shown = _most_interesting(self._builds, room)
        rows = [[*build.ref, build.state, str(build.polls), f"{build.seconds:.0f}"] for build in shown]
        for column in (_BUILD, _SCOPE):
            names = [row[column] for row in rows]
            space = options.max_width - _width(rows) + max(map(cell_len, (*names, _HEADINGS[column])))
            short = abbreviate(names, space, mark="~" if options.ascii_only else "…")
            for row in rows:
                row[column] = short[row[column]]
        table = Table(expand=False)
        for heading in _HEADINGS:
            is_number = heading in {"polls", "seconds"}
            table.add_column(heading, overflow="fold", justify="right" if is_number else "left")
        for build, row in zip(shown, rows, strict=True):
            # Ids and scopes come from providers: Text shows them as they are and reads no markup in them.
            cells = [Text(cell) for cell in row]
            cells[_STATE].stylize(OUTCOME_COLOURS.get(build.outcome or "", ""))
            table.add_row(*cells)
        yield table
        if len(shown) < len(self._builds):
            yield Text(f"and {len(self._builds) - len(shown)} more", style="dim")


def abbreviate(names: Sequence[str], width: int, *, mark: str = "…") -> dict[str, str]:
    """Cut names that are too wide, but never so short that two of them look alike, as git does with commits."""
    different = sorted(set(names))
    short: dict[str, str] = {}
    for name in different:
        length = max(_SHORTEST_ID, width - cell_len(mark))
        while length < len(name) and any(other != name and other.startswith(name[:length]) for other in different):
            length += 1
        # Cutting off no more than the mark takes would gain nothing.
        short[name] = name if len(name) <= max(width, length + len(mark)) else f"{name[:length]}{mark}"
    return short


def say(console: Console, line: str, style: str | None = None) -> None:
    """Print one line that is never folded, so that paths in it can be copied; words of providers are no markup."""
    console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)


def _most_interesting(builds: Sequence[BuildLine], room: int) -> Sequence[BuildLine]:
    """Keep those in flight and those that ended last, in the order that they have."""
    if len(builds) <= room:
        return builds
    in_flight = [build for build in builds if build.outcome is None]
    ended = [build for build in builds if build.outcome is not None]
    kept = {build.build for build in in_flight[:room] + ended[::-1][: max(0, room - len(in_flight))]}
    return [build for build in builds if build.build in kept]


def _width(rows: Sequence[Sequence[str]]) -> int:
    """Give the width of a table with these cells: two blanks and a rule per column, and one rule more."""
    columns = zip(_HEADINGS, *rows, strict=True)
    return sum(max(map(cell_len, column)) + 3 for column in columns) + 1


def _title(builds: Sequence[BuildLine]) -> str:
    if not builds:
        return "No builds yet"
    ended = Counter(build.outcome for build in builds if build.outcome is not None)
    in_flight = len(builds) - ended.total()
    return ", ".join([f"{in_flight} in flight", *(f"{number} {name}" for name, number in sorted(ended.items()))])
