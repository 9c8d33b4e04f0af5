"""The true state of builds, for tests and for the independent checker; clients never get it directly."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from local.simulator.messages import ProviderName


@dataclass(frozen=True)
class BuildState:
    """One build or job at an instant; `status` is the provider's own value, `artifact_bytes` the size of a report."""

    provider: ProviderName
    scope: str
    build_id: str
    status: str
    created: datetime
    started: datetime | None
    completed: datetime | None
    artifact_bytes: int | None = None
    error_message: str | None = None
