"""The AWS clients of a function: one per service, created at first use."""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING, Literal, cast, overload

if TYPE_CHECKING:
    from botocore.config import Config
    from botocore.session import Session
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_stepfunctions import SFNClient

# AWS endpoints in the same region respond in milliseconds; a dead connection must not use up a tick of 60 s.
CONNECT_TIMEOUT_SECONDS = 3
READ_TIMEOUT_SECONDS = 10
# botocore's standard mode retries throttling and 5xx only, with exponential backoff and jitter, after 20 s at most.
ATTEMPTS = 4

# Creating a client reads the session's shared loader, which is not safe for threads; using one is.
_creation_lock = threading.Lock()


@overload
def client(service: Literal["cloudformation"]) -> CloudFormationClient: ...
@overload
def client(service: Literal["dynamodb"]) -> DynamoDBClient: ...
@overload
def client(service: Literal["lambda"]) -> LambdaClient: ...
@overload
def client(service: Literal["s3"]) -> S3Client: ...
@overload
def client(service: Literal["secretsmanager"]) -> SecretsManagerClient: ...
@overload
def client(service: Literal["sns"]) -> SNSClient: ...
@overload
def client(service: Literal["sqs"]) -> SQSClient: ...
@overload
def client(service: Literal["ssm"]) -> SSMClient: ...
@overload
def client(service: Literal["stepfunctions"]) -> SFNClient: ...
def client(service: str) -> object:
    """Return the client of one service, the same one at each call."""
    with _creation_lock:
        return _create(service)


def storage_client(config: Config) -> S3Client:
    """Return an S3 client with the copy's own configuration of retries and checksums."""
    with _creation_lock:
        return cast("S3Client", _session().create_client("s3", config=config))


def forget_clients() -> None:
    """Discard all clients; the embedded AWS calls this when its endpoint changes."""
    with _creation_lock:
        _create.cache_clear()
        _session.cache_clear()


@cache
def _session() -> Session:
    # One botocore session for all clients: boto3 would read the same files again for each, and its import is a third of
    # a cold start.
    import botocore.session  # noqa: PLC0415

    from courier.aws.botocore_loader import DirectLoader  # noqa: PLC0415

    session = botocore.session.get_session()
    session.register_component("data_loader", DirectLoader(session.get_config_variable("data_path")))
    return session


@cache
def _create(service: str) -> object:
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        user_agent_extra="build-courier",
    )
    return _session().create_client(service, config=config)
