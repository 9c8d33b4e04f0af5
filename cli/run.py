"""``courier run``: the real template, functions and state machine on an embedded AWS."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.configuration import missing_secret, read_request, read_secrets, read_sources, read_watch
from cli.progress import progress_on
from cli.summary import print_summary
from courier.errors import SettingsError
from courier.models import BuildRequest
from courier.providers import open_provider
from courier.settings import SourceSettings
from local.demo import demo_requests, demo_secrets, demo_sources
from local.keepsakes import check_folder, keep
from local.session import MINUTE_SECONDS, Session, Verdict, Wishes
from local.simulator import SimulatedProviders, demo_scenario

EXIT_COURIER_FAILED = 1
EXIT_BAD_USAGE = 2
# The demonstration's minute, so that 20 minutes of polling fit into some seconds.
DEMO_TICK_SECONDS = 1.0
DEMO_TIMEOUT_SECONDS = 55.0
DEMO_SEED = 7
# A run that is to end by itself ends, even if a build never does.
IDLE_TIMEOUT_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run does, read and checked before anything starts."""

    sources: Sequence[SourceSettings]
    secrets: Mapping[str, str]
    wishes: Wishes
    mistakes: Sequence[str] = ()


def run(
    sources: Annotated[
        Path | None, typer.Option(help="YAML document with your sources; without it the providers are simulated.")
    ] = None,
    secrets: Annotated[
        Path | None, typer.Option(help="YAML or JSON file that maps the names of secrets to their values.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("out"),
    request: Annotated[
        list[Path] | None, typer.Option(help="JSON file with a build to ask for; may be given several times.")
    ] = None,
    watch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE/SCOPE/BUILD_ID", help="A build that runs already, to look after; may be repeated."
        ),
    ] = None,
    tick: Annotated[
        float | None,
        typer.Option(min=0.05, help="Seconds that one minute of the schedules and of the sources' beat lasts. [60]"),
    ] = None,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End when nothing is in flight any more.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option(min=0.1, help="Seconds after which the run ends in any case. [3600 with --until-idle]"),
    ] = None,
) -> None:
    r"""Run the whole courier here, without an AWS account.

    With no options: simulated providers, a few builds of every kind, and a summary. Ends by itself.

    With your own sources it is your laptop as the cloud: the template, the functions and the state machine are the
    real ones, only AWS is embedded. What it delivers lands in the result folder:

    * `bucket/` the S3 objects under their keys
    * `notices.jsonl` the messages as a subscriber received them
    * `executions.json` one entry per build's execution
    * `usage.json` Lambda invocations and provider requests

    Exit code 0: every build reached an outcome. 1: the courier failed somewhere, or a build had not ended when the
    time was up. 2: a mistake in options or files.

    **Examples**

    See it work:

        courier run

    Ask for one report, watch another, and stop when both have ended:

        courier run --sources sources.yaml --secrets secrets.yaml --until-idle \
            --request report.json --watch red-team/acme/main/chatbot/2489e9ad-2ee2-8e00-8ec9-32d5f69181c0

    where `report.json` is `{"source": "red-team", "report": {"template_id": "..."}}`, or for Treasure Insights
    `{"source": "insights", "data_model": "<oid>"}`.
    """
    console = Console()
    errors = Console(stderr=True, soft_wrap=True)
    check_folder(out)
    is_demo = sources is None
    with _plan(sources, secrets, request or [], watch or []) as plan:
        for mistake in plan.mistakes:
            errors.print(f"courier: {mistake}", style="red", markup=False, highlight=False)
        if not plan.sources:
            raise typer.Exit(EXIT_BAD_USAGE)
        if timeout is None and (until_idle or is_demo):
            timeout = DEMO_TIMEOUT_SECONDS if is_demo else IDLE_TIMEOUT_SECONDS
        tick_seconds = tick or (DEMO_TICK_SECONDS if is_demo else MINUTE_SECONDS)
        started = time.monotonic()
        with Session(sources=plan.sources, secrets=plan.secrets, tick_seconds=tick_seconds) as session:
            session.ask(plan.wishes)
            with progress_on(console) as progress:
                verdict = session.run(
                    until_idle=until_idle or is_demo,
                    timeout_seconds=timeout,
                    on_change=progress.show,
                    monotonic=time.monotonic,
                )
            keep(session, out)
            print_summary(console, session, verdict, out, seconds=time.monotonic() - started)
    raise typer.Exit(_exit_code(verdict, plan.mistakes))


def _exit_code(verdict: Verdict, mistakes: Sequence[str]) -> int:
    if not verdict.is_good:
        return EXIT_COURIER_FAILED
    return EXIT_BAD_USAGE if mistakes else 0


@contextmanager
def _plan(
    sources: Path | None, secrets: Path | None, requests: Sequence[Path], watches: Sequence[str]
) -> Iterator[Plan]:
    if sources is not None:
        yield _read_plan(sources, secrets, requests, watches)
        return
    if secrets or requests or watches:
        raise SettingsError("--secrets, --request and --watch need --sources")
    scenario = demo_scenario()
    with SimulatedProviders(scenario, seed=DEMO_SEED) as providers:
        yield Plan(
            sources=demo_sources(scenario, providers.url),
            secrets=demo_secrets(scenario),
            wishes=Wishes(requests=demo_requests(scenario)),
        )


def _read_plan(sources: Path, secrets: Path | None, requests: Sequence[Path], watches: Sequence[str]) -> Plan:
    configuration = read_sources(sources)
    values = read_secrets(secrets) if secrets else {}
    mistakes = list(configuration.mistakes)
    usable: dict[str, SourceSettings] = {}
    for settings in configuration.sources:
        missing = missing_secret(settings, values)
        if missing:
            mistakes.append(missing)
        else:
            usable[settings.name] = settings
    wishes: list[BuildRequest] = []
    for path in requests:
        wish = read_request(path)
        _source_of(wish.source, usable, str(path))
        if wish.build_id is None:
            # Nothing is sent: the provider only checks that the request is one that it knows.
            open_provider(usable[wish.source]).request_scope(wish)
        wishes.append(wish)
    refs = [read_watch(text) for text in watches]
    for ref in refs:
        _source_of(ref.source, usable, "--watch")
    used = {settings.secret for settings in usable.values()}
    return Plan(
        sources=tuple(usable.values()),
        secrets={name: value for name, value in values.items() if name in used},
        wishes=Wishes(requests=wishes, watches=refs),
        mistakes=mistakes,
    )


def _source_of(name: str, usable: Mapping[str, SourceSettings], where: str) -> None:
    if name not in usable:
        raise SettingsError(f"{where}: there is no source {name} to ask; usable: {', '.join(sorted(usable)) or 'none'}")
