"""The configuration of one function, as the template declares it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class FunctionSpec:
    """One function as deployed.

    ``name``
        The name of its folder, such as ``copy_artifact``.
    ``retry_attempts``, ``failure_queue``
        For asynchronous invocations: retries after an error, and the logical id of the queue for those that failed.
    """

    name: str
    logical_id: str
    physical_name: str
    arn: str
    folder: Path
    handler: str
    timeout_seconds: int
    memory_megabytes: int
    variables: Mapping[str, str]
    retry_attempts: int
    failure_queue: str | None
