"""``courier config``: bring the operator's sources and secrets into a deployed stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.configuration import read_sources
from cli.stack import DEFAULT_STACK, EndpointUrl, Profile, Region, Stack, StackName, find_stack
from courier import aws
from courier.credentials import read_api_key
from courier.errors import CourierError, SettingsError
from courier.providers import open_provider
from courier.settings import SourceSettings

EXIT_BAD_USAGE = 2
config_app = typer.Typer(no_args_is_help=True, help="Bring sources and secrets into a deployed stack.")


@dataclass(frozen=True)
class Changes:
    """What a push would do to the parameters, by name of the source."""

    written: Mapping[str, str]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...]


@config_app.command("push")
def push(
    sources: Annotated[Path, typer.Argument(help="YAML document with your sources.")],
    stack: StackName = DEFAULT_STACK,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before a source is removed.")] = False,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Make one harmless request to each source first.")
    ] = True,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Check your sources, then write one parameter per source.

    Nothing is written unless every source is right, every secret exists, and every provider has answered one harmless
    request. Sources that are in the stack and not in the file are removed, after asking.

    **Example**

        courier config push sources.yaml --dry-run
    """
    console, errors = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
    configuration = read_sources(sources)
    mistakes = list(configuration.mistakes)
    target = find_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url)
    for settings in configuration.sources:
        try:
            console.print(_check(settings, ask=check), markup=False, highlight=False)
        except CourierError as exc:
            mistakes.append(f"{settings.name}: {exc}")
    if mistakes:
        for mistake in mistakes:
            errors.print(f"courier: {mistake}", style="red", markup=False, highlight=False)
        errors.print("Nothing was written.", style="red")
        raise typer.Exit(EXIT_BAD_USAGE)
    changes = _changes(target, configuration.sources)
    for line in _describe(changes, target, dry_run=dry_run):
        console.print(line, markup=False, highlight=False)
    if dry_run:
        return
    if changes.removed and not yes:
        typer.confirm(f"Remove {', '.join(changes.removed)}? Builds in flight there will not be looked at", abort=True)
    _apply(target, changes)
    console.print("Done. The functions read it within a minute.", highlight=False)


@config_app.command("set-secret")
def set_secret(
    name: Annotated[str, typer.Argument(help="Name of the secret, such as build-courier/dreadnode.")],
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    stack: StackName = DEFAULT_STACK,
) -> None:
    """Store an API key, typed without echo or piped in, so that it stays out of the shell's history.

    **Examples**

        courier config set-secret build-courier/dreadnode

        pass show dreadnode | courier config set-secret build-courier/dreadnode
    """
    find_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url)
    if not name.startswith("build-courier/"):
        raise SettingsError(f"{name}: the functions may only read secrets whose names begin with build-courier/")
    stdin = typer.get_text_stream("stdin")
    value = typer.prompt("API key", hide_input=True) if stdin.isatty() else stdin.read()
    if not value.strip():
        raise SettingsError(f"{name}: the key is empty; nothing was stored")
    client = aws.client("secretsmanager")
    try:
        client.create_secret(Name=name, SecretString=value.strip())
    except client.exceptions.ResourceExistsException:
        client.put_secret_value(SecretId=name, SecretString=value.strip())
        typer.echo(f"{name}: replaced")
    else:
        typer.echo(f"{name}: stored")


def _check(settings: SourceSettings, *, ask: bool) -> str:
    """Check one source's secret, and ask its provider for something harmless."""
    read_api_key(settings.secret, fresh=True)
    return open_provider(settings).check() if ask else f"{settings.name}: the secret {settings.secret} exists"


def _changes(stack: Stack, sources: tuple[SourceSettings, ...]) -> Changes:
    wanted = {settings.name: settings.model_dump_json(exclude_defaults=True) for settings in sources}
    present = _present(stack)
    return Changes(
        written={name: text for name, text in wanted.items() if present.get(name) != text},
        unchanged=tuple(name for name, text in wanted.items() if present.get(name) == text),
        removed=tuple(sorted(present.keys() - wanted.keys())),
    )


def _present(stack: Stack) -> dict[str, str]:
    path = stack.parameter_path
    pages = aws.client("ssm").get_paginator("get_parameters_by_path").paginate(Path=path)
    return {item["Name"].removeprefix(f"{path}/"): item["Value"] for page in pages for item in page["Parameters"]}


def _describe(changes: Changes, stack: Stack, *, dry_run: bool) -> list[str]:
    would = "would " if dry_run else ""
    path = stack.parameter_path
    return [
        *(f"{would}write   {path}/{name}" for name in changes.written),
        *(f"{would}keep    {path}/{name}" for name in changes.unchanged),
        *(f"{would}remove  {path}/{name}" for name in changes.removed),
    ]


def _apply(stack: Stack, changes: Changes) -> None:
    ssm = aws.client("ssm")
    for name, text in changes.written.items():
        # Standard parameters hold 4 KB, which is plenty; a source with a certificate may need an advanced one.
        ssm.put_parameter(
            Name=f"{stack.parameter_path}/{name}",
            Value=text,
            Type="String",
            Overwrite=True,
            Tier="Intelligent-Tiering",
        )
    for name in changes.removed:
        ssm.delete_parameter(Name=f"{stack.parameter_path}/{name}")
