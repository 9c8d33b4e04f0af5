"""``courier run``: the real template, functions and state machine on an embedded AWS."""

from __future__ import annotations

import math
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from enum import Enum, auto
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from cli.shared import EXIT_BAD_USAGE, EXIT_BROKEN_PIPE, EXIT_FAILED, EXIT_INTERRUPTED, say
from courier.config.environment import DEFAULT_SECRET_PREFIX
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
# How long a minute lasts in the demo, so that 20 minutes of polling take some seconds.
DEMO_TICK_SECONDS = 1.0
DEMO_TIMEOUT_SECONDS = 55.0
# 20 seconds of faults, backoff of up to 15 seconds, and 11 seconds without a change; ends earlier if all is well.
FAULTS_TIMEOUT_SECONDS = 120.0
# A run with --until-idle ends even if a build never does.
IDLE_TIMEOUT_SECONDS = 3600.0
# A tick of the real functions takes some hundredths of a second.
SHORTEST_TICK_SECONDS = 0.05
LONGEST_TICK_SECONDS = 86_400.0
_INPUT, _FAULTS, _RUN = "Sources and requests", "Faults", "Run"


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


def run(
    sources: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="YAML document with your sources. Without it, the providers are simulated.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    provider: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Simulate the vendor of a definition that comes with the courier, such as `stripe-report-runs`.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    secrets: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="YAML or JSON file that maps secret names to API keys.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    secret_prefix: Annotated[
        str,
        typer.Option(
            metavar="PREFIX",
            help="Beginning of the secret names in your sources: the SecretPrefix of your stack.",
            rich_help_panel=_INPUT,
        ),
    ] = DEFAULT_SECRET_PREFIX,
    request: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="JSON file with a build to request. Repeatable.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    watch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BUILD",
            help="A running build to poll, SOURCE/SCOPE/BUILD_ID. Repeatable.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            help="Results folder. A run continues with what an earlier one left there.",
            rich_help_panel=_RUN,
        ),
    ] = Path("out"),
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Delete the results of earlier runs and begin anew.", rich_help_panel=_RUN),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="With --fresh: delete without asking.", rich_help_panel=_RUN)
    ] = False,
    tick: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="How long a minute lasts, for the template's schedules, polling intervals, rate limits and retry "
            "delays. Deadlines are not scaled. [default: 60; simulated: 1]",
            rich_help_panel=_RUN,
        ),
    ] = None,
    faults: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON file with faults to inject into the simulated providers.",
            rich_help_panel=_FAULTS,
        ),
    ] = None,
    chaos: Annotated[
        int | None,
        typer.Option(
            metavar="SEED",
            help="Inject random faults into the simulated providers for the first 20 seconds. The same seed makes the "
            "same plan: which fault the n-th request of a kind for a build gets. The number of requests varies.",
            rich_help_panel=_FAULTS,
        ),
    ] = None,
    until_idle: Annotated[
        bool,
        typer.Option(
            "--until-idle",
            metavar="",
            help="End when no build is in flight, as the simulation always does.",
            rich_help_panel=_RUN,
        ),
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Stop after this time; work in progress may finish. [default with --until-idle: 3600]",
            rich_help_panel=_RUN,
        ),
    ] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(
            "--fail-on",
            metavar="OUTCOMES",
            help="Exit with 1 if a build of this run has one of these outcomes, such as `failed,undeliverable,lost`.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Print the log of the functions to standard error.", rich_help_panel=_RUN),
    ] = False,
) -> None:
    r"""Run the whole application locally, without an AWS account.

    Without options, it runs a demo: simulated providers whose builds end in every possible way. It prints a
    summary and ends.

    With your own sources, it polls the real providers. Template, functions and state machine are the ones that are
    deployed; only AWS is embedded. It runs until Ctrl-C, unless an option ends it.

    **Examples**

    Run the demo:

        courier run

    See how a definition works, without an account:

        courier run --provider stripe-report-runs

    Run the demo with faults:

        courier run --chaos 1

    Wait for all builds that are running:

        courier run --sources sources.yaml --secrets secrets.yaml --until-idle

    Request a report, poll another one, and stop after ten minutes:

        courier run --sources sources.yaml --secrets secrets.yaml \
            --request report.json --watch red-team/acme/main/chatbot/JOB_ID \
            --until-idle --timeout 600

    **Files**

    `sources.yaml` (all settings: docs/configuration.md):

        sources:
          - name: red-team
            provider: dreadnode_airt
            endpoint: https://app.dreadnode.io
            secret: build-courier/dreadnode
            organization: acme
            workspace: main
            project: chatbot

    `secrets.yaml`:

        build-courier/dreadnode: "dn_key_..."

    `report.json`, for Treasure Insights with `"data_model": "OID"` instead of the report:

        {"source": "red-team", "report": {"template_id": "..."}}

    `faults.json` (all faults: docs/faults.md):

        {"rules": [{"fault": "link_expired", "on": "artifact", "times": 2}]}

    **Results** in the folder `out`: `index.html` is a page that shows them, `bucket/` holds the S3 objects under their
    keys, `notices.jsonl` the messages that a subscriber received, `executions.json` the executions, `usage.json` the
    invocations and provider requests of the last run, `run.log` the log of the functions, `ledger.json` the ledger.

    **Another run** with the same folder continues: reports and records stay, builds in flight are polled again at
    once, and builds that ended in between are delivered. Secrets are not kept. `--fresh` deletes everything instead,
    and asks before it deletes anything that was delivered. The results of a simulation do not last: the next run
    replaces them.

    **Exit code** 0: every build reached an outcome. 1: an execution or a function failed; or at the timeout a build
    was still running, a request was not served, or a provider had not responded; or a build has an outcome of
    `--fail-on`; or, with faults, the checker found a broken promise. 2: an option, a file or an API key is wrong.
    130: interrupted. 141: the reader of the output was gone, as in `courier run | head`.
    """
    # Imported here, like in every command: the embedded AWS takes two seconds, which --help need not wait for.
    from cli.continuing import parse_outcomes, prepare_folder
    from cli.progress import progress_on
    from cli.run_plan import make_plan, read_fault_profile
    from local.chaos.scenario_facts import signatures_collected
    from local.runs.results_folder import open_results
    from local.runs.session import MINUTE_SECONDS, Session

    # The current streams: the embedded AWS replaces the standard output by one that is no terminal.
    console = Output(file=sys.stdout, highlight=False)
    errors = Output(file=sys.stderr, highlight=False)
    _check_seconds("--tick", tick, SHORTEST_TICK_SECONDS, LONGEST_TICK_SECONDS)
    _check_seconds("--timeout", timeout, 0.0, math.inf)
    failing_outcomes = parse_outcomes(fail_on)
    is_demo = sources is None
    profile = read_fault_profile(faults, chaos)
    with (
        make_plan(
            sources,
            secrets,
            request or [],
            watch or [],
            provider=provider,
            secret_prefix=secret_prefix,
            faults=profile.plan() if profile else None,
        ) as plan,
        signatures_collected() as links,
        ExitStack() as stack,
    ):
        for mistake in plan.mistakes:
            say(errors, f"courier: {mistake}", style="red")
        if not plan.sources:
            raise typer.Exit(EXIT_BAD_USAGE)
        for line in plan.introduction:
            say(console, line)
        results = stack.enter_context(open_results(out))
        prepare_folder(results, simulated=is_demo, fresh=fresh, yes=yes)
        results.note(shlex.join(["courier", *sys.argv[1:]]))
        tracked = results.sources_in_flight()
        for source in (source for source in plan.unasked if source.name not in tracked):
            hint = f"nothing to poll: {source.provider} cannot list reports; pass --request or --watch"
            say(console, f"{source.name}: {hint}")
        if timeout is None and (until_idle or is_demo):
            timeout = DEMO_TIMEOUT_SECONDS if is_demo else IDLE_TIMEOUT_SECONDS
            timeout = FAULTS_TIMEOUT_SECONDS if profile else timeout
        tick_seconds = tick or (DEMO_TICK_SECONDS if is_demo else MINUTE_SECONDS)
        started = time.monotonic()
        with Session(
            sources=plan.sources, secrets=plan.secrets, tick_seconds=tick_seconds, secret_prefix=secret_prefix
        ) as session:
            results.continue_in(session, [source.name for source in plan.sources], simulated=is_demo)
            if aside := results.builds_aside():
                say(errors, f"courier: not polled, because their sources are not configured: {', '.join(aside)}")
            chaos_run = _chaos_run(profile, plan, links, tick_seconds)
            on_change = partial(_store, session, results, errors if verbose else None)
            end = _run_until_end(
                session,
                plan,
                progress_on(console, monotonic=time.monotonic, plain=verbose),
                chaos_run,
                until_idle=until_idle or is_demo,
                timeout=timeout,
                on_change=on_change,
            )
            code = _finish(
                end,
                session=session,
                plan=plan,
                results=results,
                chaos_run=chaos_run,
                on_change=on_change,
                console=console,
                errors=errors,
                fail_on=failing_outcomes,
                started=started,
            )
    raise typer.Exit(code)


def _finish(
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
    code = _exit_code(run_report, plan.mistakes)
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


def _store(session: Session, results: ResultsFolder, log: Console | None) -> None:
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


def _chaos_run(profile: FaultProfile | None, plan: Plan, links: Sequence[str], tick_seconds: float) -> ChaosRun | None:
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


def _run_until_end(
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


def _exit_code(run_report: RunReport, mistakes: Sequence[str]) -> int:
    if not run_report.is_good:
        return EXIT_FAILED
    return EXIT_BAD_USAGE if mistakes or run_report.has_user_errors else 0


def _check_seconds(option: str, seconds: float | None, least: float, most: float) -> None:
    """Check a number of seconds; ``nan`` would pass a plain range check."""
    if seconds is None or (math.isfinite(seconds) and seconds > 0 and least <= seconds <= most):
        return
    bounds = "above 0" if least == 0 else f"from {least:g} to {most:g}"
    raise SettingsError(f"{option}: must be seconds {bounds}, not {seconds:g}")
