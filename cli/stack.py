"""A deployed stack: found by its name, with the records in its bucket."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch
from urllib.parse import unquote, urlsplit

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
from pydantic import ValidationError

from courier import aws
from courier.config.environment import DEFAULT_SECRET_PREFIX, Environment
from courier.errors import CourierError, SettingsError
from courier.models import Problem
from courier.outcomes.records import LatestHead
from courier.usecases.container import Container

_OUTPUTS = frozenset({"ParameterPath", "LedgerTableName", "BucketName"})
# They override AWS_PROFILE, but not the option --profile of the AWS CLI; --profile behaves the same here.
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


@dataclass(frozen=True)
class Stack:
    """A deployed stack: its outputs, and the courier's container over its stores."""

    name: str
    outputs: Mapping[str, str]
    container: Container

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


class EndedRecord(LatestHead):
    """The displayed part of a record, written by any 1.x version."""

    outcome: str
    problem: Problem | None = None


@contextmanager
def open_stack(name: str, *, profile: str | None, region: str | None, endpoint_url: str | None) -> Iterator[Stack]:
    """Find a stack with the operator's own credentials, for the duration of the ``with`` block.

    The container takes its AWS clients from the environment, so the options are set there meanwhile.

    Raises
    ------
    SettingsError
        The stack does not exist or is not a Build Courier, or AWS or a provider fails, also later inside the block;
        the message is one line.
    """
    with aws_environment(profile=profile, region=region, endpoint_url=endpoint_url), one_line_errors():
        outputs = _outputs(name)
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
        yield Stack(name, outputs, Container(environment))


def _outputs(name: str) -> Mapping[str, str]:
    try:
        (stack,) = aws.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except ClientError as exc:
        if "does not exist" not in exc.response["Error"].get("Message", ""):
            raise
        raise SettingsError(
            f"there is no stack {name} in this account and region; deploy it, or pass --stack or --region"
        ) from exc
    outputs = {output["OutputKey"]: output.get("OutputValue", "") for output in stack.get("Outputs", [])}
    if missing := _OUTPUTS - outputs.keys():
        raise SettingsError(
            f"stack {name} is not a Build Courier, or not complete: its status is {stack['StackStatus']} "
            f"and it has no output {', '.join(sorted(missing))}"
        )
    return outputs


def read_last_records(stack: Stack, *, most: int) -> Sequence[EndedRecord]:
    """Read the newest records of all sources, also of removed ones.

    One list call finds the sources, one per source its days, and one per source and day the records, from the newest
    day back until there are enough.
    """
    root = f"{stack.container.environment.prefix}records/"
    days: dict[str, list[str]] = {}
    for source in _folders(stack, f"{root}source="):
        for day in _folders(stack, f"{source}date="):
            days.setdefault(unquote(day.removesuffix("/").rpartition("date=")[2]), []).append(day)
    found: list[EndedRecord] = []
    for day in sorted(days, reverse=True):
        for key in _newest(stack, days[day]):
            record = _read(stack, key)
            if record is not None:
                found.append(record)
            if len(found) == most:
                break
        if len(found) == most:
            break
    return sorted(found, key=lambda record: record.ended_at, reverse=True)


def _folders(stack: Stack, prefix: str) -> Iterator[str]:
    pages = aws.client("s3").get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=stack.outputs["BucketName"], Prefix=prefix, Delimiter="/"):
        yield from (entry["Prefix"] for entry in page.get("CommonPrefixes", []))


def _newest(stack: Stack, prefixes: Sequence[str]) -> Sequence[str]:
    """Return the keys of one day, newest first."""
    pages = aws.client("s3").get_paginator("list_objects_v2")
    listed = [
        (item["LastModified"], item["Key"])
        for prefix in prefixes
        for page in pages.paginate(Bucket=stack.outputs["BucketName"], Prefix=prefix)
        for item in page.get("Contents", [])
    ]
    return [key for _, key in sorted(listed, reverse=True)]


def _read(stack: Stack, key: str) -> EndedRecord | None:
    """Read one record; return None for an object that is not one, or of a later major version."""
    with aws.client("s3").get_object(Bucket=stack.outputs["BucketName"], Key=key)["Body"] as body:
        text = body.read()
    try:
        return EndedRecord.model_validate_json(text)
    except ValidationError:
        return None


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
            return "there is no AWS region: pass --region, or set AWS_REGION"
        case HTTPClientError() | AwsConnectionError():
            return f"AWS cannot be reached: {error}"
        case ClientError():
            details = error.response["Error"]
            return f"AWS refused {error.operation_name}: {details.get('Message') or details['Code']}"
        case _:
            return str(error)
