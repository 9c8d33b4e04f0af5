"""How a run shows its progress: a live table on a terminal, plain lines everywhere else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.shared import OUTCOME_COLOURS, say
from local.runs.session import BuildLine

# In a pipe, a shorter pause until the next poll gets no line.
_LONG_PAUSE_SECONDS = 10.0
# Title, headings, and the line about the builds that do not fit.
_LINES_AROUND_THE_ROWS = 3


class Progress(Protocol):
    """Shows the builds of a run each time they may have changed."""

    def show(self, builds: Sequence[BuildLine], next_poll_at: datetime | None = None) -> None:
        """Show the builds as they are now, and the next tick that polls one of them."""
        ...


class LiveTable:
    """One row per build, redrawn in place."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, builds: Sequence[BuildLine], next_poll_at: datetime | None = None) -> None:
        """Redraw."""
        self._live.update(builds_table(builds, self._live.console, _seconds_until(next_poll_at)))


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
        self._announced: datetime | None = None

    def show(self, builds: Sequence[BuildLine], next_poll_at: datetime | None = None) -> None:
        """Print what changed since the last call."""
        for build in builds:
            if self._shown.get(build.build) != build.state:
                self._shown[build.build] = build.state
                say(self._console, f"{self._elapsed():6.1f} s  {build.state:<13}  {build.build}")
        seconds = _seconds_until(next_poll_at)
        if next_poll_at is None or seconds is None or seconds < _LONG_PAUSE_SECONDS:
            return
        # Each pause once: the instant shifts by as much as the tick.
        if self._announced is None or abs(next_poll_at - self._announced) > timedelta(seconds=1):
            self._announced = next_poll_at
            say(self._console, f"{self._elapsed():6.1f} s  next poll in {seconds:.0f} s")


@contextmanager
def progress_on(console: Console, *, monotonic: Callable[[], float], plain: bool = False) -> Iterator[Progress]:
    """Yield the progress display that fits the console; ``plain`` where other lines appear as well."""
    if plain or not console.is_terminal or console.is_dumb_terminal:
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


def builds_table(builds: Sequence[BuildLine], console: Console, next_poll_seconds: float | None = None) -> Group:
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
    return Group(Text(_title(builds, next_poll_seconds), style="bold"), table, *hidden)


def _seconds_until(moment: datetime | None) -> float | None:
    return None if moment is None else max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _title(builds: Sequence[BuildLine], next_poll_seconds: float | None) -> str:
    ended = Counter(build.outcome for build in builds if build.outcome is not None)
    in_flight = len(builds) - ended.total()
    next_poll = [] if next_poll_seconds is None else [f"next poll in {next_poll_seconds:.0f} s"]
    return ", ".join(
        [f"{in_flight} in flight", *next_poll, *(f"{number} {name}" for name, number in sorted(ended.items()))]
    )
