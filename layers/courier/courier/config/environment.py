"""The functions' environment variables, read without any third-party package: an idle tick needs nothing more."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from courier.errors import SettingsError

# The tag of a stack on the embedded AWS, by which a command recognizes it.
EMBEDDED_TAG = "build-courier:embedded"
# As in template.yaml: the sparse index that holds only builds in flight.
DUE_INDEX = "due"
# As in template.yaml; a stack may have another prefix. Its functions may read no secret outside it.
DEFAULT_SECRET_PREFIX = "build-courier/"  # noqa: S105 - prefix of the names of secrets


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The environment variables that ``template.yaml`` sets; those that a function does not get are empty.

    A plain dataclass, because every cold start reads it.
    """

    stack: str
    table: str
    bucket: str
    prefix: str
    parameter_path: str
    state_machine: str
    topic: str
    secret_prefix: str = DEFAULT_SECRET_PREFIX

    @classmethod
    def from_variables(cls, variables: Mapping[str, str] = os.environ) -> Self:
        """Read the variables that ``template.yaml`` sets."""
        return cls(
            stack=variables.get("STACK_NAME", ""),
            table=variables.get("LEDGER_TABLE", ""),
            bucket=variables.get("BUCKET_NAME", ""),
            prefix=variables.get("KEY_PREFIX", ""),
            parameter_path=variables.get("PARAMETER_PATH", ""),
            state_machine=variables.get("STATE_MACHINE_ARN", ""),
            topic=variables.get("TOPIC_ARN", ""),
            secret_prefix=variables.get("SECRET_PREFIX", DEFAULT_SECRET_PREFIX),
        )

    def required(self, field: str) -> str:
        """Return one value.

        Raises
        ------
        SettingsError
            The variable is not set; the message names the field.
        """
        value: str = getattr(self, field)
        if not value:
            raise SettingsError(
                f"the environment variable for {field} is not set; deploy the function with template.yaml"
            )
        return value
