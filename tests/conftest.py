"""Fixtures for tests of the courier over moto's stores, fake providers, a fake Step Functions and a manual clock."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from functools import cache

import botocore.loaders
import botocore.session
import pytest
from moto import mock_aws

from courier import aws
from courier.ledger import Table
from local.embedded.moto.attribute_values import attribute_values_patched
from local.simulator import ManualClock
from tests.support.aws import make_bucket, make_table
from tests.support.container import FakeContainer
from tests.support.providers import NOON, REGION

# Nearly all objects of a test process are modules, service models and templates, which stay. By default Python searches
# them for garbage so often that it costs a fifth of the suite's CPU time. Clients of AWS are garbage in circles, so
# without a full search now and then a process grows to gigabytes.
gc.set_threshold(50_000, 20, 20)
gc.freeze()
# Many tests create AWS clients; reading the services' descriptions again for each takes a fifth of the rest.
botocore.session.create_loader = cache(botocore.loaders.create_loader)


@pytest.fixture(autouse=True)
def no_stack_of_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's own stack out of the tests."""
    monkeypatch.delenv("COURIER_STACK", raising=False)
    monkeypatch.delenv("COURIER_REGION", raising=False)
    monkeypatch.setattr("cli.deployment.FILE_NAME", "of-no-developer.toml")


@pytest.fixture(scope="module")
def courier_clients() -> Iterator[None]:
    """Let the tests of a module share the courier's AWS clients, which are slow to make, and keep them from others."""
    aws.forget_clients()
    yield
    aws.forget_clients()


@pytest.fixture
def moto(courier_clients: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws(), attribute_values_patched():
        yield


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def table(moto: None) -> Table:
    return make_table()


@pytest.fixture
def bucket(moto: None) -> None:
    make_bucket()


@pytest.fixture
def container(table: Table, clock: ManualClock) -> FakeContainer:
    """Return a container with one source, ``insights``."""
    return FakeContainer(clock)
