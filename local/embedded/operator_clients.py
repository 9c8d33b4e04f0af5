"""AWS clients of the operator: not intercepted, and counted apart from the functions' clients."""

import threading
from typing import TYPE_CHECKING, Any, Literal, overload

import boto3
from botocore.config import Config

from local.embedded.server import OPERATOR_ACCESS_KEY

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_stepfunctions import SFNClient

# Lambda runs up to 900 s; a client that waits for one must wait longer.
_READ_TIMEOUT_SECONDS = 960


class OperatorClients:
    """One client per service, created at first use."""

    def __init__(self, *, endpoint: str, region: str) -> None:
        self._endpoint = endpoint
        self._region = region
        self._session = boto3.session.Session()
        self._made: dict[str, Any] = {}
        # Creating clients from one session is not thread-safe.
        self._lock = threading.Lock()

    @overload
    def __call__(self, service: Literal["cloudformation"]) -> "CloudFormationClient": ...
    @overload
    def __call__(self, service: Literal["dynamodb"]) -> "DynamoDBClient": ...
    @overload
    def __call__(self, service: Literal["lambda"]) -> "LambdaClient": ...
    @overload
    def __call__(self, service: Literal["s3"]) -> "S3Client": ...
    @overload
    def __call__(self, service: Literal["secretsmanager"]) -> "SecretsManagerClient": ...
    @overload
    def __call__(self, service: Literal["sns"]) -> "SNSClient": ...
    @overload
    def __call__(self, service: Literal["sqs"]) -> "SQSClient": ...
    @overload
    def __call__(self, service: Literal["ssm"]) -> "SSMClient": ...
    @overload
    def __call__(self, service: Literal["stepfunctions"]) -> "SFNClient": ...
    def __call__(self, service: str) -> Any:
        """Return the client of one service."""
        with self._lock:
            if service not in self._made:
                self._made[service] = self._session.client(  # type: ignore[call-overload]  # the overloads above
                    service,
                    region_name=self._region,
                    endpoint_url=self._endpoint,
                    aws_access_key_id=OPERATOR_ACCESS_KEY,
                    aws_secret_access_key=OPERATOR_ACCESS_KEY,
                    config=Config(
                        connect_timeout=5, read_timeout=_READ_TIMEOUT_SECONDS, retries={"total_max_attempts": 1}
                    ),
                )
            return self._made[service]

    def close(self) -> None:
        """Close all connections."""
        for client in self._made.values():
            client.close()
