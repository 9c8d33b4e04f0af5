"""The courier of today, over stores that hold what an earlier version left."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from courier.config.environment import Environment
from courier.ledger import Table
from courier.usecases.container import Container
from local.simulator import ManualClock
from tests.support.aws import BUCKET
from tests.support.providers import STATE_MACHINE

# A quarter of an hour after the samples were taken.
LATER = datetime(2026, 4, 15, 12, 16, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(LATER)


@pytest.fixture
def stack_container(table: Table, bucket: None, clock: ManualClock) -> Container:
    variables = {
        "STACK_NAME": "build-courier",
        "LEDGER_TABLE": table.name,
        "BUCKET_NAME": BUCKET,
        "STATE_MACHINE_ARN": STATE_MACHINE,
    }
    return Container(Environment.from_variables(variables), clock)
