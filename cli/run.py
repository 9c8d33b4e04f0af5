"""``courier run``: the real template, functions and state machine on an embedded AWS."""

from __future__ import annotations

import math
import os
import shlex
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cli.shared import EXIT_BAD_USAGE, say
from courier.config.environment import DEFAULT_SECRET_PREFIX
from courier.errors import SettingsError

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
    deployed; only AWS is embedded. It runs until Ctrl-C, unless an option ends it. It prints a line for another
    terminal, in which the commands for a deployed stack, such as `courier status`, then work on this run.

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
    # The embedded AWS needs no profile, and moto fails in its import if there is none of that name.
    for variable in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        os.environ.pop(variable, None)
    # Imported here, like in every command: the embedded AWS takes two seconds, which --help need not wait for.
    from cli.continuing import parse_outcomes, prepare_folder
    from cli.progress import progress_on
    from cli.run_loop import Output, finish, make_chaos_run, run_until_end, store
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
            say(console, f"courier: {source.name}: {hint}")
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
            if not is_demo:
                say(console, f"To look at this run and to act on it, in another terminal: {session.command_line_setup}")
            chaos_run = make_chaos_run(profile, plan, links, tick_seconds)
            on_change = partial(store, session, results, errors if verbose else None)
            end = run_until_end(
                session,
                plan,
                progress_on(console, monotonic=time.monotonic, plain=verbose),
                chaos_run,
                until_idle=until_idle or is_demo,
                timeout=timeout,
                on_change=on_change,
            )
            code = finish(
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


def _check_seconds(option: str, seconds: float | None, least: float, most: float) -> None:
    """Check a number of seconds; ``nan`` would pass a plain range check."""
    if seconds is None or (math.isfinite(seconds) and seconds > 0 and least <= seconds <= most):
        return
    bounds = "above 0" if least == 0 else f"from {least:g} to {most:g}"
    raise SettingsError(f"{option}: must be seconds {bounds}, not {seconds:g}")
