"""The configuration of one function, as the template declares it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class FunctionSpec:
    """One function as deployed.

    ``name``
        The name of its folder, such as ``copy_artifact``.
    ``reserved_concurrency``
        Runs at once that are reserved for this function, and its limit; None if it shares the account's.
    ``retry_attempts``, ``event_age_seconds``, ``failure_queue``
        For asynchronous invocations: retries after an error, how long an event may wait, and the logical id of the
        queue for those that failed.
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
    reserved_concurrency: int | None = None
    retry_attempts: int
    event_age_seconds: int
    failure_queue: str | None
