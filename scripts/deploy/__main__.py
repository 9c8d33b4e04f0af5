"""Deploy a stack: ``python -m scripts.deploy --stack NAME --region REGION [NAME=VALUE ...]``; see ``--help``."""

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from cli.deployment import (
    USUAL_STACK,
    Deployment,
    Name,
    RegionName,
    deployments_file,
    read_deployments,
    write_deployments,
)
from cli.key_policy import policy_warnings
from cli.shared import EXIT_BAD_USAGE, EXIT_INTERRUPTED
from cli.stack import aws_environment, one_line_errors, untyped_client
from courier import aws
from courier.errors import SettingsError
from scripts.deploy.parameters import Parameter, mistakes_in, parse_settings, read_parameters

ROOT = Path(__file__).resolve().parent.parent.parent
SAM = ".venv-sam/bin/sam"
BUILT = ".aws-sam/build/template.yaml"
CONFIG = "samplconfig.toml"
# What the build reads; a file that is newer than the build makes it outdated.
_BUILD_INPUTS = ("template.yaml", "monitoring.yaml", "statemachine", "functions", "layers")
# Status of a stack whose creation failed: CloudFormation can only delete it.
_NEVER_CREATED = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"})
_HELP = """\
Deploy Build Courier with the project's own SAM CLI.

At a terminal it asks for what is missing. The answers are kept in courier.toml, which git ignores; the courier command
reads stack and region there. Every parameter is passed to CloudFormation, those that you did not change with the
default of this version: CloudFormation would keep the previous value of a parameter that is not passed.
"""


@dataclass(frozen=True, kw_only=True)
class Existing:
    """The stack as it is in AWS: its parameters, and those that differ from the defaults of its own template."""

    parameters: Mapping[str, str]
    changed: Mapping[str, str]


