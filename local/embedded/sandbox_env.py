"""The environment of a Lambda sandbox: its variables, and caches as at a cold start."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest.mock import patch

import boto3
from aws_lambda_powertools.utilities import parameters

from courier.aws import forget_clients
from local.embedded.function_spec import FunctionSpec
from local.sam.intrinsics import TemplateError

# Read when a function's module is loaded, so each function can have its own; the process shares all other variables.
OWN_VARIABLES = frozenset({"POWERTOOLS_SERVICE_NAME", "AWS_LAMBDA_FUNCTION_NAME"})

# The user may have an AWS account configured; the functions must not find it.
_REMOVED_PREFIXES = ("AWS_", "POWERTOOLS_", "MOTO_")


@contextmanager
def sandbox(*, port: int, region: str) -> Iterator[None]:
    """Point all AWS clients of this process at the embedded AWS, and restore the environment on exit."""
    with patch.dict(os.environ):
        for name in list(os.environ):
            if name.startswith(_REMOVED_PREFIXES):
                del os.environ[name]
        os.environ |= _environment(port, region)
        _drop_caches()
        try:
            yield
        finally:
            _drop_caches()


@contextmanager
def shared_environment(specs: Sequence[FunctionSpec]) -> Iterator[None]:
    """Set the variables of all functions in this process's environment.

    Raises
    ------
    TemplateError
        Two functions set one variable to different values; the message names both.
    """
    merged: dict[str, str] = {}
    owners: dict[str, str] = {}
    for spec in specs:
        for name, value in spec.variables.items():
            if name in OWN_VARIABLES:
                continue
            if merged.setdefault(name, value) != value:
                raise TemplateError(f"{owners[name]} and {spec.name} set {name} to different values")
            owners.setdefault(name, spec.name)
    with patch.dict(os.environ, merged):
        yield


def _environment(port: int, region: str) -> dict[str, str]:
    local = "127.0.0.1,localhost"
    direct = ",".join(filter(None, (os.environ.get("NO_PROXY", ""), local)))
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ACCESS_KEY_ID": "function",
        "AWS_SECRET_ACCESS_KEY": "function",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        # The port at which moto's interpreter calls moto.
        "MOTO_PORT": str(port),
        "NO_PROXY": direct,
        "no_proxy": direct,
    }


def _drop_caches() -> None:
    """Drop clients and cached values that belong to the previous environment."""
    boto3.DEFAULT_SESSION = None
    forget_clients()
    parameters.clear_caches()  # type: ignore[no-untyped-call]  # Powertools'
