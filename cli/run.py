"""``courier run``: the real template, functions and state machine on an embedded AWS."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.exits import EXIT_BAD_USAGE, EXIT_INTERRUPTED
from cli.faults import print_judgement, read_weather
from cli.plan import Plan, make_plan
from cli.progress import progress_on, say
from cli.summary import print_summary
from courier.errors import SettingsError
from local.chaos.chaos_run import ChaosRun, FaultProfile
from local.chaos.scenario_facts import signatures_collected
from local.runs.results_folder import check_folder, write_results
from local.runs.run_report import RunReport
from local.runs.session import GRACE_SECONDS, MINUTE_SECONDS, BuildLine, Session

EXIT_COURIER_FAILED = 1
# Who presses Ctrl-C wants to go, but a notice that follows its record by a moment is worth that moment.
INTERRUPTED_PATIENCE_SECONDS = 2.0
# The demonstration's minute, so that 20 minutes of polling fit into some seconds.
DEMO_TICK_SECONDS = 1.0
DEMO_TIMEOUT_SECONDS = 55.0
# Twenty seconds of faults, sources that rest for up to fifteen, and a calm of eleven; ends earlier if all is well.
FAULTS_TIMEOUT_SECONDS = 120.0
# A run that is to end by itself ends, even if a build never does.
IDLE_TIMEOUT_SECONDS = 3600.0
# A tick of the real functions takes some hundredths of a second.
SHORTEST_TICK_SECONDS = 0.05
LONGEST_TICK_SECONDS = 86_400.0


class _Output(Console):
    """A console that says it when whoever read it has gone, as in ``courier run | head``, and then is silent."""

    def on_broken_pipe(self) -> None:
        """Be silent from now on: the results can still be kept."""
        self.quiet = True
        raise BrokenPipeError


def run(
    sources: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="YAML document with your sources. Without it the providers are simulated.",
            rich_help_panel="What to bring home",
        ),
    ] = None,
    secrets: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="YAML or JSON file that maps names of secrets to API keys.",
            rich_help_panel="What to bring home",
        ),
    ] = None,
    request: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="JSON file with a build to ask for. May be repeated.",
            rich_help_panel="What to bring home",
        ),
    ] = None,
    watch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BUILD",
            help="A build to look after, SOURCE/SCOPE/BUILD_ID. May be repeated.",
            rich_help_panel="What to bring home",
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            help="Where the results go; those of an earlier run are replaced.",
            rich_help_panel="How to run",
        ),
    ] = Path("out"),
    tick: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="How long a minute lasts: that of the template's schedules, of the sources' beat and request budget, "
            "and of pauses before repetitions. Deadlines stay as they are. [default: 60; simulated: 1]",
            rich_help_panel="How to run",
        ),
    ] = None,
    faults: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON file that says what the simulated providers do wrong.",
            rich_help_panel="What goes wrong",
        ),
    ] = None,
    chaos: Annotated[
        int | None,
        typer.Option(
            metavar="SEED",
            help="Let the simulated providers fail by chance for the first 20 seconds. The same seed makes the same "
            "plan: what the n-th request of a kind about a build meets. How often the courier asks is up to threads.",
            rich_help_panel="What goes wrong",
        ),
    ] = None,
    until_idle: Annotated[
        bool,
        typer.Option(
            "--until-idle",
            metavar="",
            help="End when nothing is in flight any more, as the simulation always does.",
            rich_help_panel="How to run",
        ),
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="End after so long in any case; what is under way may finish first. [default with --until-idle: 3600]",
            rich_help_panel="How to run",
        ),
    ] = None,
) -> None:
    r"""Run the whole courier here, without an AWS account.

    With no options: simulated providers, a few builds of every kind, a summary. It ends by itself.

    With sources of your own it is your laptop as the cloud: template, functions and state machine are the real
    ones, only AWS is embedded. It runs until Ctrl-C, unless told when to end.

    **Examples**

    See it work:

        courier run

    See it work although the providers do not:

        courier run --chaos 1

    Wait for all builds that are running now:

        courier run --sources sources.yaml --secrets secrets.yaml --until-idle

    Ask for a report, look after another, and give up after ten minutes:

        courier run --sources sources.yaml --secrets secrets.yaml \
            --request report.json --watch red-team/acme/main/chatbot/JOB_ID \
            --until-idle --timeout 600

    **Files**

    `sources.yaml` (every setting: README, "Configuration"):

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

    `report.json`, for Treasure Insights with `"data_model": "OID"` in place of the report:

        {"source": "red-team", "report": {"template_id": "..."}}

    `faults.json` (every fault: docs/faults.md):

        {"rules": [{"fault": "link_expired", "on": "artifact", "times": 2}]}

    **Results** in the folder `out`: `bucket/` has the S3 objects under their keys, `notices.jsonl` the messages
    as a subscriber received them, `executions.json` one entry per execution, `usage.json` invocations and requests.

    **Exit code** 0: every build reached an outcome. 1: the courier failed somewhere, or when the time was up a build
    had not ended, a request was not carried out, or a source's API had not answered; with faults, an independent
    checker found a broken promise. 2: options, files or a source's key are wrong. 130: interrupted.
    """
    # The streams of this moment: the embedded AWS puts another standard output in place, which is no terminal.
    console = _Output(file=sys.stdout, highlight=False)
    errors = Console(file=sys.stderr, highlight=False)
    _check_seconds("--tick", tick, SHORTEST_TICK_SECONDS, LONGEST_TICK_SECONDS)
    _check_seconds("--timeout", timeout, 0.0, math.inf)
    is_demo = sources is None
    profile = read_weather(faults, chaos)
    with (
        make_plan(sources, secrets, request or [], watch or [], faults=profile.plan() if profile else None) as plan,
        signatures_collected() as links,
    ):
        for mistake in plan.mistakes:
            say(errors, f"courier: {mistake}", style="red")
        if not plan.sources:
            raise typer.Exit(EXIT_BAD_USAGE)
        check_folder(out)
        for source in plan.unasked:
            words = f"nothing was asked; {source.provider} cannot list reports: give --request or --watch"
            say(console, f"{source.name}: {words}")
        if timeout is None and (until_idle or is_demo):
            timeout = DEMO_TIMEOUT_SECONDS if is_demo else IDLE_TIMEOUT_SECONDS
            timeout = FAULTS_TIMEOUT_SECONDS if profile else timeout
        tick_seconds = tick or (DEMO_TICK_SECONDS if is_demo else MINUTE_SECONDS)
        started = time.monotonic()
        with Session(sources=plan.sources, secrets=plan.secrets, tick_seconds=tick_seconds) as session:
            trial = _trial(profile, plan, links, tick_seconds)
            was_interrupted = _run_to_the_end(
                session, plan, console, trial, until_idle=until_idle or is_demo, timeout=timeout
            )
            patience = INTERRUPTED_PATIENCE_SECONDS if was_interrupted else GRACE_SECONDS
            run_report = session.finish(grace_seconds=patience)
            write_results(session, out)
            print_summary(console, errors, session, run_report, out, seconds=time.monotonic() - started)
            code = _exit_code(run_report, plan.mistakes)
            # What was interrupted has broken no promise by not having ended.
            if trial is not None and not was_interrupted:
                chaos_report = trial.check_run(session, plan.sources, run_report)
                print_judgement(console, errors, trial.profile, chaos_report)
                code = 0 if chaos_report.is_good else EXIT_COURIER_FAILED
            if was_interrupted:
                code = EXIT_INTERRUPTED
            if run_report.is_still_running:
                _leave(code)
    raise typer.Exit(code)


def _leave(code: int) -> None:
    """End the process at once: all that is worth keeping is kept, and a copy may go on for as long as its provider."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _trial(profile: FaultProfile | None, plan: Plan, links: Sequence[str], tick_seconds: float) -> ChaosRun | None:
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


