"""How ``courier run`` runs until its end, stores the results, and says how it went."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console

from cli.shared import EXIT_BAD_USAGE, EXIT_BROKEN_PIPE, EXIT_FAILED, EXIT_INTERRUPTED, say
from courier.errors import SettingsError

if TYPE_CHECKING:
    from cli.progress import Progress
    from cli.run_plan import Plan
    from courier.models import Outcome
    from local.chaos.chaos_run import ChaosRun, FaultProfile
    from local.runs.results_folder import ResultsFolder
    from local.runs.run_report import RunReport
    from local.runs.session import BuildLine, Session

# After Ctrl-C, or without a reader of the output, how long to wait for work in progress: a notice follows its record
# within a moment.
INTERRUPTED_GRACE_SECONDS = 2.0


class End(Enum):
    """How a run ended."""

    IDLE = auto()
    TIMEOUT = auto()
    INTERRUPTED = auto()
    READER_GONE = auto()


class Output(Console):
    """A console that raises once when its reader is gone, as in ``courier run | head``, and is silent from then on."""

    def on_broken_pipe(self) -> None:
        """Be silent from now on, so that the results can still be stored."""
        self.quiet = True
        raise BrokenPipeError


def finish(
    end: End,
    *,
    session: Session,
    plan: Plan,
    results: ResultsFolder,
    chaos_run: ChaosRun | None,
    on_change: Callable[[], None],
    console: Output,
    errors: Output,
    fail_on: Collection[Outcome],
    started: float,
) -> int:
    """Let work in progress end, store the results, print the summary, and return the exit code."""
    from cli.continuing import command_to_continue, explain_fail_on
    from cli.summary import print_chaos_report, print_summary
    from local.runs.session import GRACE_SECONDS

    was_stopped = end in {End.INTERRUPTED, End.READER_GONE}
    errors.quiet = end is End.READER_GONE
    run_report = session.finish(grace_seconds=INTERRUPTED_GRACE_SECONDS if was_stopped else GRACE_SECONDS)
    with suppress(BrokenPipeError):
        on_change()
    results.save(session)
    code = exit_code(run_report, plan.mistakes)
    try:
        print_summary(console, errors, session, run_report, results.folder, seconds=time.monotonic() - started)
        if chaos_run is not None:
            report = chaos_run.check_run(session, plan.sources, run_report, stopped_early=end is not End.IDLE)
            print_chaos_report(console, errors, chaos_run.profile, report)
            code = 0 if report.is_good and not report.unchecked else EXIT_FAILED
        if failed := explain_fail_on([line.outcome for line in session.builds()], fail_on):
            code = code or EXIT_FAILED
            say(errors, f"courier: {failed}", style="red")
        command = command_to_continue(sys.argv[1:], run_report) if not plan.is_simulated else None
        _write_page(session, results, console, errors, hint=command or "")
        if command:
            say(console, f"To continue: {command}")
    except BrokenPipeError:
        end = End.READER_GONE
    code = {End.INTERRUPTED: EXIT_INTERRUPTED, End.READER_GONE: EXIT_BROKEN_PIPE}.get(end, code)
    if run_report.is_still_running:
        _leave(code)
    return code


def _write_page(session: Session, results: ResultsFolder, console: Console, errors: Console, *, hint: str) -> None:
    """Leave a page about the run beside its results; a run without one is complete."""
    from cli.page.command import write_page_of_run

    try:
        page = write_page_of_run(results.folder, "courier run", session.aws.outputs, hint=hint)
    except SettingsError as exc:
        say(errors, f"courier: the page was not written: {exc}", style="yellow")
    else:
        say(console, f"Page: {page}")


def store(session: Session, results: ResultsFolder, log: Console | None) -> None:
    """Store the results so far every few seconds, and show the new lines of the log."""
    for line in results.new_log_lines(session):
        if log is not None and (text := line.readable):
            say(log, text)
    results.save_if_due(session)


def _leave(code: int) -> None:
    """End the process at once: the results are stored, and a copy in progress could take as long as its provider."""
    with suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def make_chaos_run(
    profile: FaultProfile | None, plan: Plan, links: Sequence[str], tick_seconds: float
) -> ChaosRun | None:
    """Return what injects faults into the simulated providers; None without a profile."""
    from local.chaos.chaos_run import ChaosRun

    if profile is None or plan.simulation is None:
        return None
    simulation = plan.simulation
    return ChaosRun(
        profile,
        simulation.providers,
        simulation.scenario,
        links=links,
        tick_seconds=tick_seconds,
        monotonic=time.monotonic,
    )


def run_until_end(
    session: Session,
    plan: Plan,
    display: AbstractContextManager[Progress],
    chaos_run: ChaosRun | None,
    *,
    until_idle: bool,
    timeout: float | None,
    on_change: Callable[[], None],
) -> End:
    """Run until the end, and return what it was."""
    try:
        session.submit(plan.requests, labels=plan.places)
        with display as progress, _interrupts_noted() as interrupted:

            def show(lines: Sequence[BuildLine]) -> None:
                progress.show(lines, session.next_poll_at(lines))
                on_change()
                if chaos_run is not None:
                    chaos_run.stop_faults_when_due()

            is_idle = session.run(
                until_idle=until_idle,
                timeout_seconds=timeout,
                on_change=show,
                pause=partial(_wait_unless, interrupted),
                monotonic=time.monotonic,
                may_end=lambda lines: chaos_run is None or chaos_run.is_over(session, lines),
            )
    except KeyboardInterrupt:
        return End.INTERRUPTED
    except BrokenPipeError:
        return End.READER_GONE
    return End.IDLE if is_idle else End.TIMEOUT


@contextmanager
def _interrupts_noted() -> Iterator[threading.Event]:
    """Note a Ctrl-C instead of raising: an exception that is raised while a destructor runs would be lost."""
    noted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    before = signal.signal(signal.SIGINT, lambda *_: noted.set())
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


def _wait_unless(interrupted: threading.Event, seconds: float) -> None:
    if interrupted.wait(seconds):
        raise KeyboardInterrupt


def exit_code(run_report: RunReport, mistakes: Sequence[str]) -> int:
    """Return the exit code that a run's report means."""
    if not run_report.is_good:
        return EXIT_FAILED
    return EXIT_BAD_USAGE if mistakes or run_report.has_user_errors else 0
