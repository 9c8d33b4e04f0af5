"""The least that a function of this kind could do: import boto3 and make the one client that it needs."""

import os

import boto3

client = boto3.client(os.environ["SERVICE"])  # type: ignore[call-overload]  # whichever it is told


def handler(event: object, context: object) -> dict[str, str]:  # noqa: ARG001 - Lambda passes both
    """FunctionResponse at once."""
    return {"service": client.meta.service_model.service_name}
