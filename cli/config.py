"""``courier config``: write the operator's sources and secrets to a deployed stack."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from cli.definition_commands import check as check_command
from cli.definition_commands import probe, try_command
from cli.shared import DEFAULT_STACK, EXIT_BAD_USAGE, EXIT_FAILED, EndpointUrl, Profile, Region, StackName, say
from courier.errors import CourierError, SettingsError

if TYPE_CHECKING:
    from cli.stack import Stack
    from courier.config.secrets import Secret
    from courier.config.settings import SourceSettings

# A person waits: a provider that has not responded by then is reported, and the next one is checked.
CHECK_LIMIT_SECONDS = 20.0
# The characters and the length are those that Secrets Manager allows.
_SECRET_SUFFIX = re.compile(r"[A-Za-z0-9/_+=.@-]+")
_LONGEST_NAME = 512
config_app = typer.Typer(
    no_args_is_help=True, help="Check sources, and write them and their secrets to a deployed stack."
)
config_app.command("check")(check_command)
config_app.command("try")(try_command)
config_app.command("probe")(probe)


@config_app.command("push")
def push(
    sources: Annotated[Path, typer.Argument(help="YAML document with your sources.")],
    stack: StackName = DEFAULT_STACK,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the changes without making them.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove sources without asking.")] = False,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Send one harmless request to each provider first.")
    ] = True,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Check your sources, then write one parameter per source.

    Nothing is written unless every source is valid, every secret exists, and every provider accepts one harmless
    request. Sources that are in the stack but not in the file are removed after a confirmation. If the stack has a KMS
    key of yours, its policy is compared with what the stack needs.

    **Example**

        courier config push sources.yaml --dry-run

    **Exit code** 0: the stack has the sources of the file. 1: you declined a removal. 2: an error; nothing was
    written unless the message says so.
    """
    from cli.input_files import read_sources
    from cli.key_policy import policy_warnings
    from cli.source_changes import Changes, apply, compare, describe, describe_origins
    from cli.stack import open_stack

    console, errors = Console(highlight=False), Console(stderr=True, highlight=False)
    # A wrong file is reported without AWS; what the sources may be depends on the stack.
    read_sources(sources, secret_prefix="")
    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target:
        configuration = read_sources(sources, secret_prefix=target.secret_prefix)
        for warning in policy_warnings(target.key_arn) if target.key_arn else ():
            say(errors, f"courier: {warning}", style="yellow")
        passed, failed = _check_all(configuration.sources, _check_provider if check else _check_secret)
        for line in passed:
            say(console, line)
        for settings in configuration.sources:
            if (origins := describe_origins(settings)) is not None:
                say(console, f"{settings.name}: {origins}")
        mistakes = [*configuration.mistakes, *failed]
        changes = (
            Changes()
            if mistakes
            else compare(target.parameter_path, configuration.sources, secret_prefix=target.secret_prefix)
        )
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
        if changes.removed and not yes and not _confirm(changes.removed):
            say(errors, "Nothing was written; --yes removes without asking.", style="red")
            raise typer.Exit(EXIT_FAILED)
        apply(changes, target.parameter_path)
        _probe_failing(target, [settings.name for settings in configuration.sources], console)
    say(console, "Done. The functions read it within a minute." if changes else "Nothing to do.")


