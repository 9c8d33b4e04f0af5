"""The courier's core over moto's stores, a fake provider, fake Step Functions and a clock that stands still."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto import mock_aws

from courier import aws
from courier.ledger import Table
from local.simulator import ManualClock
from tests.support.aws import make_bucket, make_table
from tests.support.container import FakeContainer
from tests.support.providers import NOON, REGION


@pytest.fixture(autouse=True)
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        yield


@pytest.fixture(scope="module", autouse=True)
def clients() -> Iterator[None]:
    """Let the tests of a module share the courier's own clients, and leave none to other tests."""
    aws.forget_clients()
    yield
    aws.forget_clients()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def table() -> Table:
    return make_table()


@pytest.fixture
def bucket() -> None:
    make_bucket()


@pytest.fixture
def container(table: Table, clock: ManualClock) -> FakeContainer:
    return FakeContainer(clock)