def _run_to_the_end(
    session: Session, plan: Plan, console: Console, trial: ChaosRun | None, *, until_idle: bool, timeout: float | None
) -> bool:
    """Let it run; True when somebody pressed Ctrl-C or went away, whose results are worth as much."""
    try:
        session.submit(plan.requests, places=plan.places)
        with progress_on(console, monotonic=time.monotonic) as progress, _interrupts_noted() as interrupted:

            def show(lines: Sequence[BuildLine]) -> None:
                progress.show(lines)
                if trial is not None:
                    trial.stop_faults_when_due()

            session.run(
                until_idle=until_idle,
                timeout_seconds=timeout,
                on_change=show,
                pause=partial(_wait_unless, interrupted),
                monotonic=time.monotonic,
                may_end=lambda lines: trial is None or trial.is_over(session, lines),
            )
    except (KeyboardInterrupt, BrokenPipeError):
        return True
    return False


@contextmanager
def _interrupts_noted() -> Iterator[threading.Event]:
    """Note a Ctrl-C instead of raising at once: where a destructor happens to run, the exception would be lost."""
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
        return EXIT_COURIER_FAILED
    return EXIT_BAD_USAGE if mistakes or run_report.has_user_errors else 0


def _check_seconds(option: str, seconds: float | None, least: float, most: float) -> None:
    """See that a number of seconds is one: ``nan`` is neither too small nor too large for a range check."""
    if seconds is None or (math.isfinite(seconds) and seconds > 0 and least <= seconds <= most):
        return
    bounds = "above 0" if least == 0 else f"from {least:g} to {most:g}"
    raise SettingsError(f"{option}: give seconds {bounds}, not {seconds:g}")
