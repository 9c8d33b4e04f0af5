"""``courier run``: the real template, functions and state machine on an embedded AWS."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
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
    from cli.run_plan import Plan
    from local.chaos.chaos_run import ChaosRun, FaultProfile
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
            help="Results folder; the results of an earlier run are replaced.",
            rich_help_panel=_RUN,
        ),
    ] = Path("out"),
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
) -> None:
    r"""Run the whole application locally, without an AWS account.

    Without options, it runs a few builds of every kind on simulated providers, prints a summary and ends.

    With your own sources, it polls the real providers. Template, functions and state machine are the ones that are
    deployed; only AWS is embedded. It runs until Ctrl-C, unless an option ends it.

    **Examples**

    Run the demo:

        courier run

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

    **Results** in the folder `out`: `bucket/` holds the S3 objects under their keys, `notices.jsonl` the messages
    that a subscriber received, `executions.json` the executions, `usage.json` the invocations and provider requests.

    **Exit code** 0: every build reached an outcome. 1: an execution or a function failed; or at the timeout a build
    was still running, a request was not served, or a provider had not responded; or, with faults, the checker found a
    broken promise. 2: an option, a file or an API key is wrong. 130: interrupted. 141: the reader of the output was
    gone, as in `courier run | head`.
    """
    # Imported here, like in every command: the embedded AWS takes two seconds, which --help need not wait for.
    from cli.run_plan import make_plan, read_fault_profile
    from cli.summary import print_chaos_report, print_summary
    from local.chaos.scenario_facts import signatures_collected
    from local.runs.results_folder import check_folder, write_results
    from local.runs.session import GRACE_SECONDS, MINUTE_SECONDS, Session

    # The current streams: the embedded AWS replaces the standard output by one that is no terminal.
    console = Output(file=sys.stdout, highlight=False)
    errors = Output(file=sys.stderr, highlight=False)
    _check_seconds("--tick", tick, SHORTEST_TICK_SECONDS, LONGEST_TICK_SECONDS)
    _check_seconds("--timeout", timeout, 0.0, math.inf)
    is_demo = sources is None
    profile = read_fault_profile(faults, chaos)
    with (
        make_plan(
            sources,
            secrets,
            request or [],
            watch or [],
            secret_prefix=secret_prefix,
            faults=profile.plan() if profile else None,
        ) as plan,
        signatures_collected() as links,
    ):
        for mistake in plan.mistakes:
            say(errors, f"courier: {mistake}", style="red")
        if not plan.sources:
            raise typer.Exit(EXIT_BAD_USAGE)
        check_folder(out)
        for source in plan.unasked:
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
            chaos_run = _chaos_run(profile, plan, links, tick_seconds)
            end = _run_until_end(session, plan, console, chaos_run, until_idle=until_idle or is_demo, timeout=timeout)
            was_stopped = end in {End.INTERRUPTED, End.READER_GONE}
            errors.quiet = end is End.READER_GONE
            run_report = session.finish(grace_seconds=INTERRUPTED_GRACE_SECONDS if was_stopped else GRACE_SECONDS)
            write_results(session, out)
            code = _exit_code(run_report, plan.mistakes)
            try:
                print_summary(console, errors, session, run_report, out, seconds=time.monotonic() - started)
                if chaos_run is not None:
                    report = chaos_run.check_run(session, plan.sources, run_report, stopped_early=end is not End.IDLE)
                    print_chaos_report(console, errors, chaos_run.profile, report)
                    code = 0 if report.is_good and not report.unchecked else EXIT_FAILED
            except BrokenPipeError:
                end = End.READER_GONE
            code = {End.INTERRUPTED: EXIT_INTERRUPTED, End.READER_GONE: EXIT_BROKEN_PIPE}.get(end, code)
            if run_report.is_still_running:
                _leave(code)
    raise typer.Exit(code)


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
    console: Console,
    chaos_run: ChaosRun | None,
    *,
    until_idle: bool,
    timeout: float | None,
) -> End:
    """Run until the end, and return what it was."""
    from cli.progress import progress_on

    try:
        session.submit(plan.requests, labels=plan.places)
        with progress_on(console, monotonic=time.monotonic) as progress, _interrupts_noted() as interrupted:

            def show(lines: Sequence[BuildLine]) -> None:
                progress.show(lines)
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
