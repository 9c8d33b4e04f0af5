"""A deployed stack: found by its name, with the records in its bucket."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from urllib.parse import urlsplit

from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
)
from botocore.exceptions import (
    ConnectionError as AwsConnectionError,
)

from cli.deployment import StackChoice, choose_stack
from courier import __version__, aws
from courier.config.environment import DEFAULT_SECRET_PREFIX, Environment
from courier.config.settings import is_loopback_name
from courier.errors import CourierError, SettingsError
from courier.usecases.container import Container

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

# The function's timeout is 120 s.
_INVOCATION_SECONDS = 130
# What this command and a stack agree on: the output Interface of template.yaml. It grows when a command needs something
# that stacks of earlier versions do not have, or reads what a stack stores in another way. A stack from before the
# first number has no such output.
INTERFACE = 1
OLDEST_INTERFACE = 0
_OUTPUTS = frozenset({"ParameterPath", "LedgerTableName", "BucketName"})
# They override AWS_PROFILE, but not the option --profile of the AWS CLI; --profile behaves the same here.
_LOCAL_KEY = "courier"
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


@dataclass(frozen=True)
class Stack:
    """A deployed stack: its outputs, and the courier's container over its stores."""

    name: str
    outputs: Mapping[str, str]
    container: Container
    # Where it is, and where the command has that from.
    origin: str = ""

    @property
    def parameter_path(self) -> str:
        """Path below which there is one parameter per source."""
        return self.outputs["ParameterPath"]

    @property
    def secret_prefix(self) -> str:
        """Beginning of the name of every secret that the stack's functions may read."""
        return self.container.environment.secret_prefix

    @property
    def key_arn(self) -> str | None:
        """ARN of the customer managed key that encrypts the stack's stores."""
        return self.outputs.get("KmsKeyArn") or None


def invoke(stack: Stack, event: Mapping[str, object]) -> dict[str, Any]:
    """Invoke ``request_build``, and return its only result.

    Raises
    ------
    SettingsError
        The stack is of a version without operator commands, or the function failed; the message is the function's.
    """
    import boto3

    name = stack.outputs.get("RequestBuildFunctionName")
    if not name or "Interface" not in stack.outputs:
        raise SettingsError(
            f"stack {stack.name} was deployed by a version whose functions know no acts: deploy it again (make deploy)"
        )
    # Not the courier's client: the function may run for two minutes, and a second invocation would not be quicker.
    config = Config(connect_timeout=5, read_timeout=_INVOCATION_SECONDS, retries={"total_max_attempts": 1})
    client = boto3.session.Session().client("lambda", config=config)
    response = client.invoke(FunctionName=name, Payload=json.dumps(event).encode())
    result = json.loads(response["Payload"].read() or "null")
    if response.get("FunctionError") or not isinstance(result, dict) or "results" not in result:
        reason = result.get("errorMessage") if isinstance(result, dict) else None
        raise SettingsError(f"{name} failed: {' '.join(str(reason or 'no reason is known').split())}")
    (only,) = result["results"]
    return dict(only)


def caller() -> str:
    """Return who the operator is for AWS: the ARN of the credentials, or else the user of this machine."""
    import boto3

    config = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2})
    try:
        identity = boto3.session.Session().client("sts", config=config).get_caller_identity()
        return str(identity["Arn"])
    except (BotoCoreError, ClientError):
        return getpass.getuser()


@contextmanager
def open_stack(name: str, *, profile: str | None, region: str | None, endpoint_url: str | None) -> Iterator[Stack]:
    """Find a stack with the operator's own credentials, for the duration of the ``with`` block.

    Without a name or a region, those of ``make deploy`` are used (`cli.deployment`). The container takes its AWS
    clients from the environment, so the options are set there meanwhile.

    Raises
    ------
    SettingsError
        The stack does not exist or is not a Build Courier, or AWS or a provider fails, also later inside the block;
        the message is one line.
    """
    choice = choose_stack(name, region=region, profile=profile)
    with (
        aws_environment(profile=choice.profile, region=choice.region, endpoint_url=endpoint_url),
        one_line_errors(),
    ):
        outputs = _outputs(choice)
        check_interface(choice.stack, outputs)
        region_name = aws.client("cloudformation").meta.region_name
        origin = f"region {region_name}{f' (from {choice.file})' if choice.file else ''}"
        yield stack_with(choice.stack, outputs, origin=origin)


def check_interface(name: str, outputs: Mapping[str, str]) -> None:
    """Check that this command and a stack understand each other.

    Raises
    ------
    SettingsError
        One of them is too old for the other; the message says which.
    """
    text = outputs.get("Interface", "0")
    interface = int(text) if text.isdecimal() else INTERFACE + 1
    if interface > INTERFACE:
        raise SettingsError(
            f"stack {name} was deployed by a later version than this command ({__version__}, interface {INTERFACE}; "
            f"the stack has {text}): upgrade the command (pipx upgrade build-courier, or git pull)"
        )
    if interface < OLDEST_INTERFACE:
        raise SettingsError(
            f"stack {name} was deployed by an earlier version than this command ({__version__}, needs interface "
            f"{OLDEST_INTERFACE}; the stack has {text}): deploy the stack again (make deploy), or use an older command"
        )


