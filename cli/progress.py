"""How a run shows itself: a live table on a terminal, plain lines everywhere else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from local.session import BuildLine

_COLOURS = {
    "delivered": "green",
    "succeeded": "green",
    "empty": "yellow",
    "canceled": "yellow",
    "failed": "red",
    "timed_out": "red",
    "lost": "red",
    "undeliverable": "red",
}


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
        self._live.update(builds_table(builds))


class PlainLines:
    """One line each time a build is seen in a new state: for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: dict[str, str] = {}

    def show(self, builds: Sequence[BuildLine]) -> None:
        """Print what changed since the last call."""
        for build in builds:
            state = build.state
            if self._shown.get(build.build) != state:
                self._shown[build.build] = state
                self._console.print(
                    f"{build.seconds:6.1f} s  {state:<14} {build.build}", highlight=False, markup=False, soft_wrap=True
                )


@contextmanager
def progress_on(console: Console) -> Iterator[Progress]:
    """Give the progress display that fits the console."""
    if not console.is_terminal:
        yield PlainLines(console)
        return
    with Live(console=console, refresh_per_second=8) as live:
        yield LiveTable(live)


def builds_table(builds: Sequence[BuildLine]) -> Table:
    """Draw the builds as a table."""
    table = Table(title=f"{len(builds)} builds", title_justify="left", expand=False)
    for heading in ("source", "scope", "build", "status", "outcome", "looks"):
        table.add_column(heading, overflow="ellipsis", no_wrap=True, justify="right" if heading == "looks" else "left")
    for build in builds:
        source, scope, build_id = build.parts
        # Ids and scopes come from providers: Text shows them as they are and reads no markup in them.
        table.add_row(
            source,
            Text(scope),
            Text(build_id),
            build.status,
            Text(build.outcome or "", style=_COLOURS.get(build.outcome or "", "")),
            str(build.looks),
        )
    return table
