"""A deployed stack, found by its name; the commands that look after one share this."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated
from unittest.mock import patch
from urllib.parse import urlsplit

import typer
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError
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

from courier import aws
from courier.config.environment import Environment
from courier.errors import CourierError, SettingsError
from courier.usecases.container import Container

StackName = Annotated[str, typer.Option("--stack", help="Name of the CloudFormation stack.")]
Profile = Annotated[str | None, typer.Option(help="Profile of your AWS configuration.")]
Region = Annotated[str | None, typer.Option(help="AWS region; else that of your configuration.")]
EndpointUrl = Annotated[
    str | None, typer.Option("--endpoint-url", help="Another AWS, such as an embedded one on loopback.")
]
DEFAULT_STACK = "build-courier"
_OUTPUTS = frozenset({"ParameterPath", "LedgerTableName", "BucketName"})
# They win over a profile, except one that is given to the AWS CLI as an option: --profile here is such an option.
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


@dataclass(frozen=True)
class Stack:
    """A deployed stack: its outputs, and the courier's own parts over its stores."""

    name: str
    outputs: Mapping[str, str]
    parts: Container

    @property
    def parameter_path(self) -> str:
        """Below it lies one parameter per source."""
        return self.outputs["ParameterPath"]


@contextmanager
def open_stack(name: str, *, profile: str | None, region: str | None, endpoint_url: str | None) -> Iterator[Stack]:
    """Find a stack with the operator's own credentials, and work with it until the end of the ``with``.

    The courier's parts take their AWS clients from the environment, so the options are put there for so long.

    Raises
    ------
    SettingsError
        There is no such stack, it is not ours, or AWS or a provider does not do what it is asked for, then or
        later inside the ``with``; one line says what.
    """
    with surroundings(profile=profile, region=region, endpoint_url=endpoint_url), in_one_line():
        outputs = _outputs(name)
        environment = Environment(
            stack=name,
            table=outputs["LedgerTableName"],
            bucket=outputs["BucketName"],
            prefix=outputs.get("KeyPrefix", ""),
            parameter_path=outputs["ParameterPath"],
            state_machine=outputs.get("StateMachineArn", ""),
            topic=outputs.get("TopicArn", ""),
        )
        yield Stack(name, outputs, Container(environment))


def _outputs(name: str) -> Mapping[str, str]:
    try:
        (stack,) = aws.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except ClientError as exc:
        if "does not exist" not in exc.response["Error"].get("Message", ""):
            raise
        raise SettingsError(
            f"there is no stack {name} in this account and region; deploy it, or give --stack or --region"
        ) from exc
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    if missing := _OUTPUTS - outputs.keys():
        raise SettingsError(
            f"stack {name} is no Build Courier, or not one yet: it is {stack['StackStatus']} "
            f"and has no output {', '.join(sorted(missing))}"
        )
    return outputs


@contextmanager
def surroundings(*, profile: str | None, region: str | None, endpoint_url: str | None) -> Iterator[None]:
    """Make AWS clients by the options until the end of the ``with``.

    Raises
    ------
    SettingsError
        The endpoint is no URL.
    """
    # boto3 reads the second of the two only, the AWS CLI both.
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
        # What is meant for another AWS must not reach the real one because of a setting that wins over ours.
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
def in_one_line() -> Iterator[None]:
    """Say in one line what AWS or a provider did not do.

    Raises
    ------
    SettingsError
        In the place of whatever it was.
    """
    try:
        yield
    except SettingsError:
        raise
    except CourierError as exc:
        raise SettingsError(str(exc)) from exc
    except (BotoCoreError, ClientError, GetParameterError) as exc:
        # Powertools wraps what botocore raised, without naming it as the cause.
        wrapped = exc.__context__ if isinstance(exc, GetParameterError) else None
        raise SettingsError(" ".join(_explain(wrapped or exc).split())) from exc


def _explain(error: BaseException) -> str:
    match error:
        case NoCredentialsError():
            return "there are no AWS credentials: log in (aws sso login, aws configure), or give --profile"
        case NoRegionError():
            return "there is no AWS region: give --region, or set AWS_REGION"
        case HTTPClientError() | AwsConnectionError():
            return f"AWS cannot be reached: {error}"
        case ClientError():
            told = error.response["Error"]
            return f"AWS refuses {error.operation_name}: {told.get('Message') or told['Code']}"
        case _:
            return str(error)