def stack_with(name: str, outputs: Mapping[str, str], *, origin: str = "") -> Stack:
    """Return the stack that has these outputs."""
    environment = Environment(
        stack=name,
        table=outputs["LedgerTableName"],
        bucket=outputs["BucketName"],
        prefix=outputs.get("KeyPrefix", ""),
        parameter_path=outputs["ParameterPath"],
        state_machine=outputs.get("StateMachineArn", ""),
        topic=outputs.get("TopicArn", ""),
        # A stack of an earlier version has no such output, and the default prefix.
        secret_prefix=outputs.get("SecretPrefix") or DEFAULT_SECRET_PREFIX,
    )
    return Stack(name, outputs, Container(environment), origin)


def untyped_client(service: str) -> Any:  # noqa: ANN401 - as described
    """Return a client of a service that only commands use, and whose type stubs are not installed."""
    clients: Any = aws.client
    return clients(service)


def describe_stack(choice: StackChoice) -> StackTypeDef:
    """Return what CloudFormation says about a stack.

    Raises
    ------
    SettingsError
        There is none of this name; the message names the region, and where it was found.
    """
    name, client = choice.stack, aws.client("cloudformation")
    try:
        (stack,) = client.describe_stacks(StackName=name)["Stacks"]
    except ClientError as exc:
        if "does not exist" not in exc.response["Error"].get("Message", ""):
            raise
        origin = f" (from {choice.file})" if choice.file else ""
        raise SettingsError(
            f"there is no stack {name} in region {client.meta.region_name}{origin} of this account; deploy it "
            "(make deploy), or pass --stack, --region or --profile"
        ) from exc
    return stack


def _outputs(choice: StackChoice) -> Mapping[str, str]:
    name, stack = choice.stack, describe_stack(choice)
    outputs = {output["OutputKey"]: output.get("OutputValue", "") for output in stack.get("Outputs", [])}
    if missing := _OUTPUTS - outputs.keys():
        raise SettingsError(
            f"stack {name} is not a Build Courier, or not complete: its status is {stack['StackStatus']} "
            f"and it has no output {', '.join(sorted(missing))}"
        )
    return outputs


@contextmanager
def aws_environment(*, profile: str | None, region: str | None, endpoint_url: str | None) -> Iterator[None]:
    """Apply the options to all AWS clients, for the duration of the ``with`` block.

    Raises
    ------
    SettingsError
        The endpoint is not a URL.
    """
    # boto3 reads AWS_DEFAULT_REGION only, the AWS CLI both.
    region = region or os.environ.get("AWS_REGION")
    chosen = {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    unwanted: list[str] = []
    if profile:
        chosen["AWS_PROFILE"] = profile
        unwanted += _KEYS
    if endpoint_url:
        if urlsplit(endpoint_url).scheme not in {"http", "https"} or not urlsplit(endpoint_url).hostname:
            raise SettingsError("--endpoint-url must look like http://127.0.0.1:4566")
        chosen["AWS_ENDPOINT_URL"] = endpoint_url
        if is_loopback_name(urlsplit(endpoint_url).hostname or ""):
            # No real key is sent to a program of this machine; an emulator accepts any.
            chosen |= {"AWS_ACCESS_KEY_ID": _LOCAL_KEY, "AWS_SECRET_ACCESS_KEY": _LOCAL_KEY}
            chosen.pop("AWS_PROFILE", None)
            unwanted = [name for name in (*unwanted, "AWS_PROFILE", "AWS_SESSION_TOKEN") if name not in chosen]
        # No setting with a higher precedence may send a call to the real AWS.
        unwanted += [name for name in os.environ if name.startswith("AWS_ENDPOINT_URL_")]
        unwanted.append("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
    with patch.dict(os.environ, {variable: value for variable, value in chosen.items() if value}):
        for variable in unwanted:
            os.environ.pop(variable, None)
        aws.forget_clients()
        try:
            yield
        finally:
            aws.forget_clients()


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn errors of AWS and of providers into errors of one line.

    Raises
    ------
    SettingsError
        Replaces the original error.
    """
    try:
        yield
    except SettingsError:
        raise
    except CourierError as exc:
        raise SettingsError(str(exc)) from exc
    except (BotoCoreError, ClientError, GetParameterError) as exc:
        # Powertools wraps botocore's error without setting the cause.
        wrapped = exc.__context__ if isinstance(exc, GetParameterError) else None
        raise SettingsError(" ".join(_explain(wrapped or exc).split())) from exc


def _explain(error: BaseException) -> str:
    match error:
        case NoCredentialsError():
            return "there are no AWS credentials: log in (aws sso login, aws configure), or pass --profile"
        case NoRegionError():
            return (
                "there is no AWS region: pass --region, or set COURIER_REGION or AWS_REGION; make deploy remembers it"
            )
        case HTTPClientError() | AwsConnectionError():
            return f"AWS cannot be reached: {error}"
        case ClientError():
            details = error.response["Error"]
            return f"AWS refused {error.operation_name}: {details.get('Message') or details['Code']}"
        case _:
            return str(error)
