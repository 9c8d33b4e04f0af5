"""What the template tells a function, read without any third-party package: an idle tick needs nothing more."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from courier.errors import SettingsError

# As in template.yaml: the sparse index that holds only builds in flight.
DUE_INDEX = "due"


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What the template tells a function. A plain dataclass: it is read at every cold start.

    What a function does not get is empty; `required` tells which variable is missing.
    """

    stack: str
    table: str
    bucket: str
    prefix: str
    parameter_path: str
    state_machine: str
    topic: str

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
        )

    def required(self, field: str) -> str:
        """Give one value.

        Raises
        ------
        SettingsError
            The function was deployed without it.
        """
        value: str = getattr(self, field)
        if not value:
            raise SettingsError(f"the function has no environment variable for {field}; deploy it with template.yaml")
        return value