@config_app.command("set-secret")
def set_secret(
    name: Annotated[str, typer.Argument(help="Name of the secret, such as build-courier/dreadnode.")],
    check: Annotated[
        bool,
        typer.Option("--check/--no-check", help="Send one harmless request with the key to each source that uses it."),
    ] = True,
    stack: StackName = DEFAULT_STACK,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Store an API key in Secrets Manager, typed without echo or piped in, so that it is not in the shell's history.

    An existing key is replaced; a running function uses one that still works for up to 15 minutes. Before that, the
    sources of the stack that use the secret are called with the new key: a key that one of them rejects is not stored.
    Afterwards the stack calls those that failed with the old one at once. An API that wants more than one key gets a
    JSON object of named fields.

    **Examples**

        courier config set-secret build-courier/dreadnode

        pass show dreadnode | courier config set-secret build-courier/dreadnode

        courier config set-secret build-courier/auth0 < client.json

    **Exit code** 0: the key is stored. 2: it is not; the message says why.
    """
    from cli.stack import open_stack
    from courier.config.secrets import parse_secret

    console = Console(highlight=False)
    with open_stack(stack, profile=profile, region=region, endpoint_url=endpoint_url) as target:
        _check_name(name, target.secret_prefix)
        value = _read_key(name)
        # A value that the functions could not use is refused here, where the operator sees it. Which fields an object
        # needs, only its source says.
        secret = parse_secret(name, value)
        fields = secret.check()
        users = [each for each in target.container.sources.load(fresh=True).usable.values() if each.secret == name]
        if check:
            _check_new_secret(console, secret, users)
        holds = f", with the fields {', '.join(fields)}" if fields else ""
        say(console, f"{name}: {_store(name, value)}{holds}")
        _probe_failing(target, [each.name for each in users], console)


def _probe_failing(stack: Stack, sources: Sequence[str], console: Console) -> None:
    """Let the stack call the sources that it does not call at the moment: what was written may be the cure."""
    from cli.act import perform

    states = {name: stack.container.source_ledger.state(name) for name in sources}
    failing = [name for name, state in states.items() if state.is_unhealthy or state.backoff_until]
    for result in perform(stack, [{"action": "probe", "source": name} for name in failing]) if failing else ():
        said = str(result["note"]).removeprefix(f"{result['source']}: ")
        say(
            console,
            f"{result['source']}: probed, {said}" if result["done"] else f"{result['source']}: still fails, {said}",
        )


def _check_new_secret(console: Console, secret: Secret, sources: Sequence[SourceSettings]) -> None:
    """Call the sources that use a secret with its new value, before it is stored.

    Raises
    ------
    typer.Exit
        A source rejects it, or cannot be called.
    """
    from courier.providers import open_provider, provider_class

    def read_new_secret(_name: str, _fresh: bool = False) -> Secret:
        return secret

    failed = []
    for settings in sources:
        try:
            provider_class({"provider": settings.provider}).check_secret(settings, secret)
            provider = open_provider(settings, read_secret=read_new_secret, call_limit_seconds=CHECK_LIMIT_SECONDS)
            say(console, _with_name(settings.name, provider.check()))
        except CourierError as exc:
            failed.append(_with_name(settings.name, str(exc)))
    errors = Console(stderr=True, highlight=False)
    for line in failed:
        say(errors, f"courier: {line}", style="red")
    if failed:
        say(errors, "The key was not stored; --no-check stores it nevertheless.", style="red")
        raise typer.Exit(EXIT_BAD_USAGE)


def _check_all(
    sources: Sequence[SourceSettings], check: Callable[[SourceSettings], str]
) -> tuple[Sequence[str], Sequence[str]]:
    """Return one line per source that passes, and one per source that fails; each begins with the source's name."""
    from courier.config.secrets import read_secret
    from courier.providers import provider_class

    passed, failed = [], []
    for settings in sources:
        try:
            secret = read_secret(settings.secret, fresh=True)
            provider_class({"provider": settings.provider}).check_secret(settings, secret)
            passed.append(_with_name(settings.name, check(settings)))
        except CourierError as exc:
            failed.append(_with_name(settings.name, str(exc)))
    return passed, failed


def _check_secret(settings: SourceSettings) -> str:
    return f"the secret {settings.secret} exists; the provider was not called"


def _check_provider(settings: SourceSettings) -> str:
    from courier.providers import open_provider

    return open_provider(settings, call_limit_seconds=CHECK_LIMIT_SECONDS).check()


def _with_name(name: str, message: str) -> str:
    """Begin a line with the source's name; messages of providers often have it already."""
    return f"{name}: {message.removeprefix(f'{name}: ')}"


def _confirm(removed: Sequence[str]) -> bool:
    """Ask before sources are removed; without a terminal the answer is no."""
    if not sys.stdin.isatty():
        return False
    return typer.confirm(f"Remove {', '.join(removed)}? Their builds in flight are no longer polled.", err=True)


def _check_name(name: str, prefix: str) -> None:
    from courier.config.settings import check_secret_name

    if name != prefix:
        try:
            check_secret_name(name, prefix)
        except ValueError as exc:
            raise SettingsError(f"NAME: {exc}") from exc
    if not _SECRET_SUFFIX.fullmatch(name.removeprefix(prefix)) or len(name) > _LONGEST_NAME:
        raise SettingsError(
            f"{name}: {prefix} must be followed by letters, digits and /_+=.@-, {_LONGEST_NAME} in all at most"
        )


def _read_key(name: str) -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("API key", hide_input=True, err=True)).strip()
    try:
        return sys.stdin.read().strip()
    except UnicodeDecodeError:
        # Not chained: the exception carries the bytes.
        raise SettingsError(f"{name}: the input is not UTF-8 text; nothing was stored") from None


def _store(name: str, value: str) -> str:
    from botocore.exceptions import ClientError

    from courier import aws

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
                f"{name} is scheduled for deletion; to restore it: aws secretsmanager restore-secret --secret-id {name}"
            ) from exc
        # AWS's message may quote the value.
        raise SettingsError(f"{name} was not stored: {code} from {exc.operation_name}") from None
    return "stored"
