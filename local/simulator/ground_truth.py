"""What is really so, for tests and for a checker that trusts nobody: never sent to a client as it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from local.simulator.messages import ProviderName


@dataclass(frozen=True)
class BuildState:
    """One build or job at an instant; `status` is the provider's own word and `artifact_bytes` the size of a report."""

    provider: ProviderName
    scope: str
    build_id: str
    status: str
    created: datetime
    started: datetime | None
    completed: datetime | None
    artifact_bytes: int | None = None
    error_message: str | None = None
