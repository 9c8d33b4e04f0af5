"""The minimum of such a function: it imports boto3 and creates one client."""

import os

import boto3

client = boto3.client(os.environ["SERVICE"])  # type: ignore[call-overload]  # any service


def handler(event: object, context: object) -> dict[str, str]:  # noqa: ARG001 - Lambda passes both
    """Respond at once."""
    return {"service": client.meta.service_model.service_name}
