from __future__ import annotations

from collections.abc import Iterator

import pytest

from courier.providers.http_json import auth
from local.chaos.virtual_time import pauses_skipped
from local.simulator import vendor_names
from tests.functional.vendors.played import Played, playing


@pytest.fixture(autouse=True)
def no_pauses() -> Iterator[None]:
    # A port may be used again, and a token that was bought from another vendor would be refused.
    auth._TOKENS.clear()
    with pauses_skipped():
        yield


@pytest.fixture(params=vendor_names())
def played(request: pytest.FixtureRequest) -> Iterator[Played]:
    with playing(request.param) as played:
        yield played
