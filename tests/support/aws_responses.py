"""Responses of AWS that moto does not give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from botocore.client import BaseClient
from botocore.exceptions import ClientError

# Gets the real call, and returns the response.
Reply = Callable[[Callable[[], Any]], object]


@contextmanager
def aws_replies(**replies: Reply) -> Iterator[None]:
    """Let functions reply to operations, such as ``DescribeStacks=lambda call: call()``."""
    real = BaseClient._make_api_call  # type: ignore[attr-defined]  # all calls of botocore go through it

    def call(client: BaseClient, name: str, arguments: dict[str, object]) -> object:
        if name in replies:
            return replies[name](lambda: real(client, name, arguments))
        return real(client, name, arguments)

    with patch.object(BaseClient, "_make_api_call", call):
        yield


def refusal(operation: str, code: str = "AccessDeniedException") -> Reply:
    """Return a reply that is an error."""

    def refuse(_: Callable[[], Any]) -> object:
        raise ClientError({"Error": {"Code": code, "Message": f"not authorized: {operation}"}}, operation)

    return refuse
