"""Patches of the service calls of moto's Step Functions interpreter: cached clients, and AWS's error names."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_aws_sdk import (
    StateTaskServiceAwsSdk,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_sns import (
    StateTaskServiceSns,
)
from moto.stepfunctions.parser.asl.utils import boto_client

# The metadata of a response that never arrived.
_NO_METADATA: Any = {"HTTPStatusCode": 0, "RequestId": "none"}
# Some hundred executions may call at once; botocore warns when more than its default of ten connections are used.
_CONNECTIONS = Config(max_pool_connections=1000)


class SdkClientException(ClientError):  # noqa: N818  # the name under which Step Functions knows it
    """The SDK got no response: AWS reports ``<service>.SdkClientException``, moto ends the execution.

    No upstream issue found (searched getmoto/moto, 2026-11).
    """

    def __init__(self, lost: BotoCoreError) -> None:
        super().__init__(
            {
                "Error": {"Code": type(self).__name__, "Message": type(lost).__name__},
                "ResponseMetadata": _NO_METADATA,
            },
            "integration",
        )


@contextmanager
def integrations_patched() -> Iterator[None]:
    """Patch moto's integrations where they differ from AWS, or are a hundred times slower than necessary."""
    with (
        patch.object(StateTaskServiceAwsSdk, "_from_error", _naming_lost_responses(StateTaskServiceAwsSdk)),
        patch.object(StateTaskServiceSns, "_from_error", _naming_lost_responses(StateTaskServiceSns)),
        # A new client for each task takes tens of milliseconds, most of them for reading botocore's folders.
        # No upstream issue found (searched getmoto/moto, 2026-11).
        patch.object(boto_client, "boto3", SimpleNamespace(client=_cached_clients())),
    ):
        yield


def _naming_lost_responses(service: type[Any]) -> Callable[..., Any]:
    name_error = service._from_error  # noqa: SLF001

    def from_error(task: object, env: object, ex: Exception) -> object:
        return name_error(task, env=env, ex=SdkClientException(ex) if isinstance(ex, BotoCoreError) else ex)

    return from_error


def _cached_clients() -> Callable[..., Any]:
    clients: dict[tuple[str, str, str], Any] = {}
    lock = threading.Lock()

    def client(*, service_name: str, region_name: str, endpoint_url: str, config: Config, **keys: str) -> object:
        known = (service_name, region_name, endpoint_url)
        with lock:
            if known not in clients:
                clients[known] = boto3.client(  # type: ignore[call-overload]  # any service
                    service_name,
                    region_name=region_name,
                    endpoint_url=endpoint_url,
                    config=config.merge(_CONNECTIONS),
                    **keys,
                )
            return clients[known]

    return client
