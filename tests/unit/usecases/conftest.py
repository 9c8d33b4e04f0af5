from __future__ import annotations

import pytest

from courier.ledger import Table
from local.simulator import ManualClock
from tests.support.container import FakeContainer
from tests.support.providers import FakeProvider, settings_of


@pytest.fixture
def container(table: Table, clock: ManualClock) -> FakeContainer:
    """Return a container with the sources ``a`` and ``b``, and with ``c``, whose parameter cannot be read."""
    return FakeContainer(
        clock, *(FakeProvider(settings_of(name)) for name in "ab"), broken={"c": "endpoint: field required"}
    )
