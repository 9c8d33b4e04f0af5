"""The courier's core of today, over stores that hold what an earlier version left."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from moto import mock_aws

from courier import aws
from courier.config.environment import Environment
from courier.ledger import Table
from courier.usecases.container import Container
from local.simulator import ManualClock
from tests.support.aws import BUCKET, make_bucket, make_table
from tests.support.container import FakeContainer
from tests.support.providers import REGION, STATE_MACHINE

# A quarter of an hour after the samples were taken.
LATER = datetime(2026, 4, 15, 12, 16, tzinfo=UTC)


@pytest.fixture(autouse=True)
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    aws.forget_clients()
    with mock_aws():
        yield
    aws.forget_clients()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(LATER)


@pytest.fixture
def table() -> Table:
    return make_table()


@pytest.fixture
def container(table: Table, clock: ManualClock) -> FakeContainer:
    return FakeContainer(clock)


@pytest.fixture
def stack_container(table: Table, clock: ManualClock) -> Container:
    make_bucket()
    variables = {
        "STACK_NAME": "build-courier",
        "LEDGER_TABLE": table.name,
        "BUCKET_NAME": BUCKET,
        "STATE_MACHINE_ARN": STATE_MACHINE,
    }
    return Container(Environment.from_variables(variables), clock)
