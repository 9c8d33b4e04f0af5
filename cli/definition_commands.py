"""``courier config check``, ``try`` and ``probe``: for those who describe an API. The first two send nothing."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from cli.shared import EXIT_BAD_USAGE, EXIT_FAILED, EndpointUrl, Profile, Region, say
from cli.tables import Format, FormatOption, print_data
from courier.config.environment import DEFAULT_SECRET_PREFIX

if TYPE_CHECKING:
    from cli.definition_trial import Step
    from cli.source_files import CheckedFile

# A person waits.
PROBE_LIMIT_SECONDS = 20.0
SecretPrefix = Annotated[
    str, typer.Option("--secret-prefix", metavar="PREFIX", help="Beginning of the secret names: that of your stack.")
]
SourcesFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="YAML file with your sources, or with a definition and its example.")
]
SourceName = Annotated[
    str | None, typer.Argument(metavar="SOURCE", help="Name of the source; it may be left out where there is one.")
]


def check(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="YAML file with your sources, or with a definition (`api`) alone.")
    ],
    output_format: FormatOption = Format.TABLE,
    secret_prefix: SecretPrefix = DEFAULT_SECRET_PREFIX,
) -> None:
    """Check a file with sources or with a definition: every key, expression, placeholder and word. Sends nothing.

    Each problem is one line with its place in the file, and all of them are reported at once.

    **Examples**

        courier config check sources.yaml

        courier config check sources.yaml --format json

    **Exit code** 0: nothing is wrong. 2: something is.
    """
    from cli.source_files import check_file

    checked = check_file(file, secret_prefix=secret_prefix)
    if output_format is not Format.TABLE:
        rows = [
            {"level": level, **asdict(problem)}
            for level, problems in (("error", checked.problems), ("warning", checked.warnings))
            for problem in problems
        ]
        print_data(rows, rows, output_format)
    else:
        console, errors = Console(highlight=False), Console(stderr=True, highlight=False)
        for problem in checked.problems:
            say(errors, problem.line_for(file), style="red")
        for warning in checked.warnings:
            say(errors, f"{warning.line_for(file)} (a warning)", style="yellow")
        for line in _summary(checked):
            say(console, line)
    if checked.problems:
        raise typer.Exit(EXIT_BAD_USAGE)


def try_command(
    file: SourcesFile,
    source: SourceName = None,
    answer: Annotated[
        list[str] | None,
        typer.Option(
            "--answer",
            "-a",
            metavar="CALL=FILE",
            help="A saved response: its body, or what `curl -i` prints. CALL is start, status, list, link, token, "
            "then, preflight, scopes, check, limits, cancel, or file, the download; repeat it for more polls or pages.",
        ),
    ] = None,
    scope: Annotated[str | None, typer.Option(help="Scope of the build. [default: the first of the source]")] = None,
    build_id: Annotated[
        str | None, typer.Option("--id", help="Id of the build. [default: what the responses say]")
    ] = None,
    output_format: FormatOption = Format.TABLE,
    secret_prefix: SecretPrefix = DEFAULT_SECRET_PREFIX,
) -> None:
    """Show what a definition reads out of saved responses, step by step. Sends nothing, and needs no secret.

    The courier's own client reads the files in place of the network, so that what you see is what it will do: each
    request, the id, the word and what it means, the times, the link, and what is refused by which rule. Links are
    shown without what is secret in them.

    **Examples**

        curl -i -H "X-API-TOKEN: $KEY" https://api.example.com/exports/42 > status.txt

        courier config try sources.yaml survey --answer status=status.txt

        courier config try sources.yaml survey -a start=start.json -a status=running.json -a status=done.json

    **Exit code** 0: the responses were read, whatever they say. 2: the file or an option is wrong.
    """
    from cli.definition_trial import Trial
    from cli.source_files import read_one_source
    from courier.errors import SettingsError
    from courier.providers.http_json.settings import HttpJsonSettings

    settings = read_one_source(file, source, secret_prefix=secret_prefix)
    if not isinstance(settings, HttpJsonSettings):
        raise SettingsError(f"{settings.name}: provider {settings.provider} has no definition to try")
    steps = Trial(settings, _answers(answer or []), scope=scope, build_id=build_id).run()
    if output_format is not Format.TABLE:
        rows = [{"call": step.call, **asdict(row)} for step in steps for row in step.rows]
        print_data([asdict(step) for step in steps], rows, output_format)
        return
    console = Console(highlight=False)
    for step in steps:
        _print_step(console, step)


def probe(
    file: SourcesFile,
    source: SourceName = None,
    secrets: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="YAML or JSON file that maps secret names to their values; without it, Secrets Manager is read.",
        ),
    ] = None,
    secret_prefix: SecretPrefix = DEFAULT_SECRET_PREFIX,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Send one harmless request to the API of a source, with its secret, and print what it says.

    It proves endpoint, secret and permissions, and starts nothing: the `check` call of a definition, the list of its
    scopes, or a request for a build that cannot exist. Each request is printed, and so are the only origins that the
    credentials are sent to. It needs no stack.

    **Examples**

        courier config probe sources.yaml survey

        courier config probe sources.yaml survey --secrets secrets.yaml

    **Exit code** 0: the API accepts the secret. 1: the request failed. 2: the file, the secret or an option is wrong.
    """
    from cli.input_files import check_secret, read_secrets
    from cli.source_changes import describe_origins
    from cli.source_files import read_one_source
    from cli.stack import aws_environment, one_line_errors
    from courier.config.secrets import parse_secret, read_secret
    from courier.errors import SourceError
    from courier.observability.provider_events import ProviderCallbacks, RequestAttempt, UnexpectedValue
    from courier.providers import open_provider

    console, errors = Console(highlight=False), Console(stderr=True, highlight=False)
    settings = read_one_source(file, source, secret_prefix=secret_prefix)
    if (origins := describe_origins(settings)) is not None:
        say(console, origins)

    def sent(attempt: RequestAttempt) -> None:
        result = str(attempt.status) if attempt.status is not None else attempt.failure
        say(console, f"{attempt.kind}: {result}, after {attempt.seconds:.1f} s")

    def unexpected(value: UnexpectedValue) -> None:
        say(errors, f"unexpected: {value.detail}", style="yellow")

    with aws_environment(profile=profile, region=region, endpoint_url=endpoint_url), one_line_errors():
        if secrets is not None:
            secret = parse_secret(settings.secret, check_secret(settings, read_secrets(secrets), secrets))
        else:
            secret = read_secret(settings.secret, True)
        provider = open_provider(
            settings,
            read_secret=lambda *_: secret,
            callbacks=ProviderCallbacks(on_request=sent, on_unexpected_value=unexpected),
            call_limit_seconds=PROBE_LIMIT_SECONDS,
        )
        try:
            say(console, provider.check())
        except SourceError as exc:
            say(errors, f"courier: {exc}", style="red")
            raise typer.Exit(EXIT_FAILED) from exc