def main(arguments: list[str]) -> int:
    """Run, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.deploy", description=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stack", help="name of the stack (make deploy STACK=NAME)")
    parser.add_argument("--region", help="AWS region (make deploy REGION=NAME)")
    parser.add_argument("--profile", help="profile of your AWS configuration (make deploy PROFILE=NAME)")
    parser.add_argument("--yes", action="store_true", help="ask nothing (make deploy YES=1)")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the command without running it (make deploy DRY_RUN=1)"
    )
    parser.add_argument(
        "settings", nargs="*", metavar="NAME=VALUE", help='parameter of the stack (make deploy PARAMETERS="NAME=VALUE")'
    )
    options = parser.parse_args(arguments)
    try:
        return deploy(options, interactive=sys.stdin.isatty() and not options.yes)
    except SettingsError as exc:
        print(f"deploy: {exc}", file=sys.stderr)
        return EXIT_BAD_USAGE
    except (KeyboardInterrupt, EOFError):
        print("\ndeploy: interrupted; a change set that was already executed goes on in AWS", file=sys.stderr)
        return EXIT_INTERRUPTED


def deploy(options: argparse.Namespace, *, interactive: bool) -> int:
    """Find out what to deploy, save the answers, and call SAM.

    Raises
    ------
    SettingsError
        An answer is missing or wrong, or AWS cannot be used.
    """
    file = deployments_file()
    known = read_deployments(file)
    parameters = read_parameters(ROOT / "template.yaml")
    chosen = parse_settings(options.settings, parameters)
    stack = _choose(
        "STACK",
        options.stack or os.environ.get("COURIER_STACK"),
        known.stack,
        USUAL_STACK,
        interactive=interactive,
        kind=Name,
    )
    earlier = known.stacks.get(stack)
    region = _choose(
        "REGION",
        options.region or os.environ.get("COURIER_REGION"),
        earlier.region if earlier else None,
        os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
        interactive=interactive,
        kind=RegionName,
    )
    profile = options.profile or (earlier.profile if earlier else None)
    if earlier is not None and earlier.region != region:
        print(f"Notice: {stack} was deployed to {earlier.region}; this makes another stack in {region}")
        earlier = None
    with aws_environment(profile=profile, region=region, endpoint_url=None):
        existing = _existing(stack, region, dry_run=options.dry_run)
        answers = {**(earlier.parameters if earlier else existing.changed if existing else {}), **chosen}
        # A parameter of an earlier version; its value in the stack goes with it.
        answers = {name: value for name, value in answers.items() if name in parameters or earlier}
        if interactive:
            answers = prompt_parameters(parameters, answers)
        if mistakes := list(mistakes_in(answers, parameters)):
            raise SettingsError("; ".join(mistakes))
        answers = {name: value for name, value in answers.items() if value != parameters[name].default}
        _print_plan(stack, region, answers, parameters, existing)
        if key := answers.get("KmsKeyArn"):
            with one_line_errors():
                for warning in policy_warnings(key):
                    print(f"Warning: {warning}")
    command = sam_command(stack, region, profile, {**_defaults(parameters), **answers}, confirm=interactive)
    if options.dry_run:
        print(shlex.join(command))
        return 0
    deployment = Deployment(region=region, profile=profile, parameters=answers)
    write_deployments(file, known.with_stack(stack, deployment))
    print(f"Answers: {os.path.relpath(file)}", flush=True)
    return _run(command, answers.get("SecretPrefix", parameters["SecretPrefix"].default), is_new=existing is None)


def sam_command(stack: str, region: str, profile: str | None, values: Mapping[str, str], *, confirm: bool) -> list[str]:
    """Return the command that deploys the build with all parameters."""
    # SAM takes the build by itself. With --template-file it would look for the configuration beside that file.
    command = [SAM, "deploy", "--config-file", CONFIG, "--stack-name", stack]
    command += ["--region", region, *(["--profile", profile] if profile else [])]
    command += ["--confirm-changeset" if confirm else "--no-confirm-changeset", "--parameter-overrides"]
    # SAM splits an unquoted value at spaces.
    return command + [f'{name}="{_escaped(value)}"' for name, value in values.items()]


def prompt_parameters(parameters: Mapping[str, Parameter], answers: Mapping[str, str]) -> dict[str, str]:
    """Ask for the parameters of each group that the operator wants to change."""
    print("\nParameters. Enter keeps the value in brackets, - stands for the default.")
    found = dict(answers)
    for group in dict.fromkeys(parameter.group for parameter in parameters.values()):
        members = [parameter for parameter in parameters.values() if parameter.group == group]
        if len(members) > 1:
            now = ", ".join(f"{each.name}={found[each.name]}" for each in members if each.name in found)
            print(f"\n{group}: {', '.join(each.name for each in members)}")
            if not _prompt(f"Change them? ({now or 'defaults'}) [y/N]").lower().startswith("y"):
                continue
        for each in members:
            found[each.name] = _prompt_parameter(each, found.get(each.name, each.default))
    return found


def build_is_outdated(root: Path) -> bool:
    """Return whether there is no build, or a file that it reads is newer."""
    built = root / BUILT
    if not built.exists():
        return True
    inputs = [root / name for name in _BUILD_INPUTS]
    files = [path for each in inputs for path in ([each] if each.is_file() else each.rglob("*"))]
    return any(
        path.stat().st_mtime > built.stat().st_mtime
        for path in files
        if path.is_file() and "__pycache__" not in path.parts
    )


def _prompt_parameter(parameter: Parameter, current: str) -> str:
    print(f"\n{parameter.name}: {parameter.description}")
    while True:
        answer = _prompt(f"{parameter.name} [{current or 'none'}]:")
        value = {"": current, "-": parameter.default}.get(answer, answer)
        mistake = parameter.mistake(value)
        if mistake is None:
            return value
        print(f"{value}: {mistake}")


def _choose(
    setting: str, chosen: str | None, earlier: str | None, usual: str | None, *, interactive: bool, kind: object
) -> str:
    """Return one setting: as passed, as answered, or as answered before."""
    value = chosen
    if value is None and interactive:
        suggestion = earlier or usual
        while not value:
            value = _prompt(f"{setting.capitalize()} [{suggestion}]:" if suggestion else f"{setting.capitalize()}:")
            value = value or suggestion
    value = value or earlier
    if value is None:
        raise SettingsError(f"no {setting.lower()}: pass {setting}=NAME, or set COURIER_{setting}")
    try:
        return str(TypeAdapter(kind).validate_python(value))
    except ValidationError:
        what = "a name of letters, digits and hyphens" if setting == "STACK" else "a region, such as eu-central-1"
        raise SettingsError(f"{setting}={value}: must be {what}") from None


def _prompt(question: str) -> str:
    return input(f"{question} ").strip()


def _existing(stack: str, region: str, *, dry_run: bool) -> Existing | None:
    """Return the stack as it is; None if there is none, and in a dry run also if AWS cannot be asked."""
    try:
        with one_line_errors():
            account = untyped_client("sts").get_caller_identity()["Account"]
            print(f"Account {account}, region {region}, stack {stack}")
            client = aws.client("cloudformation")
            try:
                (found,) = client.describe_stacks(StackName=stack)["Stacks"]
            except client.exceptions.ClientError as exc:
                if "does not exist" in exc.response["Error"].get("Message", ""):
                    return None
                raise
            summary = client.get_template_summary(StackName=stack)
    except SettingsError as exc:
        if not dry_run:
            raise
        print(f"Notice: the stack was not read: {exc}", file=sys.stderr)
        return None
    status = found["StackStatus"]
    if status in _NEVER_CREATED:
        raise SettingsError(
            f"stack {stack} is {status}, so it can only be deleted: aws cloudformation delete-stack "
            f"--region {region} --stack-name {stack}; then deploy again"
        )
    if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
        raise SettingsError(f"stack {stack} is {status}: wait until that has ended")
    values = {each["ParameterKey"]: each.get("ParameterValue", "") for each in found.get("Parameters", [])}
    defaults = {each["ParameterKey"]: each.get("DefaultValue", "") for each in summary.get("Parameters", [])}
    changed = {name: value for name, value in values.items() if value != defaults.get(name)}
    return Existing(parameters=values, changed=changed)


def _print_plan(
    stack: str,
    region: str,
    answers: Mapping[str, str],
    parameters: Mapping[str, Parameter],
    existing: Existing | None,
) -> None:
    print(f"{'Updating' if existing else 'Deploying'} {stack} in {region}")
    for name, value in answers.items():
        print(f"  {name}={value}")
    if len(answers) < len(parameters):
        print(f"  {len(parameters) - len(answers)} {'other ' if answers else ''}parameters have their defaults")
    values = {**_defaults(parameters), **answers}
    for name, before in existing.parameters.items() if existing else ():
        if name in values and values[name] != before:
            print(f"  Change: {name}: {before or 'none'} -> {values[name] or 'none'}")


def _run(command: list[str], secret_prefix: str, *, is_new: bool) -> int:
    environment = {**os.environ, "SAM_CLI_TELEMETRY": "0"}
    # A build that was refused, for example for its size, is there and up to date: its check is repeated.
    build = ["make", "build"] if build_is_outdated(ROOT) else [sys.executable, "-m", "scripts.built"]
    without_make = {name: value for name, value in environment.items() if name not in {"MAKEFLAGS", "MAKELEVEL"}}
    if code := subprocess.run(build, cwd=ROOT, env=without_make, check=False).returncode:
        print("deploy: the build failed; nothing was deployed", file=sys.stderr)
        return code
    if code := subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode:
        print(
            "deploy: SAM failed; its message is above. The answers are kept: make deploy tries again", file=sys.stderr
        )
        return code
    courier = os.path.relpath(Path(sys.executable).parent / "courier")
    print("\nDeployed. Next:")
    if is_new:
        print(f"  {courier} config set-secret {secret_prefix}NAME    # once for each secret of your sources")
        print(f"  {courier} config push sources.yaml")
    else:
        print(f"  {courier} doctor\n  {courier} status")
    return 0


def _defaults(parameters: Mapping[str, Parameter]) -> dict[str, str]:
    return {name: parameter.default for name, parameter in parameters.items()}


def _escaped(value: str) -> str:
    return value.replace('"', '\\"')


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
