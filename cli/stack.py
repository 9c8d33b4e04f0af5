"""A deployed stack, found by its name; the commands that look after one share this."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import boto3
import typer
from botocore.exceptions import BotoCoreError, ClientError

from courier.aws import forget_clients
from courier.errors import SettingsError
from courier.settings import Environment
from courier.wiring import Parts

StackName = Annotated[str, typer.Option("--stack", help="Name of the CloudFormation stack.")]
Profile = Annotated[str | None, typer.Option(help="Profile of your AWS configuration.")]
Region = Annotated[str | None, typer.Option(help="AWS region; else that of your configuration.")]
EndpointUrl = Annotated[
    str | None, typer.Option("--endpoint-url", help="Another AWS, such as an embedded one on loopback.")
]
DEFAULT_STACK = "build-courier"


@dataclass(frozen=True)
class Stack:
    """A deployed stack: its outputs, and the courier's own parts over its stores."""

    name: str
    outputs: Mapping[str, str]
    parts: Parts

    @property
    def parameter_path(self) -> str:
        """Below it lies one parameter per source."""
        return self.outputs["ParameterPath"]


def find_stack(name: str, *, profile: str | None, region: str | None, endpoint_url: str | None) -> Stack:
    """Find a stack with the operator's own credentials.

    Raises
    ------
    SettingsError
        There is no such stack, it is not ours, or AWS cannot be reached; the text says which.
    """
    chosen = {
        "AWS_PROFILE": profile,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ENDPOINT_URL": endpoint_url,
    }
    os.environ |= {variable: value for variable, value in chosen.items() if value}
    forget_clients()
    try:
        answer = boto3.session.Session().client("cloudformation").describe_stacks(StackName=name)
    except ClientError as exc:
        message = exc.response["Error"].get("Message", "")
        if "does not exist" in message:
            raise SettingsError(
                f"there is no stack {name} in this account and region; deploy it, or give --stack"
            ) from exc
        raise SettingsError(f"stack {name} cannot be read: {message or exc.response['Error']['Code']}") from exc
    except BotoCoreError as exc:
        raise SettingsError(f"AWS cannot be reached: {exc}") from exc
    outputs = {output["OutputKey"]: output["OutputValue"] for output in answer["Stacks"][0].get("Outputs", [])}
    missing = {"ParameterPath", "LedgerTableName", "BucketName"} - outputs.keys()
    if missing:
        raise SettingsError(f"stack {name} is not a Build Courier: it has no output {', '.join(sorted(missing))}")
    environment = Environment(
        stack=name,
        table=outputs["LedgerTableName"],
        bucket=outputs["BucketName"],
        prefix=outputs.get("KeyPrefix", ""),
        parameter_path=outputs["ParameterPath"],
        state_machine=outputs.get("StateMachineArn", ""),
        topic=outputs.get("TopicArn", ""),
    )
    return Stack(name, outputs, Parts(environment))