def _answers(options: list[str]) -> dict[str, list[Path]]:
    from cli.saved_responses import CALLS
    from courier.errors import SettingsError

    answers: dict[str, list[Path]] = {}
    for option in options:
        call, _, path = option.partition("=")
        if call not in CALLS.values() or not path:
            known = ", ".join(CALLS.values())
            raise SettingsError(f"--answer {option}: must be CALL=FILE, with one of {known}")
        answers.setdefault(call, []).append(Path(path))
    if not answers:
        raise SettingsError("--answer: name at least one saved response, such as --answer status=status.json")
    return answers


def _print_step(console: Console, step: Step) -> None:
    say(console, f"{step.call}  {step.request}", style="bold")
    lines = [("sends", step.sent or ""), ("response", step.response)]
    lines += [(row.name, f"{row.value}   [{row.by}]" if row.by else row.value) for row in step.rows]
    lines += [("note", note) for note in step.notes]
    lines += [("refused", step.refused or "")]
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        if text:
            style = {"note": "yellow", "refused": "red"}.get(name)
            say(console, f"    {name.ljust(width)}  {text}", style=style)


def _summary(checked: CheckedFile) -> list[str]:
    from cli.source_changes import describe_origins

    lines = []
    for settings in checked.sources:
        origins = describe_origins(settings)
        lines.append(f"{settings.name}: ok, {settings.provider}" + (f"; {origins}" if origins else ""))
    if checked.definition is not None:
        lines.append("The definition is ok.")
    if checked.needs:
        lines.append(f"A source that uses it fills in {', '.join(checked.needs)}.")
    return lines
