"""AWS access of the functions: their clients, the loader that makes clients quickly, and the runtime's tuning."""

from courier.aws.clients import client, forget_clients, storage_client

__all__ = ["client", "forget_clients", "storage_client"]
