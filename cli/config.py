"""``courier config``: bring the operator's sources and secrets into a deployed stack."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from botocore.exceptions import ClientError
from rich.console import Console

from cli.changes import Changes, apply, compare, describe
from cli.configuration import read_sources
from cli.exits import EXIT_BAD_USAGE
from cli.progress import say
from cli.stack import DEFAULT_STACK, EndpointUrl, Profile, Region, StackName, open_stack
from courier import aws
from courier.config.secrets import parse_api_key, read_api_key
from courier.config.settings import SECRET_NAME_RULE, SECRET_PREFIX, SourceSettings
from courier.errors import CourierError, SettingsError
from courier.providers import open_provider

EXIT_DECLINED = 1
# A person waits: a provider that has not answered by then is reported, and the next one is asked.
CHECK_LIMIT_SECONDS = 20.0
# The characters are those of Secrets Manager.
_SECRET_NAME = re.compile(re.escape(SECRET_PREFIX) + r"[A-Za-z0-9/_+=.@-]{1,490}")
config_app = typer.Typer(no_args_is_help=True, help="Bring sources and secrets into a deployed stack.")


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

    **Exit code** 0: the stack has the file's sources. 1: you declined a removal. 2: something is wrong; nothing
    was written, unless it says what was.
    """
    console, errors = Console(highlight=False), Console(stderr=True, highlight=False)
    configuration = read_sources(sources)
    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target:
        seen, troubles = _check_all(configuration.sources, _ask if check else _look_for_secret)
        for line in seen:
            say(console, line)
        mistakes = [*configuration.mistakes, *troubles]
        changes = Changes() if mistakes else compare(target.parameter_path, configuration.sources)
        mistakes += changes.mistakes
        if mistakes:
            for mistake in mistakes:
                say(errors, f"courier: {mistake}", style="red")
            say(errors, "Nothing was written.", style="red")
            raise typer.Exit(EXIT_BAD_USAGE)
        for line in describe(changes, target.parameter_path, would=dry_run):
            say(console, line)
        if dry_run:
            return
        if changes.removed and not yes and not _agrees(changes.removed):
            say(errors, "Nothing was written; --yes removes without asking.", style="red")
            raise typer.Exit(EXIT_DECLINED)
        apply(changes, target.parameter_path)
    say(console, "Done. The functions read it within a minute." if changes else "Nothing to do.")


@config_app.command("set-secret")
def set_secret(
    name: Annotated[str, typer.Argument(help="Name of the secret, such as build-courier/dreadnode.")],
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Store an API key, typed without echo or piped in, so that it stays out of the shell's history.

    It is stored where the stack is. A key that was there before is replaced; running functions notice by themselves.

    **Examples**

        courier config set-secret build-courier/dreadnode

        pass show dreadnode | courier config set-secret build-courier/dreadnode
    """
    console = Console(highlight=False)
    if not name.startswith(SECRET_PREFIX):
        # Without the name: it may be the key.
        raise SettingsError(f"NAME: {SECRET_NAME_RULE}")
    if not _SECRET_NAME.fullmatch(name):
        raise SettingsError(f"{name}: {SECRET_PREFIX} must be followed by letters, digits and /_+=.@-")
    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url):
        value = _read_key(name)
        # Whatever the functions could not use is refused here, where somebody sees it.
        parse_api_key(name, value)
        say(console, f"{name}: {_store(name, value)}")


def _check_all(
    sources: Sequence[SourceSettings], look: Callable[[SourceSettings], str]
) -> tuple[Sequence[str], Sequence[str]]:
    """Give one line per source that is fine, and one per source that is not; each begins with its name."""
    seen, troubles = [], []
    for settings in sources:
        try:
            read_api_key(settings.secret, fresh=True)
            seen.append(_named(settings.name, look(settings)))
        except CourierError as exc:
            troubles.append(_named(settings.name, str(exc)))
    return seen, troubles


def _look_for_secret(settings: SourceSettings) -> str:
    return f"the secret {settings.secret} is there; the provider was not asked"


def _ask(settings: SourceSettings) -> str:
    return open_provider(settings, call_limit_seconds=CHECK_LIMIT_SECONDS).check()


def _named(name: str, words: str) -> str:
    """Begin a line with the source's name; providers' words often do already."""
    return f"{name}: {words.removeprefix(f'{name}: ')}"


def _agrees(removed: Sequence[str]) -> bool:
    """Ask before sources are removed; where nobody can answer, the answer is no."""
    if not sys.stdin.isatty():
        return False
    return typer.confirm(
        f"Remove {', '.join(removed)}? Builds in flight there will not be looked at any more.", err=True
    )


def _read_key(name: str) -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("API key", hide_input=True, err=True)).strip()
    try:
        return sys.stdin.read().strip()
    except UnicodeDecodeError:
        # Not chained: the exception carries the bytes.
        raise SettingsError(f"{name}: what was piped in is no text; nothing was stored") from None


def _store(name: str, value: str) -> str:
    client = aws.client("secretsmanager")
    try:
        try:
            client.create_secret(Name=name, SecretString=value)
        except client.exceptions.ResourceExistsException:
            client.put_secret_value(SecretId=name, SecretString=value)
            return "replaced"
    except ClientError as exc:
        code = exc.response["Error"]["Code"]
        if code == "InvalidRequestException":
            raise SettingsError(
                f"{name} is scheduled for deletion: aws secretsmanager restore-secret --secret-id {name}, then again"
            ) from exc
        # AWS's own words may quote what it was given.
        raise SettingsError(f"{name} was not stored: {code} from {exc.operation_name}") from None
    return "stored"
