"""The AWS clients of a function."""

from courier.aws.clients import client, forget_clients, storage_client

__all__ = ["client", "forget_clients", "storage_client"]
