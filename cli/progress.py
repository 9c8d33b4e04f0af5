"""How a run shows its progress: a live table on a terminal, plain lines everywhere else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.shared import OUTCOME_COLOURS, say
from local.runs.session import BuildLine

# Title, headings, and the line about the builds that do not fit.
_LINES_AROUND_THE_ROWS = 3


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
        self._live.update(builds_table(builds, self._live.console))


class PlainLines:
    """One line each time the state of a build changes: for logs and pipes.

    Parameters
    ----------
    elapsed
        Returns the seconds since the run began.
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
    """Yield the progress display that fits the console."""
    if not console.is_terminal or console.is_dumb_terminal:
        started = monotonic()
        yield PlainLines(console, lambda: monotonic() - started)
        return
    # Transient: the summary prints how each build ended, with complete ids.
    # Not redirected: the embedded AWS has already replaced the standard output.
    with Live(
        console=console,
        refresh_per_second=4,
        transient=True,
        vertical_overflow="crop",
        redirect_stdout=False,
        redirect_stderr=False,
    ) as live:
        yield LiveTable(live)


def builds_table(builds: Sequence[BuildLine], console: Console) -> Group:
    """Return a table that fits the terminal: running builds first, then those that ended last."""
    if not builds:
        return Group(Text("No builds yet", style="bold"))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("source", "scope", "build", "state"):
        table.add_column(heading, overflow="crop" if console.options.ascii_only else "ellipsis")
    for heading in ("polls", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    room = max(1, console.height - _LINES_AROUND_THE_ROWS)
    running = [build for build in builds if build.outcome is None]
    ended = [build for build in builds if build.outcome is not None]
    for build in [*running, *reversed(ended)][:room]:
        # Text shows what a provider sent as it is, and reads no markup in it.
        cells = [Text(part, no_wrap=True) for part in build.ref]
        state = Text(build.state, style=OUTCOME_COLOURS.get(build.outcome or "", ""), no_wrap=True)
        table.add_row(*cells, state, str(build.polls), f"{build.seconds:.0f}")
    hidden = [Text(f"and {len(builds) - room} more", style="dim")] if len(builds) > room else []
    return Group(Text(_title(builds), style="bold"), table, *hidden)


def _title(builds: Sequence[BuildLine]) -> str:
    ended = Counter(build.outcome for build in builds if build.outcome is not None)
    in_flight = len(builds) - ended.total()
    return ", ".join([f"{in_flight} in flight", *(f"{number} {name}" for name, number in sorted(ended.items()))])
